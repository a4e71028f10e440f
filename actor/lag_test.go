package actor

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perdure/perdure/internal/bubble"
)

// lagging is a log that is asked through a server which led it before, and does not know its last records.
type lagging struct {
	*world
	answers atomic.Int32 // that are of before
	knows   int          // records
}

func (l *lagging) Last(ctx context.Context, a Address) (*Entry, error) {
	if l.answers.Add(-1) >= 0 {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.knows == 0 {
			return nil, ErrNoRecord
		}
		return l.log[0], nil
	}
	return l.world.Last(ctx, a)
}

// TestHost_formerLeader: the former leader of a log refuses a record that its successor has stored, and does not know the
// record before it either. The turn is not done again.
func TestHost_formerLeader(t *testing.T) {
	w := newWorld(t)
	log := &lagging{world: w}
	ran := 0
	step := NewStep("step", func(context.Context, None) (int, error) { ran++; return ran, nil })
	def := NewObject[int]("sum")
	NewMethod(def, "add", func(n *int, ctx Context, _ None) (int, error) {
		*n++
		return step.Run(ctx, None{})
	})
	h := w.host("a", func(c *Config) { c.Log = log }, def)
	w.own(h, 1, Checkpoint{})
	for range 3 {
		w.result(ask(h, at, "add", "", "null"))
	}
	for n, knows := range []int{0, 1} { // records
		log.knows = knows
		w.change(func() {
			w.onAppend = func(*Entry) (bool, error) {
				log.answers.Store(3)
				w.change(func() { w.onAppend = nil })
				return true, ErrAppendConflict
			}
		})
		if got, want := w.result(ask(h, at, "add", "", "null")), 4+n; got != fmt.Sprint(want) || ran != want {
			t.Errorf("call %d says %s, the step ran %d times", want, got, ran)
		}
	}
}

// TestHost_formerLeaderLoad: what is no longer in memory is not made of what a former leader of the log has.
func TestHost_formerLeaderLoad(t *testing.T) {
	bubble.Run(t, func(t *testing.T) {
		for _, knows := range []int{0, 1} { // records
			w := newWorld(t)
			log := &lagging{world: w, knows: knows}
			h := w.host("a", func(c *Config) { c.Log = log }, sums())
			w.own(h, 1, Checkpoint{})
			for range 3 {
				w.result(ask(h, at, "add", "", "1"))
			}
			log.answers.Store(3)
			h.Touched(at)
			for range 5 {
				if got := w.result(ask(h, at, "get", "", "null")); got != "3" && !strings.Contains(got, "before record 3") {
					t.Errorf("with %d records: the sum is %s, want 3", knows, got)
				}
				time.Sleep(100 * time.Millisecond)
			}
		}
	})
}

// TestPurge_formerLeader: a tombstone that a former leader does not know is taken up all the same.
func TestPurge_formerLeader(t *testing.T) {
	w := newWorld(t)
	log := &lagging{world: w, knows: 1}
	h := w.host("a", func(c *Config) { c.Log = log }, sums())
	w.own(h, 1, Checkpoint{})
	for range 3 {
		w.result(ask(h, at, "add", "", "1"))
	}
	w.change(func() { w.onAppend = func(*Entry) (bool, error) { log.answers.Store(1); return true, nil } })
	if got := w.purge(h, at); got != "null" {
		t.Errorf("answer %s, want null", got)
	}
}

// TestHost_newLeader: a node takes over, from a dead node or by hand-over, while the log's new leader does not know yet what its predecessor has stored. A
// call that is repeated then has its step run no more than once.
func TestHost_newLeader(t *testing.T) {
	for _, tc := range []struct {
		knows   int // records
		unclean bool
	}{{0, true}, {1, true}, {0, false}, {1, false}} {
		t.Run(fmt.Sprintf("%+v", tc), func(t *testing.T) {
			w := newWorld(t)
			log := &lagging{world: w, knows: tc.knows}
			ran := 0
			step := NewStep("step", func(context.Context, None) (int, error) { ran++; return ran, nil })
			def := NewObject[int]("sum")
			NewMethod(def, "add", func(n *int, ctx Context, _ None) (int, error) {
				*n++
				return step.Run(ctx, None{})
			})
			h := w.host("a", nil, def)
			w.own(h, 1, Checkpoint{})
			for i := range 3 {
				w.result(ask(h, at, "add", fmt.Sprint(i), "null"))
			}
			h.Close()
			w.change(func() { w.issued = func() (uint64, error) { return 2, nil } })
			next := w.host("b", func(c *Config) { c.Log, c.Lags = log, !tc.unclean }, def)
			log.answers.Store(1)
			if err := next.Own(t.Context(), []Claim{{Partition: 0, Epoch: 2, Unclean: tc.unclean}}); err != nil {
				t.Fatal(err)
			}
			if got := w.result(ask(next, at, "add", "2", "null")); got != "3" || ran != 3 {
				t.Errorf("the call again says %s, the step ran %d times", got, ran)
			}
		})
	}
}

// halting is a log of which every third question for the last record is not answered, for a while.
type halting struct {
	*world
	asked atomic.Int32
	until time.Time
}

func (l *halting) Last(ctx context.Context, a Address) (*Entry, error) {
	if n := l.asked.Add(1); n%3 == 0 && time.Now().Before(l.until) {
		return nil, ErrAppendUnknown
	}
	return l.world.Last(ctx, a)
}

// TestHost_touchedOften: an object is looked at again and again while its log answers only now and then. What there is to look at
// does not become more with each try.
func TestHost_touchedOften(t *testing.T) {
	bubble.Run(t, func(t *testing.T) {
		w := newWorld(t)
		log := &halting{world: w, until: time.Now().Add(time.Minute)}
		h := w.host("a", func(c *Config) { c.Log = log }, sums())
		w.own(h, 1, Checkpoint{})
		for log.asked.Load() == 0 {
			ask(h, at, "add", "", "1")
			time.Sleep(time.Second)
		}
		for range 30 {
			for range 3 {
				h.Touched(at)
			}
			time.Sleep(time.Second)
		}
		time.Sleep(time.Minute)
		if n := log.asked.Load(); n > 500 {
			t.Errorf("the log was asked %d times", n)
		}
		asked := log.asked.Load()
		time.Sleep(time.Minute)
		if n := log.asked.Load(); n != asked {
			t.Errorf("the log is still asked: %d times in a minute", n-asked)
		}
	})
}

// TestHost_touchedTwice: two records of somebody else's are seen before the log has them, and the second one is stored a moment after
// the first was found.
func TestHost_touchedTwice(t *testing.T) {
	bubble.Run(t, func(t *testing.T) {
		other := newWorld(t)
		h := other.host("other", nil, sums())
		other.own(h, 1, Checkpoint{})
		w := newWorld(t)
		o := sums()
		NewQuery(o, "slow", func(s sum, _ ReadContext, _ None) (int, error) { time.Sleep(100 * time.Millisecond); return s.N, nil })
		next := w.host("a", nil, o)
		w.own(next, 1, Checkpoint{})
		w.result(ask(next, at, "add", "", "1"))
		for range 3 {
			other.result(ask(h, at, "add", "", "1"))
		}
		ask(next, at, "slow", "", "null")
		synctest.Wait()
		next.Touched(at) // both are in one batch
		next.Touched(at)
		w.put(*other.log[1])
		time.Sleep(200 * time.Millisecond)
		w.put(*other.log[2])
		time.Sleep(5 * time.Second)
		if got := w.result(ask(next, at, "get", "", "null")); got != "3" {
			t.Errorf("the sum is %s, want 3", got)
		}
	})
}
