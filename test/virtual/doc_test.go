// Package virtual runs whole nodes in virtual time: hours pass in milliseconds, and what is late is late by design,
// not because a machine is slow.
//
// It does not run under the race detector: with Go 1.26 that now and then ends such a test with a segmentation fault in
// the detector itself, when timers of a bubble fire on several threads. The same code runs under it in conformance.
package virtual
