package actor

import (
	"context"
	"testing"
	"time"
)

// a call with Perdure-After overtakes its send on a partition that the reader has not come to.
func TestHost_afterOnNewPartition(t *testing.T) {
	w := newWorld(t)
	h := w.host("a", nil, sums())
	m := w.send(at, "add", "10", CallHeader{})
	h.inbox.at.Store(m.Seq) // the reader came by for other partitions
	w.own(h, 1, Checkpoint{})
	out := make(chan *Outcome, 1)
	h.Call(&Request{
		Address: at, Hook: "add", Header: CallHeader{After: m.Seq, Timeout: atLongLast}, Payload: []byte("1"),
		Received: time.Now(), Reply: func(o *Outcome) { out <- o },
	})
	w.run(h)
	if got := w.result(out); got != "11" {
		t.Errorf("add = %s, want 11: applied before the send that it named", got)
	}
}

// an object parked because its state does not decode loses the calls that were open.
func TestHost_parkLosesOpenCalls(t *testing.T) {
	w := newWorld(t)
	good := func(block bool) *Object[sum] {
		o := NewObject[sum]("sum")
		slow := NewStep("slow", func(ctx context.Context, _ None) (None, error) {
			if block {
				<-ctx.Done()
			}
			return None{}, ctx.Err()
		})
		NewMethod(o, "add", func(s *sum, _ Context, n int) (int, error) { s.N += n; return s.N, nil })
		NewMethod(o, "work", func(s *sum, ctx Context, _ None) (None, error) {
			_, err := slow.Run(ctx, None{})
			s.N += 100
			return None{}, err
		})
		return o
	}
	h := w.host("a", nil, good(true))
	w.own(h, 1, Checkpoint{})
	w.result(ask(h, at, "add", "", "7"))
	ask(h, at, "work", "id-work", "null")
	w.until("the step runs", func() bool { return w.count(StepStarted) == 1 })
	h.Close()

	type sumOfText struct{ N string } // a bad deployment
	bad := NewObject[sumOfText]("sum")
	NewMethod(bad, "add", func(*sumOfText, Context, int) (int, error) { return 0, nil })
	NewMethod(bad, "work", func(*sumOfText, Context, None) (None, error) { return None{}, nil })
	h = w.host("b", nil, bad)
	w.own(h, 2, Checkpoint{})
	w.answer(ask(h, at, "add", "", "1"))
	h.Close()

	h = w.host("c", nil, good(false)) // rolled back
	w.own(h, 3, Checkpoint{})
	if !w.within(atLongLast, func() bool { return w.count(CallCompleted) == 2 }) {
		t.Errorf("the call that was in the log is never executed: %v", w.events())
	}
}

// the deadline of WithTimeout begins anew whenever the run is loaded.
func TestHost_deadlineMoves(t *testing.T) {
	action := NewHook[int, int]("action")
	def := NewWorkflow("flow", func(ctx Context, _ None) (None, error) {
		hook := action.Create(ctx)
		within := WithTimeout(ctx, time.Hour)
		for {
			call, err := hook.Await(within)
			if err != nil {
				return None{}, err
			}
			call.Reply(ctx, call.Payload)
		}
	}, action)
	b := newBench(t, def)
	first := b.input(started())
	deadline := *first[len(first)-1].Due
	b.now = b.now.Add(50 * time.Minute)
	b.x = b.cold(def) // evicted and loaded
	out := b.input(calls("action", "a", "1"))
	if due := *out[len(out)-1].Due; due.Sub(deadline) > time.Minute {
		t.Errorf("the deadline has moved by %s", due.Sub(deadline))
	}
}

// the example's token collides with another run's default token when the key ends in ":<hook>".
func TestHost_tokenOfKeyWithColon(t *testing.T) {
	w := newWorld(t)
	h := w.host("a", nil, counterNamed("recordState", false))
	w.own(h, 1, Checkpoint{})
	addr := Address{"counter", "x:action"}
	w.result(ask(h, addr, "action", "", `{"amount":1}`))
	w.within(200*time.Millisecond, func() bool { return w.count(RunFailed) > 0 })
	if n := w.count(RunFailed); n > 0 {
		t.Errorf("the run failed: %s", w.log[len(w.log)-1].Body)
	}
}

// slowOutlet lets the outcome to _INBOX.slow out when told.
type slowOutlet struct {
	worldOutlet
	began, hold chan struct{}
}

func (s slowOutlet) Outcome(ctx context.Context, to string, o *Outcome) error {
	if to == "_INBOX.slow" {
		close(s.began)
		<-s.hold
	}
	return s.worldOutlet.Outcome(ctx, to, o)
}

// a parked run is evicted while effects wait behind one that is not out.
func TestHost_evictParkedWithEffects(t *testing.T) {
	w := newWorld(t)
	slow := slowOutlet{worldOutlet{w}, make(chan struct{}), make(chan struct{})}
	action := NewHook[int, int]("action")
	def := NewWorkflow("flow", func(ctx Context, _ None) (None, error) {
		for call, err := range action.Create(ctx).All(ctx) {
			if err != nil {
				return None{}, err
			}
			if call.Payload == 13 {
				panic("unlucky")
			}
			call.Reply(ctx, call.Payload)
		}
		return None{}, nil
	}, action)
	addr := def.At("k")
	h := w.host("a", func(c *Config) { c.Outlet = slow }, def)
	t.Cleanup(func() { close(slow.hold) })
	w.own(h, 1, Checkpoint{})
	p := h.owned(0)
	p.inbox.join()
	take := func(to string) {
		if err := h.takeSend(t.Context(), w.send(addr, "action", "1", CallHeader{ReplyTo: to})); err != nil {
			t.Fatal(err)
		}
	}
	take("_INBOX.slow")
	<-slow.began
	take("_INBOX.next") // its outcome waits for the first
	w.answer(ask(h, addr, "action", "", "13"))
	p.mu.Lock()
	for len(p.working) > 0 {
		p.mu.Unlock()
		w.within(time.Millisecond, func() bool { return false })
		p.mu.Lock()
	}
	p.mu.Unlock()
	if n := p.evict(time.Now().Add(time.Hour), time.Minute); n == 1 {
		slow.hold <- struct{}{}
		if !w.within(atLongLast, func() bool { return len(w.outcomes["_INBOX.next"]) > 0 }) {
			t.Error("the outcome of the second send is never let out")
		}
	}
}
