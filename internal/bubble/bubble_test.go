package bubble_test

import (
	"sync"
	"testing"
	"time"

	"github.com/perdure/perdure/internal/bubble"
)

// TestRun_Timers receives from due timers in many goroutines, which the race detector of Go 1.26 does not survive on
// two threads.
func TestRun_Timers(t *testing.T) {
	bubble.Run(t, func(*testing.T) {
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for range 20_000 {
					<-time.NewTimer(0).C
				}
			})
		}
		all.Wait()
		later := make(chan struct{})
		time.AfterFunc(time.Second, func() { close(later) })
		<-later
	})
}
