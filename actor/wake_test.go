package actor

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perdure/perdure/internal/bubble"
)

// wokenAhead returns an object of the type whose schedules fire at least that long before their waits are due.
func wokenAhead(typ string, atLeast time.Duration) Address {
	r := &run{host: &Host{}}
	for i := 0; ; i++ {
		r.addr = Address{typ, fmt.Sprint("k", i)}
		if due := time.Now().Add(time.Hour); due.Sub(r.wakeAt(due)) >= atLeast {
			return r.addr
		}
	}
}

// successor has another host own the world's partition, after the one before has ended.
func (w *world) successor(epoch uint64, from Checkpoint, unclean bool, s *server, def Definition) (h *Host, stop func()) {
	w.t.Helper()
	w.change(func() { w.issued = func() (uint64, error) { return epoch, nil } })
	h = w.host(fmt.Sprint("node", epoch), func(c *Config) { c.Timers, c.Idle = s, time.Second }, def)
	stop = w.running(h)
	if err := h.Own(w.t.Context(), []Claim{{Partition: 0, Epoch: epoch, Checkpoint: from, Unclean: unclean}}); err != nil {
		w.t.Fatal(err)
	}
	return h, stop
}

// cutOff has a host die while what it appends for a call is on its way, and returns that, and what its successor begins with.
func (w *world) cutOff(h *Host, stop func(), addr Address, hook, in string) (late Entry, left Checkpoint) {
	w.t.Helper()
	time.Sleep(10 * time.Second)
	left, _ = h.Checkpoint(0)
	w.change(func() {
		w.onAppend = func(e *Entry) (bool, error) {
			late = *e
			<-h.ctx.Done()
			return false, ErrAppendUnknown
		}
	})
	ask(h, addr, hook, "", in)
	synctest.Wait()
	h.cancel()
	stop()
	w.change(func() { w.onAppend = nil })
	return late, left
}

// over is how many waits have ended.
func (w *world) over() (n int) {
	w.change(func() { n = w.count(WaitCompleted) })
	return n
}

// nothingLeft checks that no schedule, no firing and no object is left.
func (s *server) nothingLeft(t *testing.T, h *Host) {
	t.Helper()
	if armed, firings := s.left(); armed+firings > 0 || h.resident.Load() > 0 {
		t.Errorf("%d schedules and %d firings are left, %d objects in memory", armed, firings, h.resident.Load())
	}
}

// TestWake_floor: objects that are woken do not take the floor of the log back to their last records.
func TestWake_floor(t *testing.T) {
	bubble.Run(t, func(t *testing.T) {
		w, _, h := ringer(t, func(c *Config) { c.Idle = time.Second })
		for i := range 1500 {
			w.result(ask(h, Address{"chime", fmt.Sprint(i)}, "do", "", ops(chimeOp{Key: "a", In: 60_000})))
		}
		due := time.Now().Add(time.Minute)
		for range 3000 {
			w.result(ask(h, Address{"chime", "busy"}, "do", "", ops()))
		}
		time.Sleep(30 * time.Second)
		before, _ := h.Checkpoint(0)
		time.Sleep(time.Until(due) - 800*time.Millisecond)
		if within, _ := h.Checkpoint(0); within.Floor < before.Floor || len(within.Unsettled) > 0 {
			t.Errorf("the floor went from %d to %d, %d objects are unsettled", before.Floor, within.Floor, len(within.Unsettled))
		}
	})
}

type nap struct{ Slept int }

// nappers is an object whose method sleeps; changed code runs a step before.
func nappers(changed bool) *Object[nap] {
	o := NewObject[nap]("nap")
	other := NewStep("other", func(context.Context, None) (None, error) { return None{}, nil })
	NewMethod(o, "nap", func(s *nap, ctx Context, seconds int) (int, error) {
		if changed {
			if _, err := other.Run(ctx, None{}); err != nil {
				return 0, err
			}
		}
		if err := Sleep(ctx, time.Duration(seconds)*time.Second); err != nil {
			return 0, err
		}
		s.Slept++
		return s.Slept, nil
	})
	return o
}

