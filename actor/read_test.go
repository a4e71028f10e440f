package actor

import (
	"encoding/json"
	"testing"
)

// TestRead_Ended describes a run before and after its end, the second time also where it was only loaded.
func TestRead_Ended(t *testing.T) {
	w := newWorld(t)
	hook := NewHook[int, int]("once")
	once := NewWorkflow("once", func(ctx Context, _ None) (int, error) {
		first := hook.Create(ctx)
		hook.Create(ctx, Token("mine"))
		call, err := first.Await(ctx)
		if err != nil {
			return 0, err
		}
		call.Reply(ctx, call.Payload)
		if call, err = first.Await(ctx); err != nil {
			return 0, err
		}
		call.Reply(ctx, call.Payload)
		return call.Payload, nil
	}, hook)
	h := w.host("a", nil, once)
	w.own(h, 1, Checkpoint{})
	hooks := func(h *Host) (status Status, n int) {
		t.Helper()
		var d runDescription
		if err := json.Unmarshal([]byte(w.result(ask(h, once.At("x"), HookDescribe, "", "null"))), &d); err != nil {
			t.Fatal(err)
		}
		if d.Hooks == nil || d.Waits == nil || d.Steps == nil {
			t.Errorf("got %+v: want lists", d)
		}
		return d.Status, len(d.Hooks)
	}
	w.result(ask(h, once.At("x"), "once", "", "5"))
	if status, n := hooks(h); status != StatusRunning || n != 2 {
		t.Errorf("running: %s with %d hooks", status, n)
	}
	w.result(ask(h, once.At("x"), "once", "", "6"))
	if status, n := hooks(h); status != StatusCompleted || n != 0 {
		t.Errorf("ended: %s with %d hooks", status, n)
	}
	h.Close()
	h = w.host("b", nil, once)
	w.own(h, 1, Checkpoint{})
	if status, n := hooks(h); status != StatusCompleted || n != 0 {
		t.Errorf("loaded: %s with %d hooks", status, n)
	}
}
