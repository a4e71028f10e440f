package actor

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestHost_queueOfLargeResults: what was queued is answered by several records, none larger than the log takes.
func TestHost_queueOfLargeResults(t *testing.T) {
	w := newWorld(t)
	const maxRecord = 64 << 20
	var bodies atomic.Int64
	begun, free := make(chan struct{}, 100), make(chan struct{})
	slow := NewStep("slow", func(context.Context, None) (None, error) {
		bodies.Add(1)
		begun <- struct{}{}
		<-free
		return None{}, nil
	})
	o := NewObject[sum]("sum")
	NewMethod(o, "work", func(_ *sum, ctx Context, _ None) (None, error) { return slow.Run(ctx, None{}) })
	big := strings.Repeat("x", 7<<20)
	NewMethod(o, "big", func(s *sum, _ Context, _ None) (string, error) { s.N++; return big, nil })
	h := w.host("a", nil, o)
	w.change(func() {
		w.onAppend = func(e *Entry) (bool, error) {
			if len(e.Body) > maxRecord {
				return false, fmt.Errorf("%d bytes: %w", len(e.Body), ErrAppendRefused)
			}
			return true, nil
		}
	})
	w.own(h, 1, Checkpoint{})
	work := ask(h, at, "work", "", "null")
	<-begun
	w.until("started", func() bool { return w.count(StepStarted) == 1 })
	for range 10 {
		ask(h, at, "big", "", "null")
	}
	w.until("received", func() bool { return w.count(HookReceived) == 11 })
	close(free)
	select {
	case o := <-work:
		t.Log(o.Err)
	case <-time.After(atLongLast):
		t.Errorf("stuck: %d step bodies were run, %d outcomes in the log", bodies.Load(), w.count(CallCompleted))
	}
}

// TestHost_fullTurns: a run function that answers a long queue does so over many records, with a step in flight, and
// is killed again and again; its log replays at each place.
func TestHost_fullTurns(t *testing.T) {
	w := newWorld(t)
	action := NewHook[int, string]("action")
	gate := make(chan struct{})
	wait := func(ctx context.Context, n int) (int, error) {
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-gate:
			return n, nil
		}
	}
	never := NewStep("never", func(ctx context.Context, _ None) (None, error) { <-ctx.Done(); return None{}, ctx.Err() })
	first := NewStep("first", wait)
	quick := NewStep("quick", func(_ context.Context, n int) (int, error) { return n, nil })
	large := strings.Repeat("x", 200<<10)
	def := NewWorkflow("flow", func(ctx Context, _ None) (None, error) {
		never.Start(ctx, None{})
		if _, err := first.Run(ctx, 1); err != nil {
			return None{}, err
		}
		sum := 0
		for call, err := range action.Create(ctx).All(ctx) {
			if err != nil {
				return None{}, err
			}
			sum += call.Payload
			if sum%3 == 0 {
				if _, err := quick.Run(ctx, sum); err != nil {
					return None{}, err
				}
			}
			call.Reply(ctx, fmt.Sprint(sum, large))
		}
		return None{}, nil
	}, action)
	addr := def.At("k")

	h := w.host("node-1", nil, def)
	w.own(h, 1, Checkpoint{})
	const calls = 20
	for range calls {
		h.Call(&Request{Address: addr, Hook: "action", Header: CallHeader{Wait: WaitReceived}, Payload: []byte("1"), Received: time.Now()})
	}
	w.until("received", func() bool { return w.count(HookReceived) == calls })
	crash := func(h *Host) func(*Entry) (bool, error) {
		left := 2 // the first may only say that a step runs again
		return func(*Entry) (bool, error) {
			if left--; left == 0 {
				h.cancel()
			}
			return left >= 0, nil
		}
	}
	w.change(func() { w.onAppend = crash(h) })
	close(gate)
	over := false
	epoch := uint64(1)
	for ; epoch < 3*calls; epoch++ {
		w.until("killed, or all answered", func() bool {
			over = w.count(CallCompleted) == calls
			return over || h.ctx.Err() != nil
		})
		if over {
			break
		}
		h.Close()
		w.change(func() { w.issued = func() (uint64, error) { return epoch + 1, nil } })
		h = w.host(fmt.Sprint("node-", epoch+1), nil, def)
		w.change(func() { w.onAppend = crash(h) })
		w.own(h, epoch+1, Checkpoint{})
	}
	if n := w.count(CallCompleted); n != calls || epoch < calls/4 {
		t.Errorf("%d of %d calls answered, by %d nodes: %v", n, calls, epoch, w.events())
	}
	h.Close()
	w.change(func() { w.onAppend, w.issued = nil, func() (uint64, error) { return epoch + 1, nil } })
	h = w.host("last", nil, def)
	w.own(h, epoch+1, Checkpoint{})
	if got := w.result(ask(h, addr, "action", "", "100")); !strings.HasPrefix(got, fmt.Sprint(`"`, calls+100)) {
		t.Errorf("got %.40s", got)
	}
	if w.count(RunParked) > 0 {
		t.Errorf("parked: %v", w.events())
	}
	for _, e := range w.log {
		if len(e.Body) > 2*turnBytes+len(large) {
			t.Errorf("record %d has %d bytes", e.Seq, len(e.Body))
		}
	}
}