// TestWake_parked: a method sleeps; its schedule fires early while the object is parked, under code that does not know of the
// sleep. Under the old code again the sleep ends, whatever becomes of the object before.
func TestWake_parked(t *testing.T) {
	for _, then := range []string{"evicted", "died"} {
		t.Run(then, func(t *testing.T) {
			bubble.Run(t, func(t *testing.T) {
				addr := wokenAhead("nap", 7*time.Second)
				w := newWorld(t)
				s := newServer(w)
				h, stop := w.successor(1, Checkpoint{}, false, s, nappers(false))
				ask(h, addr, "nap", "id", "60")
				due := time.Now().Add(time.Minute)
				next := func(epoch uint64, def Definition) {
					c, _ := h.Checkpoint(0)
					stop()
					h, stop = w.successor(epoch, c, false, s, def)
				}
				time.Sleep(10 * time.Second)
				next(2, nappers(true))
				if err := w.answer(ask(h, addr, "nap", "id2", "1")).Err; err == nil || err.Code != CodeStopped {
					t.Fatal(err)
				}
				time.Sleep(time.Until(due) - 6*time.Second) // it has fired
				next(3, nappers(false))
				if then == "died" {
					time.Sleep(500 * time.Millisecond)
					next(4, nappers(false))
				}
				time.Sleep(time.Until(due) + time.Minute)
				synctest.Wait()
				if n := w.over(); n != 1 {
					t.Errorf("a minute after it was due the sleep is over %d times: %v", n, w.events())
				}
				s.nothingLeft(t, h)
			})
		})
	}
}

// TestWake_lateAppend: a record of the former owner is stored late, and takes away the alarm whose firing is kept.
func TestWake_lateAppend(t *testing.T) {
	bubble.Run(t, func(t *testing.T) {
		addr := wokenAhead("chime", 7*time.Second)
		w := newWorld(t)
		s := newServer(w)
		h, stop := w.successor(1, Checkpoint{}, false, s, chimes())
		w.result(ask(h, addr, "do", "", ops(chimeOp{Key: "a", In: 30_000})))
		due := time.Now().Add(30 * time.Second)
		late, c := w.cutOff(h, stop, addr, "do", ops(chimeOp{Key: "a", Cancel: true}))
		h, _ = w.successor(2, c, true, s, chimes())
		time.Sleep(time.Until(due) - 6*time.Second) // the firing is kept
		w.put(late)
		h.Touched(addr)
		time.Sleep(time.Minute)
		s.nothingLeft(t, h)
	})
}

// TestWake_refused: an append is refused while a firing is kept by an object that has nothing else to do; the firing is used, or
// dropped, all the same.
func TestWake_refused(t *testing.T) {
	for _, how := range []string{"nearer", "paused"} {
		t.Run(how, func(t *testing.T) {
			bubble.Run(t, func(t *testing.T) {
				addr := wokenAhead("chime", 8*time.Second)
				w, s, h := ringer(t, func(c *Config) { c.Idle = time.Second })
				w.result(ask(h, addr, "do", "", ops(chimeOp{Key: "a", In: 30_000})))
				time.Sleep(30*time.Second - 7500*time.Millisecond) // kept
				hook, in := HookPause, ""
				if how == "nearer" {
					hook, in = "do", ops(chimeOp{Key: "b", In: 5000})
				}
				w.result(ask(h, addr, hook, "", in))
				time.Sleep(100 * time.Millisecond)
				w.change(func() { w.onAppend = func(*Entry) (bool, error) { return false, ErrAppendRefused } })
				if how == "paused" {
					hook, in = HookUnpause, ""
				}
				if err := w.answer(ask(h, addr, hook, "", in)).Err; err == nil {
					t.Fatal("it is not refused")
				}
				w.change(func() { w.onAppend = nil })
				time.Sleep(time.Minute)
				if how == "paused" {
					w.result(ask(h, addr, HookUnpause, "", ""))
					time.Sleep(time.Minute)
				}
				if want := map[string]int{"nearer": 2, "paused": 1}[how]; w.over() != want {
					t.Errorf("%d alarms rang, want %d", w.over(), want)
				}
				s.nothingLeft(t, h)
			})
		})
	}
}

