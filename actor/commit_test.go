package actor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"
)

// an ownership record that cannot be read for a moment makes the successor's records foreign: they are overwritten.
func TestHost_confirmErrorOverwritesSuccessor(t *testing.T) {
	w := newWorld(t)
	old := w.host("old", nil, sums())
	w.own(old, 1, Checkpoint{})
	w.result(ask(old, at, "add", "", "1"))

	w.change(func() { w.issued = func() (uint64, error) { return 2, nil } })
	successor := w.host("new", nil, sums())
	w.own(successor, 2, Checkpoint{})
	if got := w.result(ask(successor, at, "add", "", "10")); got != "11" { // acknowledged
		t.Fatal(got)
	}

	w.change(func() { w.issued = func() (uint64, error) { return 0, errors.New("no answer from the bucket") } })
	_ = ask(old, at, "add", "", "100") // the old owner has not noticed yet
	if w.within(time.Second, func() bool { return len(w.log) > 2 }) {
		rec, _ := DecodeRecord(w.log[2].Body)
		t.Errorf("the old owner appended state %s over 11: the successor's acknowledged call is lost", rec.State)
	}
}

// the record that parks an object whose state does not decode carries no state: it is gone.
func TestHost_parkLosesState(t *testing.T) {
	w := newWorld(t)
	h := w.host("a", nil, sums())
	w.own(h, 1, Checkpoint{})
	w.result(ask(h, at, "add", "", "7"))
	h.Close()

	type sumOfText struct{ N string } // a bad deployment
	bad := NewObject[sumOfText]("sum")
	NewMethod(bad, "add", func(*sumOfText, Context, int) (int, error) { return 0, nil })
	h = w.host("b", nil, bad)
	w.own(h, 2, Checkpoint{})
	if o := w.answer(ask(h, at, "add", "", "1")); o.Err == nil || o.Err.Code != CodeStopped {
		t.Fatalf("want 423, got %v", o.Err)
	}
	h.Close()

	h = w.host("c", nil, sums()) // rolled back
	w.own(h, 3, Checkpoint{})
	if got := w.result(ask(h, at, "add", "", "1")); got != "8" {
		t.Errorf("add after the roll-back = %s, want 8", got)
	}
}

// ids received in a record that carries a table are in no later incremental table: forgotten at the next load.
func TestHost_idsOfTableRecord(t *testing.T) {
	now := time.Now()
	due := now.Add(time.Hour)
	received := func(id string) *Event {
		return &Event{Type: HookReceived, ID: id, Name: "add", At: now, Hash: "h", Due: &due}
	}
	live, loaded := newIDTable(), newIDTable()
	var tables [][]IDEntry
	for seq := uint64(1); seq <= 3*idsEvery+3; seq++ {
		ids, _ := live.table(now) // as record() and committed() do
		if ids != nil {
			tables = append(tables, ids)
		}
		live.written(ids != nil)
		for i := range 30 {
			id := fmt.Sprintf("%d-%d", seq, i)
			live.observe(received(id), seq)
			live.observe(&Event{Type: CallCompleted, ID: id}, seq)
		}
	}
	for _, ids := range tables {
		loaded.restore(ids)
	}
	lost := 0
	for seq := 1; seq <= 2*idsEvery; seq++ { // well before the last table
		for i := range 30 {
			if id := fmt.Sprintf("%d-%d", seq, i); live.find(id) != nil && loaded.find(id) == nil {
				lost++
			}
		}
	}
	if lost > 0 {
		t.Errorf("%d ids that are in memory are not in the tables", lost)
	}
}

// R3 end to end: a repeated call runs twice after a restart.
func TestHost_repeatedCallRunsTwice(t *testing.T) {
	w := newWorld(t)
	h := w.host("a", nil, sums())
	w.own(h, 1, Checkpoint{})
	n := 0
	batch := func(k int) { // k calls in one record
		gate, began := make(chan struct{}), make(chan struct{}, 1)
		w.change(func() {
			w.onAppend = func(*Entry) (bool, error) { began <- struct{}{}; <-gate; return true, nil }
		})
		first := ask(h, at, "add", fmt.Sprint("id", n), "1")
		n++
		<-began
		w.change(func() { w.onAppend = nil })
		var rest []<-chan *Outcome
		for range k - 1 {
			rest = append(rest, ask(h, at, "add", fmt.Sprint("id", n), "1"))
			n++
		}
		close(gate)
		w.result(first)
		for _, r := range rest {
			w.result(r)
		}
	}
	for range 70 {
		batch(20)
	}
	before := w.result(ask(h, at, "get", "", "null"))
	h.Close()
	h = w.host("b", nil, sums())
	w.own(h, 2, Checkpoint{})
	for i := range n {
		w.result(ask(h, at, "add", fmt.Sprint("id", i), "1")) // every caller asks again
	}
	if after := w.result(ask(h, at, "get", "", "null")); after != before {
		t.Errorf("state %s before, %s after repeating %d calls with their ids", before, after, n)
	}
}

