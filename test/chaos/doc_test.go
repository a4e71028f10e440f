// Package chaos kills real node processes under load and checks, from outside, that nothing acknowledged is lost and
// nothing is applied twice.
//
// N sets how often the node is killed (default 5, 2 with alarms; `make chaos` has 25), SEED repeats a run.
package chaos