// TestWake_handover: whoever is handed an object that was woken does not do the effects of its last record again.
func TestWake_handover(t *testing.T) {
	bubble.Run(t, func(t *testing.T) {
		addr := wokenAhead("chime", 8*time.Second)
		w := newWorld(t)
		s := newServer(w)
		h, stop := w.successor(1, Checkpoint{}, false, s, chimes())
		w.send(addr, "do", ops(chimeOp{Key: "a", In: 3_600_000}), CallHeader{ReplyTo: "me"})
		time.Sleep(time.Hour - 7*time.Second)
		left, err := h.Release(t.Context(), []int{0})
		if err != nil {
			t.Fatal(err)
		}
		stop()
		h, _ = w.successor(2, left[0], false, s, chimes())
		time.Sleep(time.Minute)
		var told int
		w.change(func() { told = len(w.outcomes["me"]) })
		if told != 1 {
			t.Errorf("the outcome of a send an hour ago was told %d times", told)
		}
		if n := w.over(); n != 1 {
			t.Errorf("rang %d times", n)
		}
		s.nothingLeft(t, h)
	})
}

// TestWake_cancelled: an object is not read again for an alarm that was cancelled when its schedule had fired.
func TestWake_cancelled(t *testing.T) {
	bubble.Run(t, func(t *testing.T) {
		addr := wokenAhead("chime", 8*time.Second)
		w, s, h := ringer(t, func(c *Config) { c.Idle = time.Second })
		w.result(ask(h, addr, "do", "", ops(chimeOp{Key: "a", In: 30_000})))
		due := time.Now().Add(30 * time.Second)
		time.Sleep(time.Until(due) - 7500*time.Millisecond) // kept
		w.result(ask(h, addr, "do", "", ops(chimeOp{Key: "a", Cancel: true})))
		time.Sleep(time.Until(due) - time.Second)
		s.nothingLeft(t, h)
		time.Sleep(1100 * time.Millisecond)
		s.nothingLeft(t, h)
	})
}

// TestWake_pausedUnreadable: a paused object whose call ids cannot be read lets go of a firing.
func TestWake_pausedUnreadable(t *testing.T) {
	bubble.Run(t, func(t *testing.T) {
		addr := wokenAhead("chime", 7*time.Second)
		w := newWorld(t)
		f := &forgetful{world: w}
		s := newServer(w)
		h := w.host("a", func(c *Config) { c.Timers, c.Log, c.Idle = s, f, time.Second }, chimes())
		w.running(h)
		w.own(h, 1, Checkpoint{})
		for i := range 70 {
			w.result(ask(h, addr, "do", fmt.Sprint("id", i), ops()))
		}
		w.result(ask(h, addr, "do", "", ops(chimeOp{Key: "a", In: 60_000})))
		w.result(ask(h, addr, HookPause, "", ""))
		time.Sleep(20 * time.Second)
		f.below.Store(w.table() + 1)
		time.Sleep(time.Minute)
		s.nothingLeft(t, h)
	})
}

