package actor

import (
	"context"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"
)

// sleeper sleeps for an hour after its first call.
func sleeper() *Workflow[None, None] {
	action := NewHook[int, int]("action")
	return NewWorkflow("sleeper", func(ctx Context, _ None) (None, error) {
		call, err := action.Create(ctx).Await(ctx)
		if err != nil {
			return None{}, err
		}
		call.Reply(ctx, 1)
		return None{}, Sleep(ctx, time.Hour)
	}, action)
}

// the effects of a former owner's late append are never let out: here a sleep that is armed nowhere.
func TestHost_lateAppendArmsNoTimer(t *testing.T) {
	for _, resident := range []bool{true, false} {
		t.Run(fmt.Sprintf("resident=%v", resident), func(t *testing.T) {
			w := newWorld(t)
			old := w.host("old", nil, sleeper())
			w.own(old, 1, Checkpoint{})
			gate, began := make(chan struct{}), make(chan struct{}, 1)
			w.change(func() {
				w.onAppend = func(*Entry) (bool, error) { began <- struct{}{}; <-gate; return true, ErrAppendUnknown }
			})
			addr := Address{"sleeper", "k"}
			ask(old, addr, "action", "", "1") // its append is on its way
			<-began

			successor := w.host("new", nil, sleeper())
			w.change(func() { w.issued = func() (uint64, error) { return 2, nil } })
			w.own(successor, 2, Checkpoint{})
			if resident {
				w.result(ask(successor, addr, HookDescribe, "", "null"))
			}
			w.change(func() { w.onAppend = nil })
			old.cancel() // the old owner is gone, its append lands
			close(gate)
			w.until("late append", func() bool { return len(w.log) == 1 })
			successor.Touched(addr)
			w.result(ask(successor, addr, HookDescribe, "", "null"))
			if !w.within(atLongLast, func() bool { return len(w.armed) == 1 }) {
				t.Error("the log has a sleep of an hour, and no schedule was armed for it")
			}
		})
	}
}

// nobody calls: a late append with a step in flight waits for an outside event.
func TestHost_lateAppendIsNotTakenUp(t *testing.T) {
	w := newWorld(t)
	ran := make(chan struct{}, 1)
	obj := func(block bool) *Object[sum] {
		o := NewObject[sum]("sum")
		slow := NewStep("slow", func(ctx context.Context, _ None) (None, error) {
			if block {
				<-ctx.Done()
				return None{}, ctx.Err()
			}
			ran <- struct{}{}
			return None{}, nil
		})
		NewMethod(o, "add", func(*sum, Context, int) (int, error) { return 0, nil })
		NewMethod(o, "work", func(_ *sum, ctx Context, _ None) (None, error) { return slow.Run(ctx, None{}) })
		return o
	}
	old := w.host("old", nil, obj(true))
	w.own(old, 1, Checkpoint{})
	gate, began := make(chan struct{}), make(chan struct{}, 1)
	w.change(func() {
		w.onAppend = func(*Entry) (bool, error) { began <- struct{}{}; <-gate; return true, ErrAppendUnknown }
	})
	ask(old, at, "work", "", "null")
	<-began
	successor := w.host("new", nil, obj(false))
	w.change(func() { w.issued = func() (uint64, error) { return 2, nil } })
	w.own(successor, 2, Checkpoint{})
	w.change(func() { w.onAppend = nil })
	old.cancel()
	close(gate)
	w.until("late append", func() bool { return len(w.log) == 1 })
	successor.Touched(at)
	select {
	case <-ran:
	case <-time.After(atLongLast):
		t.Error("the step in the late record was not run")
	}
}

// an append of unknown fate, then a refused one: taken for certainly not written. The floor passes it.
func TestHost_refusedAfterUnknown(t *testing.T) {
	w := newWorld(t)
	h := w.host("a", nil, sums(), sleeper())
	w.own(h, 1, Checkpoint{})
	var late *Entry
	w.change(func() {
		w.onAppend = func(e *Entry) (bool, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			if late == nil {
				c := *e
				late = &c
				return false, ErrAppendUnknown // on its way
			}
			return false, ErrAppendRefused // "not connected"
		}
	})
	asked := ask(h, Address{"sleeper", "k"}, "action", "", "1")
	w.until("refused", func() bool { return late != nil })
	w.change(func() { w.onAppend = nil })
	w.put(*late) // it lands
	w.result(asked)
	w.result(ask(h, at, "add", "", "1")) // another object goes on
	c, _ := h.Checkpoint(0)
	if c.Floor >= 1 && len(c.Unsettled) == 0 && len(w.armed) == 0 {
		t.Errorf("floor %d has passed record 1, which is unsettled (%v) and not listed", c.Floor, late.Unsettled)
	}
}

