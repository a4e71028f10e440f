// Package bench measures. Every claim is a ratio of two things measured in one run: absolute times drift on shared
// machines. Run it with make bench; nothing here is asserted in a timed test.
package bench
