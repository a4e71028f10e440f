package actor

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perdure/perdure/internal/bubble"
)

// TestHost_firingOfAnAddedPartition: a firing that the reader of other partitions hands to one that was just added does not make
// the earlier ones stale, which come from its cursor.
func TestHost_firingOfAnAddedPartition(t *testing.T) {
	w := newWorld(t)
	h := w.host("a", nil, sleeper())
	w.own(h, 1, Checkpoint{})
	h.fire(&Firing{Seq: 7, Address: Address{"sleeper", "x"}, ID: "wait-x"}) // by the reader that runs for other partitions
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	w.firings <- &Firing{Seq: 3, Address: Address{"sleeper", "y"}, ID: "wait-y"} // from its cursor
	w.firings <- &Firing{Seq: 7, Address: Address{"sleeper", "x"}, ID: "wait-x"}
	if !w.within(atLongLast, func() bool { return len(w.dropped) == 2 }) {
		c, _ := h.Checkpoint(0)
		t.Errorf("firings done: %v, want 3 and 7; the timers cursor is %d", w.dropped, c.Timers)
	}
}

func tokenWorkflow(told chan<- error) *Workflow[None, None] {
	action := NewHook[int, int]("action")
	own := NewHook[int, int]("own")
	return NewWorkflow("flow", func(ctx Context, _ None) (None, error) {
		call, err := action.Create(ctx).Await(ctx)
		if err != nil {
			return None{}, err
		}
		p := own.Create(ctx, Token("mine"))
		call.Reply(ctx, 1)
		_, err = p.Await(ctx)
		told <- err
		return None{}, err
	}, action, own)
}

// TestHost_earlyFiringAndDiscard: a firing that came early is kept in memory alone, also after memory was discarded.
func TestHost_earlyFiringAndDiscard(t *testing.T) {
	bubble.Run(t, func(t *testing.T) {
		w := newWorld(t)
		h := w.host("a", nil, sleeper())
		w.own(h, 1, Checkpoint{})
		p := h.owned(0)
		p.mu.Lock()
		p.timers.join()
		p.mu.Unlock()
		addr := Address{"sleeper", "k"}
		w.result(ask(h, addr, "action", "", "1"))
		w.until("armed", func() bool { return len(w.armed) == 1 })
		id := w.armedWait()
		w.result(ask(h, addr, HookDescribe, "", "null"))
		got := make(chan *Outcome, 1)
		h.Call(&Request{ // another record
			Address: addr, Hook: "action", Header: CallHeader{Wait: WaitReceived}, Payload: []byte("9"),
			Received: time.Now(), Reply: func(o *Outcome) { got <- o },
		})
		w.result(got)
		w.result(ask(h, addr, HookDescribe, "", "null"))
		h.fire(&Firing{Seq: 1, Address: addr, ID: id}) // early
		w.result(ask(h, addr, HookDescribe, "", "null"))
		w.change(func() { w.onAppend = func(*Entry) (bool, error) { return false, ErrAppendRefused } })
		w.answer(ask(h, addr, "action", "", "2")) // refused: memory is discarded
		w.change(func() { w.onAppend = nil })
		w.result(ask(h, addr, HookDescribe, "", "null"))
		w.result(ask(h, addr, HookDescribe, "", "null"))
		synctest.Wait()
		if n := p.evict(time.Now().Add(time.Hour), time.Minute); n != 0 {
			t.Errorf("%d evicted: its schedule has fired, nothing wakes its sleep", n)
		}
	})
}

// TestHost_overdueWaitAfterParking: a firing that came while the run was parked is gone. With the old code back the
// run is unsettled until its wait is over.
func TestHost_overdueWaitAfterParking(t *testing.T) {
	bubble.Run(t, func(t *testing.T) {
		w := newWorld(t)
		action := NewHook[int, int]("action")
		other := NewStep("other", func(context.Context, None) (None, error) { return None{}, nil })
		def := func(broken bool) *Workflow[None, None] {
			return NewWorkflow("flow", func(ctx Context, _ None) (None, error) {
				if broken {
					if _, err := other.Run(ctx, None{}); err != nil {
						return None{}, err
					}
				}
				call, err := action.Create(ctx).Await(ctx)
				if err != nil {
					return None{}, err
				}
				call.Reply(ctx, call.Payload)
				return None{}, Sleep(ctx, 2500*time.Millisecond)
			}, action)
		}
		addr := Address{"flow", "k"}
		h := w.host("a", nil, def(false))
		w.own(h, 1, Checkpoint{})
		w.result(ask(h, addr, "action", "", "1"))
		w.until("armed", func() bool { return len(w.armed) == 1 })
		w.result(ask(h, addr, HookDescribe, "", "null"))
		id := w.armedWait()
		c, _ := h.Checkpoint(0)
		h.Close()
		h = w.host("b", nil, def(true)) // a bad deployment
		w.own(h, 2, c)
		w.answer(ask(h, addr, "action", "", "13"))
		time.Sleep(2600 * time.Millisecond)
		h.owned(0).timers.join()
		h.fire(&Firing{Seq: 1, Address: addr, ID: id})
		w.until("dropped", func() bool { return len(w.dropped) == 1 })
		c, _ = h.Checkpoint(0)
		h.Close()

		h = w.host("c", nil, def(false)) // rolled back
		blocked := make(chan struct{})
		hh := h
		w.change(func() {
			w.onAppend = func(e *Entry) (bool, error) {
				rec, _ := DecodeRecord(e.Body)
				for _, ev := range rec.Events {
					if ev.Type == WaitCompleted {
						close(blocked)
						<-hh.ctx.Done()
						return false, ErrAppendUnknown
					}
				}
				return true, nil
			}
		})
		w.own(h, 3, c)
		<-blocked
		c, _ = h.Checkpoint(0)
		t.Logf("checkpoint %+v", c)
		h.cancel() // crash
		w.change(func() { w.onAppend = nil; w.issued = func() (uint64, error) { return 4, nil } })
		h = w.host("d", nil, def(false))
		w.own(h, 4, c)
		if !w.within(time.Second, func() bool { return w.count(WaitCompleted) == 1 }) {
			t.Errorf("the sleep is overdue and nothing wakes the run; log %v", w.events())
		}
	})
}

