package actor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perdure/perdure/internal/bubble"
)

// chimePlan is what callers do to one object, and when, in ms. Whatever dies meanwhile, its alarms ring as chimeWant says.
var chimePlan = []struct {
	at  int
	ops string
}{
	{0, ops(
		chimeOp{Key: "near", In: 700}, chimeOp{Key: "replaced", In: 3000}, chimeOp{Key: "far", In: 12_000}, chimeOp{Key: "cancelled", In: 4000},
		chimeOp{Key: "tie1", In: 9000}, chimeOp{Key: "tie2", In: 9000}, chimeOp{Key: "farther", In: 60_000, Ring: ringing{Fails: 1, As: "after"}},
	)},
	{1500, ops(chimeOp{Key: "again", In: 1000, Ring: ringing{Again: 2, Sleep: 200}}, chimeOp{Key: "replaced", In: 6000})},
	{2600, `{"Sleep":2500,"Ops":[{"Key":"cancelled","Cancel":true}]}`}, // it comes due while this runs
	{20_000, ops(chimeOp{Key: "late", In: -1000, Ring: ringing{Sleep: 2500}}, chimeOp{Key: "near", In: 100})},
	{21_000, `{"Fail":true,"Ops":[{"Key":"farther","Cancel":true},{"Key":"wrong","In":1}]}`},
	{30_000, ops(chimeOp{Key: "called off", In: 10_000})}, // its schedule is cancelled before it fires
	{31_000, ops(chimeOp{Key: "called off", In: 12_000})},
	{32_000, ops(chimeOp{Key: "called off", Cancel: true})},
}

// "again" rings once before the call that sleeps, and waits behind it the second time.
var chimeWant = []string{"near", "again", "again", "again", "replaced", "tie1", "tie2", "far", "late", "near", "farther"}

// accident is a kill at the n-th time that something is done.
type accident struct {
	what string // "append", "arm", "cancel" or "done"
	at   int
	done bool // before the kill
	told bool // the node learns of it
	cold bool // the next owner has no checkpoint
}

// TestAlarm_Kill kills the owner at every point where state is half written, each once: no alarm is lost, doubled or out of order,
// none that was replaced or cancelled fires, and nothing is left behind.
func TestAlarm_Kill(t *testing.T) {
	for _, what := range []string{"append", "arm", "cancel", "done"} {
		for n := 1; ; n++ {
			reached := true
			for _, a := range []accident{
				{what, n, false, false, false}, {what, n, true, false, false}, {what, n, true, true, false}, {what, n, true, false, true},
			} {
				t.Run(fmt.Sprintf("%+v", a), func(t *testing.T) {
					bubble.Run(t, func(t *testing.T) { reached = a.happens(t) })
				})
			}
			if !reached {
				if n < 4 {
					t.Errorf("%s is done only %d times", what, n)
				}
				break
			}
		}
	}
}

// happens lives through the plan with one accident, and reports whether there was one.
func (a accident) happens(t *testing.T) bool {
	w := newWorld(t)
	s := newServer(w)
	var host atomic.Pointer[Host]
	var striking sync.Mutex
	epoch, count, struck := uint64(0), 0, false
	var left Checkpoint
	ended := func() {}
	own := func() {
		epoch++
		issued := epoch
		w.change(func() { w.issued = func() (uint64, error) { return issued, nil } })
		h := w.host(fmt.Sprint("node", epoch), func(c *Config) { c.Timers, c.Idle = s, time.Second }, chimes())
		host.Store(h)
		w.own(h, epoch, left)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func(h *Host) { done <- h.Run(ctx) }(h)
		ended = func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
	defer func() { ended() }()
	strike := func(what string) bool {
		striking.Lock()
		defer striking.Unlock()
		if what != a.what {
			return false
		}
		if count++; count != a.at {
			return false
		}
		struck = true
		if !a.cold {
			left, _ = host.Load().Checkpoint(0)
		}
		host.Load().cancel()
		return true
	}
	w.onAppend = func(*Entry) (bool, error) {
		if !strike("append") {
			return true, nil
		}
		if a.told {
			return a.done, nil
		}
		return a.done, ErrAppendUnknown
	}
	s.on = func(what string) (bool, error) {
		if !strike(what) {
			return true, nil
		}
		if a.told {
			return a.done, nil
		}
		return a.done, errors.New("killed")
	}
	own()
	again := func() {
		if host.Load().ctx.Err() != nil {
			ended()
			own()
		}
	}
	began := time.Now()
	for i, step := range chimePlan {
		for now := time.Duration(step.at) * time.Millisecond; time.Since(began) < now; { // a node that died is replaced within 10 ms
			time.Sleep(min(10*time.Millisecond, now-time.Since(began)))
			again()
		}
		out := ask(host.Load(), bell, "do", fmt.Sprint("call-", i), step.ops)
		go func() {
			for o := <-out; o.Err != nil && o.Err.Code == CodeUnavailable; o = <-out {
				time.Sleep(20 * time.Millisecond)
				out = ask(host.Load(), bell, "do", fmt.Sprint("call-", i), step.ops)
			}
		}()
	}
	for time.Since(began) < 2*time.Minute {
		time.Sleep(50 * time.Millisecond)
		again()
	}
	synctest.Wait()
	h := host.Load()
	w.rang(h, chimeWant...)
	if armed, firings := s.left(); armed+firings > 0 {
		t.Errorf("%d schedules and %d firings are left", armed, firings)
	}
	if c, _ := h.Checkpoint(0); len(c.Unsettled) > 0 {
		t.Errorf("unsettled: %v", c.Unsettled)
	}
	var ran []string // by arming: each at most once
	for _, e := range w.log {
		rec, _ := DecodeRecord(e.Body)
		for _, ev := range rec.Events {
			if ev.Type == WaitCompleted && ev.alarm() {
				if slices.Contains(ran, ev.ID) {
					t.Errorf("arming %s of %s fired twice", ev.ID, ev.Key)
				}
				ran = append(ran, ev.ID)
			}
		}
	}
	return struck
}

// TestAlarm_SuccessorArmed: two alarms were armed when their node died, and neither schedule was there yet. Both fire, though
// nobody looks after the object.
func TestAlarm_SuccessorArmed(t *testing.T) {
	bubble.Run(t, func(t *testing.T) {
		w := newWorld(t)
		s := newServer(w)
		ended := make(chan struct{})
		s.on = func(what string) (bool, error) {
			select {
			case <-ended:
				return true, nil
			default:
				return what != "arm", errors.New("not now")
			}
		}
		idle := func(c *Config) { c.Timers, c.Idle = s, time.Minute }
		h := w.host("a", idle, chimes())
		stop := w.running(h)
		w.own(h, 1, Checkpoint{})
		w.result(ask(h, bell, "do", "", ops(chimeOp{Key: "later", In: 3_600_000})))
		w.result(ask(h, bell, "do", "", ops(chimeOp{Key: "sooner", In: 1_800_000})))
		stop()
		close(ended)
		w.change(func() { w.issued = func() (uint64, error) { return 2, nil } })
		h = w.host("b", idle, chimes())
		w.running(h)
		w.own(h, 2, Checkpoint{})
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		n := 0
		for _, e := range w.log {
			rec, _ := DecodeRecord(e.Body)
			for _, ev := range rec.Events {
				if ev.Type == WaitCompleted && ev.alarm() {
					n++
				}
			}
		}
		if n != 2 {
			t.Errorf("%d alarms have fired by themselves", n)
		}
		w.rang(h, "sooner", "later")
	})
}
