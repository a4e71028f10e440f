package actor

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/perdure/perdure/internal/bubble"
)

// touching is a log that somebody appends to when its tail was read.
type touching struct {
	*world
	atEnd func()
}

func (w touching) Tail(ctx context.Context, floors map[int]uint64) iter.Seq2[*Entry, error] {
	return func(yield func(*Entry, error) bool) {
		w.world.Tail(ctx, floors)(yield)
		w.atEnd()
	}
}

// TestHost_touchedWhileTaking: a late append that is seen while its partition is being taken is taken up.
func TestHost_touchedWhileTaking(t *testing.T) {
	w := newWorld(t)
	old := w.host("old", nil, sleeper())
	w.own(old, 1, Checkpoint{})
	gate, began := make(chan struct{}), make(chan struct{}, 1)
	w.change(func() {
		w.onAppend = func(*Entry) (bool, error) { began <- struct{}{}; <-gate; return true, ErrAppendUnknown }
	})
	addr := Address{"sleeper", "k"}
	ask(old, addr, "action", "", "1")
	<-began
	var next *Host
	next = w.host("new", func(c *Config) {
		c.Log = touching{w, func() {
			w.change(func() { w.onAppend = nil })
			old.cancel()
			close(gate)
			w.until("late append", func() bool { return len(w.log) == 1 })
			next.Touched(addr)
		}}
	}, sleeper())
	w.change(func() { w.issued = func() (uint64, error) { return 2, nil } })
	w.own(next, 2, Checkpoint{})
	if !w.within(atLongLast, func() bool { return len(w.armed) == 1 }) {
		t.Error("the log has a sleep of an hour, and no schedule was armed for it")
	}
}

// TestHost_forgedHeaders: headers under an epoch that nobody issued settle nothing.
func TestHost_forgedHeaders(t *testing.T) {
	w := newWorld(t)
	h := w.host("a", nil, sleeper())
	w.own(h, 1, Checkpoint{})
	addr := Address{"sleeper", "k"}
	w.change(func() {
		w.onAppend = func(*Entry) (bool, error) { h.cancel(); return true, nil } // crash once it is stored
	})
	ask(h, addr, "action", "", "1")
	w.until("stored", func() bool { return len(w.log) == 1 })
	h.Close()
	w.change(func() { w.onAppend = nil; w.issued = func() (uint64, error) { return 2, nil } })
	armed := len(w.armed)
	w.put(Entry{Address: addr, Epoch: 99, Turn: "forged", Body: []byte("{}")})
	next := w.host("b", nil, sleeper())
	w.own(next, 2, Checkpoint{})
	if !w.within(atLongLast, func() bool { return len(w.armed) == 1 }) {
		t.Errorf("the sleep is armed nowhere (before: %d)", armed)
	}
}

// TestHost_conflictAfterACrash: a token is claimed before its run answers. Until the log has the conflict, the run has
// something left to do.
func TestHost_conflictAfterACrash(t *testing.T) {
	w := newWorld(t)
	w.holders["mine"] = TokenHolder{Run: "flow/other", Hook: "own", Incarnation: "i"}
	told := make(chan error, 8)
	h := w.host("a", nil, tokenWorkflow(told))
	w.own(h, 1, Checkpoint{})
	addr := Address{"flow", "k"}
	blocked := make(chan struct{})
	block := sync.OnceFunc(func() { close(blocked) })
	w.change(func() {
		w.onAppend = func(e *Entry) (bool, error) {
			rec, _ := DecodeRecord(e.Body)
			for _, ev := range rec.Events {
				if ev.Type == HookConflict {
					block()
					<-h.ctx.Done()
					return false, ErrAppendUnknown
				}
			}
			return true, nil
		}
	})
	if got := w.result(ask(h, addr, "action", "", "1")); got != "1" {
		t.Fatal(got)
	}
	<-blocked
	c, _ := h.Checkpoint(0)
	t.Logf("checkpoint %+v", c)
	h.cancel() // crash
	w.change(func() { w.onAppend = nil; w.issued = func() (uint64, error) { return 2, nil } })
	next := w.host("b", nil, tokenWorkflow(make(chan error, 8)))
	w.own(next, 2, c)
	if !w.within(atLongLast, func() bool { return w.count(HookConflict) == 1 }) {
		t.Errorf("the run waits for ever for a token that another run holds; log: %v", w.events())
	}
}

