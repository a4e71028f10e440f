package counter_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/examples/counter"
)

// node runs a node without sockets on the store in dir, until the test ends or it is stopped.
func node(tb testing.TB, dir string) *perdure.Node {
	tb.Helper()
	n, err := perdure.Start(tb.Context(), perdure.Config{Listen: "none", Store: dir}, counter.Counter, counter.Tallies)
	if err != nil {
		tb.Fatalf("start node: %v", err)
	}
	tb.Cleanup(func() { stop(tb, n) })
	return n
}

func stop(tb testing.TB, n *perdure.Node) {
	tb.Helper()
	if err := n.Stop(); err != nil {
		tb.Errorf("stop node: %v", err)
	}
}

// do calls the counter with this key.
func do(tb testing.TB, c actor.Client, key string, a counter.Action) int {
	tb.Helper()
	n, err := counter.Hook.Call(tb.Context(), c, counter.Counter.At(key), a)
	if err != nil {
		tb.Fatalf("%+v: %v", a, err)
	}
	return n
}

func TestCounter(t *testing.T) {
	client := node(t, t.TempDir()).Client()
	for _, x := range []struct {
		action counter.Action
		want   int
	}{
		{counter.Action{Type: "get"}, 0},
		{counter.Action{Type: "increment"}, 1}, // the default amount
		{counter.Action{Type: "increment", Amount: 41}, 42},
		{counter.Action{Type: "decrement", Amount: 2}, 40},
		{counter.Action{Type: "decrement"}, 39},
		{counter.Action{Type: "get", Amount: 7}, 39},
	} {
		if got := do(t, client, "alice", x.action); got != x.want {
			t.Errorf("%+v: got %d, want %d", x.action, got, x.want)
		}
	}
	if got := do(t, client, "bob", counter.Action{Type: "get"}); got != 0 {
		t.Errorf("another counter: got %d, want 0", got)
	}
}

func TestCounter_BadAction(t *testing.T) {
	client := node(t, t.TempDir()).Client()
	do(t, client, "alice", counter.Action{Type: "increment"})
	for name, payload := range map[string]string{
		"unknown type": `{"type":"multiply"}`,
		"no type":      `{"amount":1}`,
		"wrong amount": `{"type":"increment","amount":"two"}`,
		"fraction":     `{"type":"increment","amount":1.5}`,
		"no JSON":      `increment`,
		"empty":        ``,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := client.Call(t.Context(), counter.Counter.At("alice"), "action", []byte(payload), actor.CallHeader{})
			if !errors.Is(err, actor.ErrInvalid) {
				t.Errorf("got %v, want %v", err, actor.ErrInvalid)
			}
		})
	}
	if got := do(t, client, "alice", counter.Action{Type: "get"}); got != 1 {
		t.Errorf("got %d after bad calls, want 1", got)
	}
}

// TestCounter_Unknown: what the schema does not know is dropped, and an amount that is given is kept.
func TestCounter_Unknown(t *testing.T) {
	client := node(t, t.TempDir()).Client()
	o, err := client.Call(t.Context(), counter.Counter.At("alice"), "action",
		[]byte(`{"type":"increment","amount":0,"colour":"red"}`), actor.CallHeader{})
	if err != nil {
		t.Fatal(err)
	}
	if string(o.Result) != "0" {
		t.Errorf("got %s, want 0", o.Result)
	}
}

func TestCounter_SendsBeforeFirstCall(t *testing.T) {
	client := node(t, t.TempDir()).Client()
	var last uint64
	for range 10 {
		seq, err := counter.Hook.Send(t.Context(), client, counter.Counter.At("alice"), counter.Action{Type: "increment"})
		if err != nil {
			t.Fatal(err)
		}
		if seq <= last {
			t.Errorf("accepted as %d after %d", seq, last)
		}
		last = seq
	}
	if got := do(t, client, "alice", counter.Action{Type: "get"}); got != 10 {
		t.Errorf("got %d, want 10", got)
	}
}

func TestCounter_ManySends(t *testing.T) {
	client := node(t, t.TempDir()).Client()
	const sends = 1000
	var last uint64
	for range sends {
		seq, err := counter.Hook.Send(t.Context(), client, counter.Counter.At("alice"), counter.Action{Type: "increment"})
		if err != nil {
			t.Fatal(err)
		}
		last = seq
	}
	get := counter.Action{Type: "get"}
	got, err := counter.Hook.Call(t.Context(), client, counter.Counter.At("alice"), get, actor.AfterSend(last))
	if err != nil {
		t.Fatal(err)
	}
	if got != sends {
		t.Errorf("got %d, want %d", got, sends)
	}
}