// a foreign message on top of a record whose ack was lost: the record is appended twice.
func TestHost_foreignOnTopOfOurs(t *testing.T) {
	w := newWorld(t)
	h := w.host("a", nil, sleeper())
	w.own(h, 1, Checkpoint{})
	addr := Address{"sleeper", "k"}
	first := true
	w.change(func() {
		w.onAppend = func(e *Entry) (bool, error) {
			if !first {
				return true, nil
			}
			first = false
			w.put(*e) // stored; the ack is lost
			w.put(Entry{Address: addr, Foreign: true, Body: []byte("hello")})
			return false, ErrAppendUnknown
		}
	})
	w.result(ask(h, addr, "action", "", "1"))
	if n := w.count(RunStarted); n != 1 {
		t.Errorf("%d run_started in the log", n)
	}
}

// an owner that meets a record of a higher epoch which the ownership record confirms goes on appending.
func TestHost_goesOnUnderStaleEpoch(t *testing.T) {
	w := newWorld(t)
	old := w.host("old", nil, sums())
	w.own(old, 1, Checkpoint{})
	w.result(ask(old, at, "add", "", "1"))
	w.change(func() { w.issued = func() (uint64, error) { return 2, nil } })
	successor := w.host("new", nil, sums())
	w.own(successor, 2, Checkpoint{})
	w.result(ask(successor, at, "add", "", "10"))
	got := w.result(ask(old, at, "add", "", "100"))
	if last := w.log[len(w.log)-1]; last.Node == "old" {
		t.Errorf("record %d of epoch %d stands above a record of epoch 2; the caller got %s", last.Seq, last.Epoch, got)
	}
}

// a schedule that fires early is done before its wait is: after a crash nothing wakes the run.
func TestHost_earlyFiringIsForgotten(t *testing.T) {
	w := newWorld(t)
	h := w.host("a", nil, sleeper())
	w.own(h, 1, Checkpoint{})
	addr := Address{"sleeper", "k"}
	w.result(ask(h, addr, "action", "", "1"))
	w.until("armed", func() bool { return len(w.armed) == 1 })
	id := slices.Collect(maps.Keys(w.armed))[0]
	w.result(ask(h, addr, HookDescribe, "", "null"))
	h.owned(0).timers.join()
	h.fire(&Firing{Seq: 1, Address: addr, ID: id}) // an hour early, by this node's clock
	w.result(ask(h, addr, HookDescribe, "", "null"))
	if w.within(500*time.Millisecond, func() bool { return len(w.dropped) == 1 }) {
		t.Error("the firing was dropped: only this node's memory knows of the sleep")
	}
}

// what belongs to a type that this node does not host is thrown away.
func TestHost_typesOfOthers(t *testing.T) {
	w := newWorld(t)
	h := w.host("a", nil, sums())
	left := Checkpoint{Floor: 0, Unsettled: []UnsettledRun{{Run: "sleeper/k", Seq: 1}}}
	w.put(Entry{Address: Address{"sleeper", "k"}, Unsettled: true, Epoch: 1, Body: []byte("{}")})
	left.Floor = 1
	w.own(h, 2, left)
	h.owned(0).timers.join()
	h.fire(&Firing{Seq: 1, Address: Address{"sleeper", "k"}, ID: "wait"})
	if w.within(300*time.Millisecond, func() bool { return len(w.dropped) == 1 }) {
		t.Error("the firing for a type that another node hosts was dropped")
	}
	if c, _ := h.Checkpoint(0); len(c.Unsettled) == 0 {
		t.Errorf("checkpoint %+v: the unsettled run of another node's type is no longer listed", c)
	}
}

// a call by token whose run is of a type of other nodes is sent on, not answered that there is no such type.
func TestHost_tokenOfOthers(t *testing.T) {
	w := newWorld(t)
	sent := make(chan string, 1)
	h := w.host("a", func(c *Config) {
		c.Elsewhere = func(typ string) bool { return typ == "sleeper" }
		c.Known = c.Elsewhere
		c.Forward = func(r *Request) bool { sent <- r.Address.String() + " " + r.Hook; return true }
	}, sums())
	h.Call(&Request{
		Address: Address{TypeToken, defaultToken("sleeper", "k", "wake")}, Hook: HookResume, Payload: []byte("null"),
		Reply: func(o *Outcome) { sent <- o.Err.Error() },
	})
	if got := <-sent; got != "sleeper/k wake" {
		t.Errorf("sent on: %s", got)
	}
}

