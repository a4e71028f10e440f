package actor

import (
	"encoding/json"
	"strings"
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

func TestRead_Events(t *testing.T) {
	w := newWorld(t)
	hook := NewHook[int8, int8]("echo")
	echo := NewWorkflow("echo", func(ctx Context, _ None) (None, error) {
		for call, err := range hook.Create(ctx).All(ctx) {
			if err != nil {
				return None{}, err
			}
			call.Reply(ctx, call.Payload)
		}
		return None{}, nil
	}, hook)
	h := w.host("a", nil, echo)
	w.own(h, 1, Checkpoint{})
	for _, payload := range []string{"1", "2", "3"} {
		w.result(ask(h, echo.At("x"), "echo", "", payload))
	}
	for payload, want := range map[string]int{"": 3, "null": 3, "{}": 3, `{"limit":0}`: 3, `{"limit":2}`: 2, `{"from":2}`: 2, `{"from":9}`: 0, `{"more":1}`: 3} {
		var records []json.RawMessage
		if o := w.answer(ask(h, echo.At("x"), HookEvents, "", payload)); o.Err != nil || json.Unmarshal(o.Result, &records) != nil || len(records) != want {
			t.Errorf("%s: %d records, %v, want %d", payload, len(records), o.Err, want)
		}
	}
	for hookAndPayload, want := range map[string][2]string{
		HookEvents + ` {"from":"x"}`:      {"/from", "must be an integer from 0 to 18446744073709551615, without point and exponent, not string"},
		HookEvents + ` {"from":-1}`:       {"/from", "must be an integer from 0 to 18446744073709551615, without point and exponent, not -1"},
		HookEvents + ` {"limit":-1}`:      {"/limit", "must be at least 0"},
		HookEvents + ` {"limit":{"a":1}}`: {"/limit", "must be an integer from -9223372036854775808 to 9223372036854775807, without point and exponent, not object"},
		HookEvents + ` "x"`:               {"", "must be an object, not string"},
		`echo 300`:                        {"", "must be an integer from -128 to 127, without point and exponent, not 300"},
	} {
		name, payload, _ := strings.Cut(hookAndPayload, " ")
		o := w.answer(ask(h, echo.At("x"), name, "", payload))
		if o.Err == nil || o.Err.Code != CodeInvalid {
			t.Errorf("%s: got %s, %v", hookAndPayload, o.Result, o.Err)
			continue
		}
		var details struct{ Field, Problem string }
		if err := json.Unmarshal(o.Err.Details, &details); err != nil || [2]string{details.Field, details.Problem} != want {
			t.Errorf("%s: got %s, want %q", hookAndPayload, o.Err.Details, want)
		}
		if strings.Contains(o.Err.Error(), "Go ") || !strings.Contains(o.Err.Error(), want[1]) {
			t.Errorf("%s: got %s", hookAndPayload, o.Err)
		}
	}
}

// TestRead_AnswerAgain: callers who repeat themselves do not have a large record read again and again, and a node that comes
// later reads it.
func TestRead_AnswerAgain(t *testing.T) {
	w := newWorld(t)
	log := &counting{world: w}
	addr := Address{"notebook", "k"}
	with := func(c *Config) { c.Log = log }
	h := w.host("a", with, notebooks())
	w.own(h, 1, Checkpoint{})
	first := w.result(ask(h, addr, "fill", "id", "20000"))
	if len(w.log[0].Body) < largeRecord {
		t.Fatalf("the record has %d bytes", len(w.log[0].Body))
	}
	before := log.reads.Load()
	for range 3 {
		if got := w.result(ask(h, addr, "fill", "id", "20000")); got != first {
			t.Errorf("repeated: %s, want %s", got, first)
		}
	}
	if n := log.reads.Load() - before; n != 0 {
		t.Errorf("%d reads", n)
	}
	h.Close()
	h = w.host("b", with, notebooks())
	w.own(h, 2, Checkpoint{})
	if got := w.result(ask(h, addr, "fill", "id", "20000")); got != first {
		t.Errorf("repeated after a restart: %s, want %s", got, first)
	}
}
