package actor

import (
	"context"
	"fmt"
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
				if n := w.count(WaitCompleted); n != 1 {
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
		time.Sleep(10 * time.Second)
		c, _ := h.Checkpoint(0)
		var late Entry
		former := h
		w.change(func() {
			w.onAppend = func(e *Entry) (bool, error) {
				late = *e
				<-former.ctx.Done()
				return false, ErrAppendUnknown
			}
		})
		ask(h, addr, "do", "", ops(chimeOp{Key: "a", Cancel: true}))
		synctest.Wait()
		former.cancel()
		stop()
		w.change(func() { w.onAppend = nil })
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
				if want := map[string]int{"nearer": 2, "paused": 1}[how]; w.count(WaitCompleted) != want {
					t.Errorf("%d alarms rang, want %d", w.count(WaitCompleted), want)
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
		if n := len(w.outcomes["me"]); n != 1 {
			t.Errorf("the outcome of a send an hour ago was told %d times", n)
		}
		if n := w.count(WaitCompleted); n != 1 {
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
		for _, at := range s.armed {
			began[due.Sub(at).Truncate(time.Second)]++
		}
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
		for _, e := range w.log {
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
