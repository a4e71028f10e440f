package actor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"
)

// rivals are two requests that arrive at a run at the same time.
type rivals struct {
	before      []rival
	silent      bool // the first one writes nothing by itself
	first, then rival
	check       func(t *testing.T, w *world, h *Host, first, then *Outcome)
}

// rival is a request, repeated like clients do: with its call id.
type rival struct {
	hook, id, payload string
	wait              Wait
	send              bool
}

var contest = Address{"contest", "k"}

// contests is a workflow with an input, whose calls say how it goes on.
func contests() *Workflow[int, int] {
	do := NewHook[string, string]("do")
	work := NewStep("work", func(ctx context.Context, n int) (int, error) {
		select { // longer than a turn waits, so that its end comes by itself
		case <-time.After(3 * time.Millisecond):
			return n, nil
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	})
	return NewWorkflow("contest", func(ctx Context, n int) (int, error) {
		for call, err := range do.Create(ctx, Token("contest")).All(ctx) {
			if err != nil {
				return 0, err
			}
			switch call.Payload {
			case "return":
				return n, nil
			case "work":
				if n, err = work.Run(ctx, n+1); err != nil {
					return 0, err
				}
			case "nap":
				if err := Sleep(ctx, 5*time.Millisecond); err != nil {
					return 0, err
				}
			}
			call.Reply(ctx, call.Payload)
		}
		return 0, errors.New("the hook gave up")
	}, do)
}

func (r rival) ask(w *world, h *Host) <-chan *Outcome {
	out := make(chan *Outcome, 1)
	if r.send {
		w.mu.Lock()
		known := slices.ContainsFunc(w.inbox, func(m *Message) bool { return m.Header.CallID == r.id })
		w.mu.Unlock()
		if !known { // it is in the inbox for good
			w.send(contest, r.hook, r.payload, CallHeader{CallID: r.id})
		}
		out <- &Outcome{}
		return out
	}
	h.Call(&Request{
		Address: contest, Hook: r.hook, Header: CallHeader{CallID: r.id, Wait: r.wait}, Payload: []byte(r.payload), Received: time.Now(),
		Reply: func(o *Outcome) { out <- o },
	})
	return out
}

// fight has both requests answered, with the node killed at its kill-th append from then on, before or after it is
// stored, and another taking over; it reports whether there was such an append. Apart, the second request comes while the
// first one's record is on its way.
func (c *rivals) fight(t *testing.T, kill int, stored, swapped, apart bool) (killed bool) {
	w := newWorld(t)
	epoch := uint64(1)
	var stop func()
	next := func() *Host {
		h := w.host(fmt.Sprint("node-", epoch), nil, contests())
		w.change(func() { e := epoch; w.issued = func() (uint64, error) { return e, nil } })
		stop = w.running(h)
		w.own(h, epoch, Checkpoint{})
		return h
	}
	h := next()
	for _, r := range c.before {
		if o := w.answer(r.ask(w, h)); o.Err != nil {
			t.Fatal(o.Err)
		}
	}
	died, begun, both := make(chan struct{}), make(chan struct{}), make(chan struct{})
	var aims sync.Mutex // over is told before or after a kill
	over := false
	w.change(func() {
		left, victim := kill, h
		w.onAppend = func(*Entry) (bool, error) {
			if left == kill && apart {
				close(begun)
				<-both
			}
			aims.Lock()
			defer aims.Unlock()
			if left--; left > 0 || over || victim.ctx.Err() != nil {
				return victim.ctx.Err() == nil, victim.ctx.Err()
			}
			victim.cancel()
			close(died)
			return stored, ErrAppendUnknown
		}
	})
	pair := []rival{c.first, c.then}
	if swapped {
		slices.Reverse(pair)
	}
	var answers [2]*Outcome
	waiting := [2]<-chan *Outcome{pair[0].ask(w, h)}
	if apart {
		select {
		case <-begun:
		case o := <-waiting[0]: // it changes nothing
			answers[0], waiting[0] = heard(o), nil
		}
	}
	waiting[1] = pair[1].ask(w, h)
	again := func(i int) { // what a node refuses for now that lives
		if answers[i] == nil && h.ctx.Err() == nil {
			waiting[i] = pair[i].ask(w, h)
		}
	}
	close(both)
	for answers[0] == nil || answers[1] == nil {
		select {
		case o := <-waiting[0]:
			answers[0], waiting[0] = heard(o), nil
			again(0)
		case o := <-waiting[1]:
			answers[1], waiting[1] = heard(o), nil
			again(1)
		case <-died:
			killed, died = true, nil
			stop()
			w.change(func() { w.onAppend = nil })
			epoch++
			h = next()
			for i := range pair {
				if answers[i] == nil {
					waiting[i] = pair[i].ask(w, h)
				}
			}
		case <-time.After(atLongLast):
			t.Fatalf("no answer: %v; log: %v", answers, w.events())
		}
	}
	aims.Lock()
	over = true
	aims.Unlock()
	w.change(func() { w.onAppend = nil })
	if h.ctx.Err() != nil { // at what followed from their answers
		killed = true
		stop()
		epoch++
		h = next()
	}
	if swapped {
		answers[0], answers[1] = answers[1], answers[0]
	}
	c.check(t, w, h, answers[0], answers[1])
	stop()
	before := w.status(nextQuietly(w, epoch+1), contest)
	if before.Status == StatusParked {
		t.Errorf("it does not replay: %s; log: %v", before.Reason, w.events())
	}
	w.soundEnd(t, contest)
	return killed
}

// heard drops the answers of a node that dies: its callers ask again.
func heard(o *Outcome) *Outcome {
	if o.Err != nil && o.Err.Retryable() {
		return nil
	}
	return o
}

func nextQuietly(w *world, epoch uint64) *Host {
	h := w.host("last", nil, contests())
	w.change(func() { w.issued = func() (uint64, error) { return epoch, nil } })
	w.own(h, epoch, Checkpoint{})
	return h
}

// soundEnd checks that a run ended at most once, that nothing happened to it afterwards, and that every call then has
// one outcome.
func (w *world) soundEnd(t *testing.T, a Address) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	outcomes, ended := map[string]int{}, false
	for _, e := range w.log {
		if e.Address != a { // removed, perhaps
			continue
		}
		rec, err := DecodeRecord(e.Body)
		if err != nil {
			t.Fatal(err)
		}
		for _, ev := range rec.Events {
			_, ends := ev.Type.Ends()
			switch {
			case ends && ended:
				t.Errorf("ended twice: %v", w.events())
			case ends:
				ended = true
			case ev.Type == HookReceived:
				outcomes[ev.ID] += 0
			case ev.Type == CallCompleted, ev.Type == CallFailed:
				outcomes[ev.ID]++
			case ended && ev.Type != HookDisposed && ev.Type != WaitCancelled && ev.Type != RunClaimed:
				t.Errorf("%s after the end: %v", ev.Type, w.events())
			}
		}
		if ended != e.Status.Ended() {
			t.Errorf("record %d says %s, ended is %v", e.Seq, e.Status, ended)
		}
	}
	for id, n := range outcomes {
		if n > 1 || ended && n != 1 {
			t.Errorf("call %s has %d outcomes: %v", id, n, w.events())
		}
	}
}

