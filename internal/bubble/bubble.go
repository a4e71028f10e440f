// Package bubble runs tests in virtual time.
package bubble

import (
	"runtime"
	"testing"
	"testing/synctest"

	"github.com/perdure/perdure/internal/race"
)

// Run runs test in virtual time and returns when it has ended and its goroutines too.
//
// Under the race detector, one thread runs Go code until then, of other tests too: the timers of a bubble share one
// context of the detector, and two goroutines that receive from timers that are due ruin it, which ends the whole
// program with a segmentation violation (Go issue 78156, seen with Go 1.26). Races are still found: the detector looks
// at what orders two accesses, not at whether they were at once.
func Run(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	if race.Enabled {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	}
	synctest.Test(t, test)
}
