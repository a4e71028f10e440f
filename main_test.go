package perdure

import (
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perdure/perdure/internal/bubble"
)

func TestMain_Signals(t *testing.T) {
	for name, c := range map[string]struct {
		at   []time.Duration // of further signals, after the first
		ends bool
	}{
		"one":                   {nil, false},
		"one and its echo":      {[]time.Duration{0}, false},
		"echoes":                {[]time.Duration{time.Millisecond, sameMoment - 1}, false},
		"two":                   {[]time.Duration{sameMoment}, true},
		"two and an echo":       {[]time.Duration{0, time.Second}, true},
		"the second after ages": {[]time.Duration{time.Hour}, true},
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Run(t, func(t *testing.T) {
				signals, left, ended := make(chan os.Signal, 2), make(chan struct{}), make(chan struct{})
				go func() {
					awaitTwo(signals, func() { close(left) })
					close(ended)
				}()
				begin := time.Now()
				signals <- syscall.SIGTERM
				<-left
				for _, at := range c.at {
					<-time.After(time.Until(begin.Add(at)))
					signals <- syscall.SIGTERM
				}
				synctest.Wait()
				select {
				case <-ended:
					if !c.ends {
						t.Error("an echo ended the program")
					}
				default:
					if c.ends {
						t.Error("the second signal did not end the program")
					}
					<-time.After(time.Hour)
					signals <- syscall.SIGTERM
					<-ended
				}
			})
		})
	}
}