// TestLife_rivals: every pair of requests that matters, in both orders, with a kill at each record, before and after it
// is stored.
func TestLife_rivals(t *testing.T) {
	start := rival{hook: HookStart, id: "start", payload: "1"}
	oneOf := func(t *testing.T, what, got string, want ...string) {
		t.Helper()
		if !slices.Contains(want, got) {
			t.Errorf("%s: %s, want one of %q", what, got, want)
		}
	}
	for name, c := range map[string]*rivals{
		"cancel against completion": {
			before: []rival{start}, first: rival{hook: HookCancel}, then: rival{hook: "do", id: "r", payload: `"return"`},
			check: func(t *testing.T, w *world, h *Host, cancel, done *Outcome) {
				switch status := w.status(h, contest).Status; status {
				case StatusCancelled:
					oneOf(t, "cancel", code(cancel), "null")
					oneOf(t, "call", code(done), "410 cancelled")
				default:
					oneOf(t, "status", string(status), "completed")
					oneOf(t, "cancel", code(cancel), "410 completed")
					oneOf(t, "call", code(done), "410 completed")
				}
			},
		},
		"terminate against a step's result": {
			before: []rival{start}, first: rival{hook: "do", id: "w", payload: `"work"`}, then: rival{hook: HookTerminate},
			check: func(t *testing.T, w *world, h *Host, work, end *Outcome) {
				oneOf(t, "terminate", code(end), "null")
				oneOf(t, "call", code(work), `"work"`, "410 terminated")
				oneOf(t, "status", string(w.status(h, contest).Status), "terminated")
			},
		},
		"cancel against a step's result": {
			before: []rival{start}, first: rival{hook: "do", id: "w", payload: `"work"`}, then: rival{hook: HookCancel},
			check: func(t *testing.T, w *world, _ *Host, work, end *Outcome) {
				oneOf(t, "cancel", code(end), "null")
				oneOf(t, "call", code(work), `"work"`, "410 cancelled")
				w.until("cancelled", func() bool { return w.count(RunCancelled) == 1 })
			},
		},
		"start against start": {
			first: rival{hook: HookStart, id: "one", payload: "1"}, then: rival{hook: HookStart, id: "two", payload: "2"},
			check: func(t *testing.T, w *world, _ *Host, one, two *Outcome) {
				got := []string{code(one), code(two)}
				slices.Sort(got)
				if got[0] != "409" || got[1] != "null" {
					t.Errorf("answers %q", got)
				}
				if w.count(RunStarted) != 1 {
					t.Errorf("log: %v", w.events())
				}
			},
		},
		"call against end": {
			before: []rival{start}, first: rival{hook: "do", id: "x", payload: `"x"`}, then: rival{hook: "do", id: "r", payload: `"return"`},
			check: func(t *testing.T, _ *world, _ *Host, call, end *Outcome) {
				oneOf(t, "call", code(call), `"x"`, "410 completed")
				oneOf(t, "end", code(end), "410 completed")
			},
		},
		"send against terminate": {
			before: []rival{start}, first: rival{hook: "do", id: "s", payload: `"work"`, send: true}, then: rival{hook: HookTerminate},
			check: func(t *testing.T, w *world, _ *Host, _, end *Outcome) {
				oneOf(t, "terminate", code(end), "null")
				w.until("the send has its outcome", func() bool { return w.count(CallCompleted)+w.count(CallFailed)+len(w.dead) > 0 })
			},
		},
		"pause against a timer": {
			before: []rival{start}, first: rival{hook: "do", id: "n", payload: `"nap"`, wait: WaitReceived}, then: rival{hook: HookPause},
			check: func(t *testing.T, w *world, h *Host, nap, pause *Outcome) {
				oneOf(t, "pause", code(pause), "null")
				if w.status(h, contest).Status != StatusPaused {
					t.Errorf("log: %v", w.events())
				}
				if got := code(w.answer(rival{hook: HookUnpause}.ask(w, h))); got != "null" {
					t.Errorf("unpause: %s", got)
				}
				oneOf(t, "call", code(nap), "null", "423")
				if nap.Err == nil {
					oneOf(t, "call", code(w.answer(rival{hook: "do", id: "n", payload: `"nap"`}.ask(w, h))), `"nap"`)
				}
			},
		},
		"pause against cancel": {
			before: []rival{start}, first: rival{hook: HookPause}, then: rival{hook: HookCancel},
			check: func(t *testing.T, w *world, h *Host, pause, cancel *Outcome) {
				oneOf(t, "cancel", code(cancel), "null")
				oneOf(t, "pause", code(pause), "null", "410 cancelled")
				if pause.Err == nil && w.status(h, contest).Status == StatusPaused {
					oneOf(t, "unpause", code(w.answer(rival{hook: HookUnpause}.ask(w, h))), "null")
				}
				oneOf(t, "status", string(w.status(h, contest).Status), "cancelled")
			},
		},
		"cancel against terminate": {
			before: []rival{start}, first: rival{hook: HookCancel}, then: rival{hook: HookTerminate},
			check: func(t *testing.T, w *world, h *Host, cancel, end *Outcome) {
				status := w.status(h, contest).Status
				oneOf(t, "cancel", code(cancel), "null", "410 terminated")
				oneOf(t, "terminate", code(end), "null", "410 cancelled")
				oneOf(t, "status", string(status), "cancelled", "terminated")
			},
		},
		"purge against start": {
			before: []rival{start, {hook: HookTerminate}}, first: rival{hook: HookPurge}, then: rival{hook: HookStart, id: "next", payload: "2"},
			check: func(t *testing.T, w *world, h *Host, purge, next *Outcome) {
				oneOf(t, "purge", code(purge), "null", "404", "409") // 404, 409: it was purged by who died
				oneOf(t, "start", code(next), "null", "409")         // 409: it came first, with another input than that of the run that has ended
				w.until("the tombstone is gone", func() bool { e := w.lastOf(contest); return e == nil || e.Status != StatusPurged })
				w.mu.Lock()
				left := len(w.kept(contest))
				w.mu.Unlock()
				want := StatusPending
				if next.Err == nil {
					want = StatusRunning
				}
				if status := w.status(h, contest).Status; status != want || (left > 0) != (status == StatusRunning) {
					t.Errorf("it is %s with %d records, want %s", status, left, want)
				}
				if next.Err == nil {
					oneOf(t, "call", code(w.answer(rival{hook: "do", id: "x", payload: `"x"`}.ask(w, h))), `"x"`)
				}
			},
		},
		"wait for the end against terminate": {
			silent: true, before: []rival{start}, first: rival{hook: HookStart, id: "start", payload: "1", wait: WaitEnd}, then: rival{hook: HookTerminate},
			check: func(t *testing.T, _ *world, _ *Host, waits, end *Outcome) {
				oneOf(t, "start", code(waits), "410 terminated")
				oneOf(t, "terminate", code(end), "null")
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			kills := 0
			for i := range 8 {
				stored, swapped, apart := i&1 != 0, i&2 != 0, i&4 != 0 && !c.silent
				for kill := 1; c.fight(t, kill, stored, swapped, apart); kill++ {
					kills++
					if t.Failed() {
						t.Fatalf("killed at record %d, stored %v, swapped %v, apart %v", kill, stored, swapped, apart)
					}
				}
				if t.Failed() {
					t.Fatalf("not killed, swapped %v, apart %v", swapped, apart)
				}
			}
			t.Logf("%d kills", kills)
			if kills < 8 {
				t.Errorf("%d kills: at least one for each order, before and after the record is stored", kills)
			}
		})
	}
}
