package conformance

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/test/harness"
)

// stored returns how many messages the server has of an object, by stream.
func stored(t *testing.T, n *harness.Node, addr actor.Address) map[string]uint64 {
	t.Helper()
	js, err := jetstream.New(n.Conn())
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]uint64{}
	for _, name := range harness.Streams(t, n.Conn()) {
		stream, err := js.Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		info, err := stream.Info(t.Context(), jetstream.WithSubjectFilter(">"))
		if err != nil {
			t.Fatal(err)
		}
		for subject, count := range info.State.Subjects {
			if strings.Contains(subject+".", "."+addr.Type+"."+addr.Key+".") {
				found[name] += count
			}
		}
	}
	return found
}

// TestPurge removes runs that had runs before them under their key, with streams, and an object in parts: nothing is left
// of them, others are untouched, and what follows under their key begins anew.
func TestPurge(t *testing.T) {
	lines := actor.NewStream[int]("default")
	teller := actor.NewWorkflow("teller", func(ctx actor.Context, n int) (int, error) {
		for i := range n {
			if err := lines.Emit(ctx, i); err != nil {
				return 0, err
			}
		}
		return n, nil
	}, lines, actor.KeepNeeded())
	o := pages()
	n := harness.Run(t, harness.Config(t), teller, o)
	run := func(addr actor.Address, times int) {
		t.Helper()
		for range times {
			if _, err := n.Client().Call(t.Context(), addr, actor.HookStart, []byte("70"), actor.CallHeader{Wait: actor.WaitEnd, IDPolicy: actor.AfterEnd}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, key := range []string{"gone", "stays"} {
		run(teller.At(key), 3)
		for range 3 {
			if _, err := n.Client().Call(t.Context(), o.At(key), "fill", []byte("12000000"), actor.CallHeader{Timeout: time.Minute}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, addr := range []actor.Address{teller.At("gone"), o.At("gone")} {
		if have := stored(t, n, addr); len(have) < 2 {
			t.Fatalf("of %s there is %v", addr, have)
		}
		if err := actor.Purge(t.Context(), n.Client(), addr, "over"); err != nil {
			t.Fatal(err)
		}
		if left := stored(t, n, addr); len(left) != 0 {
			t.Errorf("of %s there is left %v", addr, left)
		}
		if err := actor.Purge(t.Context(), n.Client(), addr, "over"); !errors.Is(err, actor.ErrNotFound) {
			t.Errorf("again: %v", err)
		}
	}
	runs, err := n.Client().Runs(t.Context(), "", "", 0)
	if err != nil || len(runs) != 2 {
		t.Errorf("runs %v, %v", runs, err)
	}
	n.Again(teller, o)
	for _, addr := range []actor.Address{teller.At("stays"), o.At("stays")} {
		if have := stored(t, n, addr); len(have) < 2 {
			t.Errorf("of %s there is %v", addr, have)
		}
	}
	if state, err := n.Client().State(t.Context(), o.At("gone")); err != nil && !errors.Is(err, actor.ErrNotFound) || len(state) > 4 {
		t.Errorf("the state is %.50s, %v", state, err)
	}
	run(teller.At("gone"), 1)
	want := []string{}
	for i := range 70 {
		want = append(want, fmt.Sprint(i, " ", i))
	}
	awaitChunks(t, n.Client(), teller.At("gone"), append(want, "70 end")...)
	var d struct {
		Log struct{ Records, First uint64 }
	}
	out, err := n.Client().Call(t.Context(), teller.At("gone"), actor.HookDescribe, nil, actor.CallHeader{})
	if err != nil || json.Unmarshal(out.Result, &d) != nil || d.Log.Records > 5 {
		t.Errorf("described as %s, %v", out.Result, err)
	}
}