// $start in one batch with a first call starts a run twice.
func TestHost_startedTwice(t *testing.T) {
	w := newWorld(t)
	action := NewHook[int, int]("action")
	runs := 0
	def := NewWorkflow("flow", func(ctx Context, _ None) (None, error) {
		runs++
		hook := action.Create(ctx)
		for call, err := range hook.All(ctx) {
			if err != nil {
				return None{}, err
			}
			call.Reply(ctx, call.Payload)
		}
		return None{}, nil
	}, action)
	h := w.host("a", nil, def)
	w.own(h, 1, Checkpoint{})
	addr := def.At("k")
	h.trust.set(false) // so that both are in one batch
	one := ask(h, addr, "action", "", "1")
	p := h.owned(0)
	p.mu.Lock()
	r := p.runs[addr]
	p.mu.Unlock()
	_ = r
	two := ask(h, addr, HookStart, "", "null")
	h.trust.set(true)
	w.result(one)
	w.result(two)
	if n := w.count(RunStarted); n != 1 || runs != 1 {
		t.Errorf("%d run_started in the log, the run function was called %d times", n, runs)
	}
}

// a call that is received in the same record in which another made the run panic leaves a log that no code can
// ever match.
func TestHost_panicWithAnotherCall(t *testing.T) {
	w := newWorld(t)
	action := NewHook[int, int]("action")
	fragile := func(broken bool) *Workflow[None, None] {
		return NewWorkflow("flow", func(ctx Context, _ None) (None, error) {
			for call, err := range action.Create(ctx).All(ctx) {
				if err != nil {
					return None{}, err
				}
				if broken && call.Payload == 13 {
					panic("unlucky")
				}
				call.Reply(ctx, call.Payload)
			}
			return None{}, nil
		}, action)
	}
	h := w.host("a", nil, fragile(true))
	w.own(h, 1, Checkpoint{})
	addr := Address{"flow", "k"}
	w.twoInOneRecord(h, addr, "13", "14")
	h.Close()
	h = w.host("b", nil, fragile(false)) // mended
	w.own(h, 2, Checkpoint{})
	if got := w.result(ask(h, addr, "action", "", "15")); got != "15" {
		t.Errorf("the mended run answers %s", got)
	}
}

// twoInOneRecord makes the worker take two calls of "action" at once.
func (w *world) twoInOneRecord(h *Host, addr Address, a, b string) (first, second <-chan *Outcome) {
	gate, began := make(chan struct{}), make(chan struct{}, 8)
	w.change(func() {
		w.onAppend = func(*Entry) (bool, error) { began <- struct{}{}; <-gate; return true, nil }
	})
	ask(h, addr, "action", "", "1")
	<-began
	w.change(func() { w.onAppend = nil })
	first, second = ask(h, addr, "action", "", a), ask(h, addr, "action", "", b)
	close(gate)
	w.t.Log(w.answer(first).Err)
	w.t.Log(w.answer(second).Err)
	return first, second
}

// a send behind a call that ends the run is a dead letter before the end is durable; the append is then refused.
func TestHost_buriedBeforeDurable(t *testing.T) {
	w := newWorld(t)
	action := NewHook[int, int]("action")
	def := NewWorkflow("flow", func(ctx Context, _ None) (None, error) {
		for call, err := range action.Create(ctx).All(ctx) {
			if err != nil {
				return None{}, err
			}
			call.Reply(ctx, call.Payload)
			if call.Payload == 0 {
				break
			}
		}
		return None{}, nil
	}, action)
	h := w.host("a", nil, def)
	w.own(h, 1, Checkpoint{})
	addr := def.At("k")
	w.result(ask(h, addr, "action", "", "1"))

	gate, began := make(chan struct{}), make(chan struct{}, 8)
	w.change(func() {
		w.onAppend = func(*Entry) (bool, error) { began <- struct{}{}; <-gate; return true, nil }
	})
	ask(h, addr, "action", "", "2")
	<-began
	w.change(func() { w.onAppend = func(*Entry) (bool, error) { return false, ErrAppendRefused } })
	end := ask(h, addr, "action", "", "0") // ends the run: in one batch with the send
	m := w.send(addr, "action", "5", CallHeader{})
	if err := h.takeSend(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	close(gate)
	if o := w.answer(end); o.Err == nil || o.Err.Code != CodeUnavailable {
		t.Fatalf("the ending call: %v", o)
	}
	if w.within(300*time.Millisecond, func() bool { return len(w.dead) > 0 }) {
		w.change(func() { w.onAppend = nil })
		got := w.result(ask(h, addr, "action", "", "3"))
		t.Errorf("dead letter %q, but the run lives on: the next call answers %s", w.dead[0].Cause.Message, got)
	}
}

// the input of a start is compared byte for byte with what a record made of it.
func TestHost_startAgainAfterRestart(t *testing.T) {
	w := newWorld(t)
	type order struct{ Text string }
	def := func() *Workflow[order, None] {
		wait := NewHook[None, None]("wait")
		return NewWorkflow("flow", func(ctx Context, _ order) (None, error) {
			_, err := wait.Create(ctx).Await(ctx)
			return None{}, err
		}, wait)
	}
	addr := Address{"flow", "k"}
	input := `{"Text":"a<b"}` // as schema.Normalize leaves it
	h := w.host("a", nil, def())
	w.own(h, 1, Checkpoint{})
	w.result(ask(h, addr, HookStart, "", input))
	h.Close()
	h = w.host("b", nil, def())
	w.own(h, 2, Checkpoint{})
	if o := w.answer(ask(h, addr, HookStart, "", input)); o.Err != nil {
		t.Errorf("the same start again: %v", o.Err)
	}
}

var (
	_ = context.Background
	_ = json.Valid
)