// TestHost_mendedWithAFuture: mended code goes on while it is loaded. What it does stands in the log before the start of
// what was in flight.
func TestHost_mendedWithAFuture(t *testing.T) {
	w := newWorld(t)
	action := NewHook[int, int]("action")
	go1 := make(chan struct{})
	slow := NewStep("slow", func(ctx context.Context, n int) (int, error) {
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-go1:
			return n, nil
		}
	})
	quick := NewStep("quick", func(_ context.Context, n int) (int, error) { return n, nil })
	fragile := func(broken bool) *Workflow[None, None] {
		return NewWorkflow("flow", func(ctx Context, _ None) (None, error) {
			f := slow.Start(ctx, 1)
			for call, err := range action.Create(ctx).All(ctx) {
				if err != nil {
					return None{}, err
				}
				if broken && call.Payload == 13 {
					panic("unlucky")
				}
				n, err := quick.Run(ctx, call.Payload)
				if err != nil {
					return None{}, err
				}
				call.Reply(ctx, n)
			}
			_, err := f.Await(ctx)
			return None{}, err
		}, action)
	}
	h := w.host("a", nil, fragile(true))
	w.own(h, 1, Checkpoint{})
	addr := Address{"flow", "k"}
	w.result(ask(h, addr, "action", "", "1"))
	w.answer(ask(h, addr, "action", "", "13"))
	h.Close()
	h = w.host("b", nil, fragile(false))
	w.own(h, 2, Checkpoint{})
	if got := w.result(ask(h, addr, "action", "", "15")); got != "15" {
		t.Errorf("mended: %s", got)
	}
	h.Close()
	h = w.host("c", nil, fragile(false))
	w.own(h, 3, Checkpoint{})
	if got := w.result(ask(h, addr, "action", "", "16")); got != "16" {
		t.Errorf("after one more restart: %s\nlog %v", got, w.events())
	}
}

// TestHost_retryAfterARefusal: a retry that falls due while a turn is refused does not start the body beside that of
// the run as it is loaded again.
func TestHost_retryAfterARefusal(t *testing.T) {
	bubble.Run(t, func(t *testing.T) {
		w := newWorld(t)
		action := NewHook[int, int]("action")
		var running, most, attempts atomic.Int64
		work := NewStep("work", func(_ context.Context, n int) (int, error) {
			if attempts.Add(1) == 1 {
				return 0, errors.New("again")
			}
			if now := running.Add(1); now > most.Load() {
				most.Store(now)
			}
			defer running.Add(-1)
			time.Sleep(300 * time.Millisecond)
			return n, nil
		}, Retry(RetryPolicy{Backoff: 200 * time.Millisecond}))
		def := NewWorkflow("flow", func(ctx Context, _ None) (None, error) {
			for call, err := range action.Create(ctx).All(ctx) {
				if err != nil {
					return None{}, err
				}
				n, err := work.Run(ctx, call.Payload)
				if err != nil {
					return None{}, err
				}
				call.Reply(ctx, n)
			}
			return None{}, nil
		}, action)
		h := w.host("a", func(c *Config) { c.Flush = 20 * time.Millisecond }, def)
		w.own(h, 1, Checkpoint{})
		addr := def.At("k")
		one := ask(h, addr, "action", "", "1")
		w.until("retrying", func() bool { return w.count(StepRetrying) == 1 })
		began := make(chan struct{})
		first := true
		w.change(func() {
			w.onAppend = func(*Entry) (bool, error) {
				if !first {
					return true, nil
				}
				first = false
				close(began)
				time.Sleep(300 * time.Millisecond) // the retry is due meanwhile
				return false, ErrAppendRefused
			}
		})
		two := ask(h, addr, "action", "", "2")
		<-began
		w.result(two)
		w.result(one)
		time.Sleep(400 * time.Millisecond)
		if most.Load() > 1 {
			t.Errorf("%d bodies of one step ran at the same time (%d attempts)", most.Load(), attempts.Load())
		}
	})
}

// TestHost_forwardedAgain: a send by token that is forwarded again after a crash is known, whatever came in between.
func TestHost_forwardedAgain(t *testing.T) {
	w := newWorld(t)
	h := w.host("a", nil, sums())
	w.own(h, 1, Checkpoint{})
	past := time.Now().Add(-time.Minute)
	take := func(h *Host, id string) {
		m := w.send(at, "add", "1", CallHeader{CallID: id, Token: "tok"})
		m.Time = past
		p := h.owned(0)
		p.mu.Lock()
		p.inbox.join()
		p.mu.Unlock()
		if err := h.takeSend(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	take(h, "~token-1")
	for i := range 1100 {
		take(h, fmt.Sprint("id", i))
	}
	w.until("all received", func() bool { return w.count(HookReceived) == 1101 })
	h.Close()
	h = w.host("b", nil, sums())
	w.own(h, 2, Checkpoint{Inbox: 1101})
	take(h, "~token-1") // forwarded again: the cursor lagged
	w.within(300*time.Millisecond, func() bool { return w.count(HookReceived) > 1101 })
	if got := w.result(ask(h, at, "get", "", "null")); got != "1101" {
		t.Errorf("sum %s, want 1101", got)
	}
}
