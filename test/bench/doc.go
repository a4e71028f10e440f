// Package bench measures. Every claim is a ratio of two things measured in one run: absolute times drift on shared
// machines. Run it with make bench. What is promised is checked where it is measured: counts always, times only without
// -short.
package bench
