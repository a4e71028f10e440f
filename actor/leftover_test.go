package actor

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/perdure/perdure/internal/bubble"
)

// parted is a log with an append in parts that is no record.
type parted struct {
	*world
	gate   chan struct{} // closed: it tells what the partition has
	listed int           // how often it was asked for what the object has; under mu
}

func (p *parted) Attempts(ctx context.Context, _ int, of Address) (map[Address][]Attempt, error) {
	if of != (Address{}) {
		p.change(func() { p.listed++ })
	}
	select {
	case <-p.gate:
	case <-ctx.Done():
	}
	return map[Address][]Attempt{at: {{After: 1, Incarnation: "i", ID: "1-i-x"}}}, ctx.Err()
}

// TestHost_trimmedMeanwhile: records that would judge parts are trimmed before they are read. That is not tried for ever,
// in the way of all that is removed; they are judged by what the log is after the next record.
func TestHost_trimmedMeanwhile(t *testing.T) {
	bubble.Run(t, func(t *testing.T) {
		w := newWorld(t)
		log := &parted{world: w, gate: make(chan struct{})}
		h := w.host("n", func(c *Config) { c.Log = log }, sums())
		defer h.Close()
		w.own(h, 1, Checkpoint{})
		for range pageLen + 8 {
			w.result(ask(h, at, "add", "", "1"))
		}
		if err := w.Remove(t.Context(), at, pageLen); err != nil { // the last of its page
			t.Fatal(err)
		}
		close(log.gate)
		synctest.Wait()
		if n := len(h.trimming); n != 0 {
			t.Errorf("%d removals go on", n)
		}
		w.result(ask(h, at, "add", "", "1"))
		synctest.Wait()
		w.mu.Lock()
		defer w.mu.Unlock()
		if log.listed == 0 {
			t.Error("the parts are not looked at again")
		}
	})
}
