package harness

import (
	"testing"
	"time"
)

// Eventually waits until fn returns "", asking it every few milliseconds, and fails the test with what it returned
// last when that takes longer than within.
func Eventually(tb testing.TB, within time.Duration, fn func() string) {
	tb.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(within); ; {
		why := fn()
		if why == "" {
			return
		}
		if time.Now().After(deadline) {
			tb.Fatalf("not within %s: %s", within, why)
		}
		<-tick.C
	}
}
