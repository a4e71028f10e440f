package cluster

import (
	"testing"
	"time"

	"github.com/perdure/perdure/router"
)

const (
	// fewest and most partitions of 64 that may move to the fourth of four nodes: rendezvous hashing gives it 16, with a
	// standard deviation of 3.5.
	fewest, most = 6, 26
	// joinFactor is how much longer 99 of 100 calls to what does not move may take while others move.
	joinFactor = 1.5
)

// TestJoin has a fourth node join under load and leave again: what must move does, and nothing else.
func TestJoin(t *testing.T) {
	both(t, inFull, func(t *testing.T, f form) {
		seed := seed(t)
		top := beginUnhurried(t, f, 3)
		load := top.drive(seed, loadConfig{callers: 16, objects: 1000, hot: 16, employers: 4, think: 10 * time.Millisecond})
		window := time.Duration(length(t, "FOR", 3, 20)) * time.Second
		load.goOn(time.Second)
		load.strict.Store(true)
		control := load.during(window)

		before, epochs := top.owners(), top.watch.epochs()
		fourth := top.add()
		var with map[int]string
		join := load.until(window, func() {
			fourth.start()
			fourth.proc.AwaitUp(t, upWithin)
			top.awaitStill()
			with = top.owners()
		})
		moved := map[int]bool{}
		for p, node := range with {
			switch {
			case node == fourth.name:
				moved[p] = true
			case node != before[p]:
				t.Errorf("partition %d moved from %s to %s when %s joined", p, before[p], node, fourth.name)
			case top.watch.epochs()[p] != epochs[p]:
				t.Errorf("partition %d of %s was claimed again when %s joined", p, node, fourth.name)
			}
		}
		if len(moved) < fewest || len(moved) > most {
			t.Errorf("%d of %d partitions moved to the fourth node", len(moved), partitions)
		}

		epochs = top.watch.epochs()
		leave := load.until(window, func() {
			fourth.terminate()
			top.awaitStill()
		})
		for p, node := range top.owners() {
			switch {
			case moved[p] && node == fourth.name, !moved[p] && node != before[p]:
				t.Errorf("partition %d is of %s after %s left; it was of %s", p, node, fourth.name, before[p])
			case moved[p] && node != before[p]:
				t.Errorf("partition %d came back to %s, it was of %s", p, node, before[p])
			case !moved[p] && top.watch.epochs()[p] != epochs[p]:
				t.Errorf("partition %d of %s was claimed again when %s left", p, node, fourth.name)
			}
		}
		t.Logf("%d of %d partitions moved to the fourth node and back", len(moved), partitions)

		unmoved := func(s span) []timed {
			var calls []timed
			for _, c := range load.between(s) {
				if !moved[router.Partition(c.addr, partitions)] {
					calls = append(calls, c)
				}
			}
			return calls
		}
		quiet := durations(unmoved(control))
		t.Logf("calls to partitions that do not move: control %s", summary(quiet))
		for _, w := range []struct {
			name string
			span span
		}{{"join", join}, {"leave", leave}} {
			took := durations(unmoved(w.span))
			ratio := float64(quantile(took, 99)) / float64(max(quantile(quiet, 99), 1))
			t.Logf("%s: %s; p99 is %.2f × the control's", w.name, summary(took), ratio)
			if full() && ratio > joinFactor {
				t.Errorf("%s: p99 of calls to partitions that do not move is %.2f × the control's", w.name, ratio)
			}
		}
		load.strict.Store(false)
		load.end()
		load.check()
	})
}

// during lets the load go on and returns when that was.
func (l *load) during(d time.Duration) span { return l.until(d, func() {}) }

// until lets the load go on while fn runs, and for at least d.
func (l *load) until(d time.Duration, fn func()) span {
	from := time.Now()
	fn()
	l.goOn(d - time.Since(from))
	return span{from, time.Now()}
}