// armedWait returns the wait that a schedule keeps.
func (w *world) armedWait() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id := range w.armed {
		return id
	}
	w.t.Fatal("no schedule is armed")
	return ""
}

// TestLife_earlyFiring: a firing that comes before its time, by the owner's clock, is kept in memory alone. A run that is paused
// or parked by then, or later, is woken by its timer all the same.
func TestLife_earlyFiring(t *testing.T) {
	for name, tc := range map[string]struct {
		def    func() Definition
		addr   Address
		set    func(w *world, h *Host)
		before bool
	}{
		"sleep, paused first":    {func() Definition { return newErrands().def() }, errand, func(_ *world, h *Host) { ask(h, errand, "do", "", `"sleep"`) }, true},
		"sleep, firing first":    {func() Definition { return newErrands().def() }, errand, func(_ *world, h *Host) { ask(h, errand, "do", "", `"sleep"`) }, false},
		"alarm, paused first":    {func() Definition { return chimes() }, bell, func(_ *world, h *Host) { ask(h, bell, "do", "", ops(chimeOp{Key: "a", In: 3_600_000})) }, true},
		"alarm, firing first":    {func() Definition { return chimes() }, bell, func(_ *world, h *Host) { ask(h, bell, "do", "", ops(chimeOp{Key: "a", In: 3_600_000})) }, false},
		"sleep, never unpaused":  {func() Definition { return newErrands().def() }, errand, func(_ *world, h *Host) { ask(h, errand, "do", "", `"sleep"`) }, true},
		"alarm, never unpaused":  {func() Definition { return chimes() }, bell, func(_ *world, h *Host) { ask(h, bell, "do", "", ops(chimeOp{Key: "a", In: 3_600_000})) }, true},
		"sleep, unpaused at due": {func() Definition { return newErrands().def() }, errand, func(_ *world, h *Host) { ask(h, errand, "do", "", `"sleep"`) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Run(t, func(t *testing.T) {
				w := newWorld(t)
				h := w.host("a", func(c *Config) { c.Idle = time.Minute }, tc.def())
				w.run(h)
				w.own(h, 1, Checkpoint{})
				tc.set(w, h)
				w.until("armed", func() bool { return len(w.armed) == 1 })
				time.Sleep(time.Minute)
				fire := func() { w.firings <- &Firing{Seq: 1, Address: tc.addr, ID: w.armedWait()} }
				if !tc.before {
					fire()
					time.Sleep(time.Second)
				}
				if got := w.result(ask(h, tc.addr, HookPause, "", "")); got != "null" {
					t.Fatal(got)
				}
				if tc.before {
					fire()
				}
				time.Sleep(20 * time.Minute) // long enough to leave memory
				if !strings.Contains(name, "never") && !strings.Contains(name, "at due") {
					if got := w.result(ask(h, tc.addr, HookUnpause, "", "")); got != "null" {
						t.Fatal(got)
					}
				}
				time.Sleep(time.Hour)
				if strings.Contains(name, "at due") {
					if got := w.result(ask(h, tc.addr, HookUnpause, "", "")); got != "null" {
						t.Fatal(got)
					}
					time.Sleep(time.Second)
				}
				synctest.Wait()
				if n, want := w.count(WaitCompleted), map[bool]int{true: 0, false: 1}[strings.Contains(name, "never")]; n != want {
					t.Errorf("%d timers have fired, want %d: %v", n, want, w.events())
				}
				if !slices.Equal(w.dropped, []uint64{1}) {
					t.Errorf("firings dealt with: %v", w.dropped)
				}
			})
		})
	}
}