// the reader, not yet started over, hands a new partition a send: those before it are skipped.
func TestHost_sendBeforeTheReaderStartsOver(t *testing.T) {
	w := newWorld(t)
	h := w.host("a", func(c *Config) { c.Idle = time.Hour }, sums())
	w.send(at, "add", "1", CallHeader{})
	w.send(at, "add", "10", CallHeader{})
	late := w.send(at, "add", "100", CallHeader{})
	w.own(h, 1, Checkpoint{})
	if err := h.takeSend(t.Context(), late); err != nil { // by the reader that runs for other partitions
		t.Fatal(err)
	}
	w.run(h)
	w.until("all are received", func() bool { return w.count(HookReceived) == 3 })
	if got := w.result(ask(h, at, "get", "", "null")); got != "111" {
		t.Errorf("sum = %s, want 111: sends are skipped", got)
	}
}

// after the reader starts over, unfinished sends are taken again, and the watermark never comes past them.
func TestHost_watermarkAfterLeave(t *testing.T) {
	var m watermark
	m.join()
	for seq := range uint64(3) {
		m.begin(5 + seq)
	}
	m.leave(7)
	m.join()
	var again []uint64
	for seq := range uint64(3) {
		if m.begin(5 + seq) {
			again = append(again, 5+seq)
		}
	}
	for _, seq := range append([]uint64{5, 6, 7}, again...) {
		m.finish(seq)
	}
	if m.position(7) != 7 || len(again) > 0 {
		t.Errorf("taken twice: %v; position %d of 7, open %v", again, m.position(7), m.open)
	}
}

// the lease is lost in a quick step, whose start is then not in the log: what follows never replays.
func TestHost_leaseLostInQuickStep(t *testing.T) {
	w := newWorld(t)
	action := NewHook[int, int]("action")
	var h *Host
	attempts, again, goOn := 0, make(chan struct{}), make(chan struct{})
	work := NewStep("work", func(ctx context.Context, n int) (int, error) {
		if attempts++; attempts == 1 {
			h.SetTrusted(false)
			<-ctx.Done()
			h.SetTrusted(true)
			return 0, ctx.Err()
		}
		if attempts == 2 {
			close(again)
			<-goOn
		}
		return n, nil
	})
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
	h = w.host("a", func(c *Config) { c.Flush = time.Second }, def)
	w.own(h, 1, Checkpoint{})
	addr := def.At("k")
	one := ask(h, addr, "action", "", "1")
	<-again
	two := ask(h, addr, "action", "", "2")
	w.until("the second call is in the log", func() bool { return w.count(HookReceived) == 2 })
	close(goOn)
	w.result(one)
	w.result(two)
	h.Close()
	next := w.host("b", nil, def)
	w.own(next, 2, Checkpoint{})
	if got := w.result(ask(next, addr, "action", "", "3")); got != "3" {
		t.Errorf("after a restart: %s", got)
	}
}

// calls that name an inbox position which never comes stay in memory after their 504.
func TestHost_heldForEver(t *testing.T) {
	w := newWorld(t)
	h := w.host("a", nil, sums())
	w.own(h, 1, Checkpoint{})
	out := make(chan *Outcome, 1)
	h.Call(&Request{
		Address: at, Hook: "add", Header: CallHeader{After: 1 << 60, Timeout: time.Millisecond}, Payload: []byte("1"),
		Received: time.Now(), Reply: func(o *Outcome) { out <- o },
	})
	if o := w.answer(out); o.Err == nil || o.Err.Code != CodeTimeout {
		t.Fatal(o)
	}
	p := h.owned(0)
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.held) > 0 {
		t.Errorf("%d call(s) held after the answer", len(p.held))
	}
}

// callers that got 504 stay in memory, one a repetition, and so does their run.
func TestHost_waitersForEver(t *testing.T) {
	w := newWorld(t)
	action := NewHook[int, int]("action")
	def := NewWorkflow("flow", func(ctx Context, _ None) (None, error) {
		for _, err := range action.Create(ctx).All(ctx) { // never replies
			if err != nil {
				return None{}, err
			}
		}
		return None{}, nil
	}, action)
	h := w.host("a", nil, def)
	w.own(h, 1, Checkpoint{})
	addr := def.At("k")
	for range 10 {
		out := make(chan *Outcome, 1)
		h.Call(&Request{
			Address: addr, Hook: "action", Header: CallHeader{CallID: "x", Timeout: time.Millisecond}, Payload: []byte("1"),
			Received: time.Now(), Reply: func(o *Outcome) { out <- o },
		})
		if o := w.answer(out); o.Err == nil || o.Err.Code != CodeTimeout {
			t.Fatal(o)
		}
	}
	p := h.owned(0)
	for limit := time.Now().Add(atLongLast); p.evict(time.Now().Add(time.Hour), time.Minute) == 0; runtime.Gosched() {
		if time.Now().After(limit) {
			t.Fatal("the idle run is not evicted")
		}
	}
}