// TestWake_early: objects that left memory are read again before they are due, not all at one time, and act on time although
// schedules fire late.
func TestWake_early(t *testing.T) {
	bubble.Run(t, func(t *testing.T) {
		const objects = 1000
		w, s, h := ringer(t, func(c *Config) { c.Idle = time.Second })
		for i := range objects {
			w.result(ask(h, Address{"chime", fmt.Sprint(i)}, "do", "", ops(chimeOp{Key: "a", In: 60_000})))
		}
		due := time.Now().Add(time.Minute) // that of the last one
		time.Sleep(10 * time.Second)
		if n := h.resident.Load(); n != 0 {
			t.Fatalf("%d objects in memory", n)
		}
		began := map[time.Duration]int{} // schedules, by whole seconds before they are due
		s.mu.Lock()
		for _, at := range s.armed {
			began[due.Sub(at).Truncate(time.Second)]++
		}
		s.mu.Unlock()
		for lead, n := range began {
			if lead < leastLead || lead >= leastLead+leadSpread || n > 2*objects/int(leadSpread/time.Second) {
				t.Errorf("%d schedules fire %v before they are due", n, lead)
			}
		}
		time.Sleep(time.Until(due) - 800*time.Millisecond) // the last schedule has fired
		if n := h.resident.Load(); n != objects {
			t.Errorf("%d objects in memory before they are due, want %d", n, objects)
		}
		time.Sleep(2 * time.Second)
		rang := 0
		var log []*Entry
		w.change(func() { log = slices.Clone(w.log) })
		for _, e := range log {
			rec, _ := DecodeRecord(e.Body)
			for _, ev := range rec.Events {
				if ev.Type != WaitCompleted {
					continue
				}
				if rang++; ev.At.Before(*ev.Due) || ev.At.After(ev.Due.Add(50*time.Millisecond)) {
					t.Errorf("rang %v after it was due", ev.At.Sub(*ev.Due))
				}
			}
		}
		if rang != objects {
			t.Errorf("%d rang, want %d", rang, objects)
		}
		time.Sleep(10 * time.Second)
		s.nothingLeft(t, h)
	})
}

// TestWake_dies: a node dies while it stores that a wait is over, and the reminder and the kept firing have both been looked at. The
// firing is still there: the next owner goes by it.
func TestWake_dies(t *testing.T) {
	for _, what := range []string{"sleep", "alarm", "cancelled"} {
		t.Run(what, func(t *testing.T) {
			bubble.Run(t, func(t *testing.T) {
				typ, def := "chime", Definition(chimes())
				hook, in, next := "do", ops(chimeOp{Key: "a", In: 30_000}), ops()
				if what == "sleep" {
					typ, def, hook, in, next = "nap", nappers(false), "nap", "30", "0"
				}
				addr := wokenAhead(typ, 7*time.Second)
				w := newWorld(t)
				s := newServer(w)
				h, stop := w.successor(1, Checkpoint{}, false, s, def)
				former := h
				ask(h, addr, hook, "id", in)
				due := time.Now().Add(30 * time.Second)
				time.Sleep(time.Until(due) - 50*time.Millisecond)
				stuck := func(*Entry) (bool, error) { <-former.ctx.Done(); return false, ErrAppendUnknown }
				w.change(func() {
					w.onAppend = func(*Entry) (bool, error) { // the node is at work when the wait is due
						w.change(func() { w.onAppend = stuck })
						time.Sleep(100 * time.Millisecond)
						return true, nil
					}
				})
				ask(h, addr, hook, "id2", next)
				synctest.Wait()
				if what == "cancelled" {
					ask(h, addr, "do", "id3", ops(chimeOp{Key: "a", Cancel: true}))
				}
				time.Sleep(time.Second)
				c, _ := h.Checkpoint(0)
				former.cancel()
				stop()
				w.change(func() { w.onAppend = nil })
				h, _ = w.successor(2, c, false, s, def)
				time.Sleep(time.Minute)
				if n := w.over(); n != 1 {
					t.Errorf("a minute later it is over %d times: %v", n, w.events())
				}
				s.nothingLeft(t, h)
			})
		})
	}
}

// TestWake_endedLate: a record of the former owner is stored late, and ends the run whose firing is kept.
func TestWake_endedLate(t *testing.T) {
	bubble.Run(t, func(t *testing.T) {
		def := func() *Workflow[None, None] {
			return NewWorkflow("flow", func(ctx Context, _ None) (None, error) { return None{}, Sleep(ctx, 30*time.Second) })
		}
		addr := wokenAhead("flow", 7*time.Second)
		w := newWorld(t)
		s := newServer(w)
		h, stop := w.successor(1, Checkpoint{}, false, s, def())
		w.result(ask(h, addr, HookStart, "", "null"))
		due := time.Now().Add(30 * time.Second)
		late, c := w.cutOff(h, stop, addr, HookTerminate, "")
		h, _ = w.successor(2, c, true, s, def())
		time.Sleep(time.Until(due) - 6*time.Second) // the firing is kept
		w.put(late)
		h.Touched(addr)
		time.Sleep(time.Minute)
		s.nothingLeft(t, h)
	})
}