func TestCounter_CallID(t *testing.T) {
	client := node(t, t.TempDir()).Client()
	for range 3 {
		got, err := counter.Hook.Call(t.Context(), client, counter.Counter.At("alice"), counter.Action{Type: "increment"}, actor.CallID("once"))
		if err != nil {
			t.Fatal(err)
		}
		if got != 1 {
			t.Errorf("got %d, want 1", got)
		}
	}
}

func TestCounter_Resume(t *testing.T) {
	client := node(t, t.TempDir()).Client()
	resume := func(token string, a counter.Action) error {
		return actor.Resume(t.Context(), client, token, a)
	}
	if err := resume("counter:counter/alice", counter.Action{Type: "increment"}); !errors.Is(err, actor.ErrNotFound) {
		t.Errorf("before the run exists: got %v, want %v", err, actor.ErrNotFound)
	}
	do(t, client, "alice", counter.Action{Type: "get"})
	for range 5 {
		if err := resume("counter:counter/alice", counter.Action{Type: "increment", Amount: 2}); err != nil {
			t.Fatal(err)
		}
	}
	if err := resume("counter:counter/alice", counter.Action{Type: "multiply"}); !errors.Is(err, actor.ErrInvalid) {
		t.Errorf("bad action: got %v, want %v", err, actor.ErrInvalid)
	}
	if err := resume("counter:counter/bob", counter.Action{Type: "increment"}); !errors.Is(err, actor.ErrNotFound) {
		t.Errorf("unknown token: got %v, want %v", err, actor.ErrNotFound)
	}
	if got := do(t, client, "alice", counter.Action{Type: "get"}); got != 10 {
		t.Errorf("got %d, want 10", got)
	}
}

func TestCounter_Restart(t *testing.T) {
	dir := t.TempDir()
	first := node(t, dir)
	do(t, first.Client(), "alice", counter.Action{Type: "increment", Amount: 5})
	stop(t, first)

	second := node(t, dir)
	if got := do(t, second.Client(), "alice", counter.Action{Type: "increment"}); got != 6 {
		t.Errorf("got %d after the restart, want 6", got)
	}
	if err := actor.Resume(t.Context(), second.Client(), "counter:counter/alice", counter.Action{Type: "increment"}); err != nil {
		t.Errorf("resume after the restart: %v", err)
	}
	stop(t, second)

	third := node(t, dir)
	if got := do(t, third.Client(), "alice", counter.Action{Type: "get"}); got != 7 {
		t.Errorf("got %d after the second restart, want 7", got)
	}
}

func TestTally(t *testing.T) {
	dir := t.TempDir()
	first := node(t, dir)
	ctx, client := t.Context(), first.Client()
	if got, err := counter.Get.Call(ctx, client, "bob", actor.None{}); err != nil || got != 0 {
		t.Errorf("get of a new tally: got %d, %v, want 0", got, err)
	}
	for _, x := range []struct{ n, want int }{{2, 2}, {3, 5}, {-1, 4}, {0, 4}} {
		if got, err := counter.Add.Call(ctx, client, "bob", counter.Amount{N: x.n}); err != nil || got != x.want {
			t.Errorf("add %d: got %d, %v, want %d", x.n, got, err, x.want)
		}
	}
	if _, err := counter.Add.Send(ctx, client, "bob", counter.Amount{N: 6}); err != nil {
		t.Fatal(err)
	}
	checkTally(ctx, t, client, 10)
	stop(t, first)
	checkTally(ctx, t, node(t, dir).Client(), 10)
}

func checkTally(ctx context.Context, tb testing.TB, c *perdure.Client, want int) {
	tb.Helper()
	if got, err := counter.Get.Call(ctx, c, "bob", actor.None{}); err != nil || got != want {
		tb.Errorf("get: got %d, %v, want %d", got, err, want)
	}
	if state, ok, err := counter.Tallies.State(ctx, c, "bob"); err != nil || !ok || state.Count != want {
		tb.Errorf("state: got %+v, %t, %v, want %d", state, ok, err, want)
	}
	raw, err := c.State(ctx, counter.Tallies.At("bob"))
	if err != nil {
		tb.Fatal(err)
	}
	var state counter.Tally
	if err := json.Unmarshal(raw, &state); err != nil || state.Count != want {
		tb.Errorf("state %s: got %+v, %v, want %d", raw, state, err, want)
	}
}