// an id with a long timeout is behind tables that are all outdated.
func TestHost_idsBehindOutdatedTable(t *testing.T) {
	now := time.Now()
	recent := make([]IDEntry, idsKept+1)
	for i := range recent {
		recent[i] = IDEntry{ID: fmt.Sprint(i), At: now.Unix() - 60, Until: now.Unix() - 30, Seq: 9}
	}
	if !tableAt(1, &Record{IDs: recent, IDsUntil: now.Unix() + 3600}).olderNeeded(len(recent), now) {
		t.Error("loadIDs stops at this table and never reads the one before, whose id must be kept for an hour")
	}
}

// a call finds its partition just before that is given away, and asks to be held just after: nobody ever takes it.
func TestPartition_holdAfterDrop(t *testing.T) {
	w := newWorld(t)
	h := w.host("a", nil, sums())
	w.own(h, 1, Checkpoint{})
	p := h.owned(0)
	if _, err := h.Release(t.Context(), []int{0}); err != nil {
		t.Fatal(err)
	}
	if p.hold(&Request{Address: at, Hook: "add", Header: CallHeader{After: 1 << 60}, Received: time.Now()}) {
		t.Error("held by a partition that is another node's: it would get 504 at the end of its time, and not 503 at once")
	}
}

// the node's host ends while a partition is released: an append of unknown fate is given up, not over.
func TestHost_releaseWhileClosing(t *testing.T) {
	w := newWorld(t)
	h := w.host("a", nil, sums())
	w.own(h, 1, Checkpoint{})
	began := make(chan struct{})
	begin := sync.OnceFunc(func() { close(began) })
	w.change(func() {
		w.onAppend = func(*Entry) (bool, error) { begin(); <-h.ctx.Done(); return false, ErrAppendUnknown }
	})
	ask(h, at, "add", "", "1")
	<-began
	released := make(chan map[int]Checkpoint)
	go func() {
		finished, _ := h.Release(t.Context(), []int{0})
		released <- finished
	}()
	p := h.owned(0)
	for waits := false; !waits; runtime.Gosched() {
		p.mu.Lock()
		waits = p.releasing
		p.mu.Unlock()
	}
	h.cancel()
	if finished := <-released; len(finished) > 0 {
		t.Errorf("given away as finished, with an append in doubt: %+v", finished)
	}
}

// a call that the log has and that is not over is sent on when its partition moves: its caller must not be told that
// nothing was done.
func TestHost_receivedThenMoved(t *testing.T) {
	w := newWorld(t)
	action := NewHook[int, int]("action")
	def := NewWorkflow("flow", func(ctx Context, _ None) (None, error) {
		for _, err := range action.Create(ctx).All(ctx) { // never replies
			if err != nil {
				return None{}, err
			}
		}
		return None{}, nil
	}, action)
	h := w.host("a", nil, def)
	w.own(h, 1, Checkpoint{})
	received := ask(h, def.At("k"), "action", "x", "1")
	w.until("the call is in the log", func() bool { return w.count(HookReceived) == 1 })
	if _, err := h.Release(t.Context(), []int{0}); err != nil {
		t.Fatal(err)
	}
	if e := w.answer(received).Err; e == nil || !e.Retryable() || !e.InDoubt() {
		t.Errorf("received before the hand-over: got %v, want 503 with its outcome unknown", e)
	}
	if e := w.answer(ask(h, def.At("k"), "action", "y", "1")).Err; e == nil || !e.Retryable() || e.InDoubt() {
		t.Errorf("asked after it: got %v, want 503 that says nothing was done", e)
	}

	var last *Outcome
	req := &Request{Address: def.At("k"), Reply: func(o *Outcome) { last = o }}
	req.OrForward(func(next *Request) bool {
		next.fail(Errorf(CodeUnavailable, "nobody took it in time"))
		return true
	})
	req.fail(Errorf(CodeUnavailable, "this node no longer owns it").Doubtful())
	if e := last.Err; !e.InDoubt() {
		t.Errorf("sent on in vain: got %v, want the doubt kept", e)
	}
}
