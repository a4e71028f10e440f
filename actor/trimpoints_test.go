package actor

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/perdure/perdure/internal/race"
)

// TestHost_trimAtEachPoint kills the node after each append and each removal of some calls: the next one finds all that it needs.
func TestHost_trimAtEachPoint(t *testing.T) {
	for name, k := range trimKinds(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			turns := k.most + 40
			points, step := 0, 1
			if race.Enabled {
				step = 11 // what it looks for are no races
			}
			for killedAtPoint(t, k, turns, points) {
				points += step
			}
			if points <= turns {
				t.Errorf("%d appends and removals for %d calls: nothing is trimmed", points, turns)
			}
		})
	}
}

// killedAtPoint has a node do calls, of which nothing takes effect after as many appends and removals, and another go on. It
// reports false when there were not so many.
func killedAtPoint(t *testing.T, k trimKind, turns, point int) bool {
	t.Helper()
	w := newWorld(t)
	var (
		ops       atomic.Int64
		received  atomic.Int64 // calls that are stored
		completed atomic.Int64 // those of them whose outcome is stored: the next node finishes the others
	)
	dead := make(chan struct{})
	alive := func() bool {
		n := int(ops.Add(1))
		if n == point+1 {
			w.change(func() { close(dead) })
		}
		return n <= point
	}
	errDead := errors.New("the node is dead")
	w.change(func() {
		w.onRemove = func(uint64) error {
			if !alive() {
				return errDead
			}
			return nil
		}
		w.onAppend = func(e *Entry) (bool, error) {
			if !alive() {
				return false, errDead
			}
			rec, err := DecodeRecord(e.Body)
			if err != nil {
				t.Error(err)
				return false, err
			}
			for _, ev := range rec.Events {
				if ev.Type == HookReceived {
					received.Add(1)
				}
				if ev.Type == CallCompleted {
					completed.Add(1)
				}
			}
			return true, nil
		}
	})
	h := w.host("a", nil, k.def())
	w.own(h, 1, Checkpoint{})
	reached := func() bool {
		for turn := range turns + 50 {
			killed := false
			if turn >= turns && w.within(time.Second, func() bool { // called under the lock
				select {
				case <-dead:
					killed = true
				default:
				}
				return killed || len(w.kept(k.addr)) <= k.most
			}) {
				return killed
			} // not yet: while effects wait to be let out, a record has nothing removed, and a later one does
			hook, payload := k.call(turn)
			select {
			case <-ask(h, k.addr, hook, "", payload):
			case <-dead:
				return true
			case <-time.After(w.limit):
				t.Fatalf("call %d has no answer", turn)
			}
		}
		t.Fatal("never: what nobody needs is removed")
		return false
	}()
	h.Close()
	w.change(func() { w.onRemove, w.onAppend = nil, nil })
	applied, done := int(completed.Load()), int(received.Load())
	next := w.host("b", nil, k.def())
	w.own(next, 2, Checkpoint{})
	for range 3 {
		got := w.result(ask(next, k.addr, HookState, "", ""))
		if applied > 5 && !strings.HasPrefix(got, k.state(applied)) && !strings.HasPrefix(got, k.state(done)) {
			t.Fatalf("killed after %d appends and removals, %d to %d calls applied: the state is %.300s", point, applied, done, got)
		}
		if o := w.answer(ask(next, k.addr, HookEvents, "", "")); o.Err != nil {
			t.Fatalf("killed after %d appends and removals: $events: %v", point, o.Err)
		}
		hook, payload := k.call(done)
		w.result(ask(next, k.addr, hook, "", payload))
		done++
		applied = done // those before it are finished first
	}
	next.Close()
	return reached
}
