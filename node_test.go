package perdure_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/internal/natstest"
)

type amount struct {
	N int `json:"n"`
}

type tally struct {
	Count int `json:"count"`
}

func (t *tally) Add(_ actor.Context, in amount) (int, error) {
	if in.N < 0 {
		return 0, errors.New("no negative amounts")
	}
	t.Count += in.N
	return t.Count, nil
}

func (t tally) Get(_ actor.ReadContext, _ actor.None) (int, error) { return t.Count, nil }

type tallyType struct {
	*actor.Object[tally]
	add *actor.Method[amount, int]
	get *actor.Query[actor.None, int]
}

func newTally() tallyType {
	o := actor.NewObject[tally]("tally")
	return tallyType{o, actor.NewMethod(o, "add", (*tally).Add), actor.NewQuery(o, "get", tally.Get)}
}

func start(t *testing.T, cfg perdure.Config, defs ...actor.Definition) *perdure.Node {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute) // in a cluster each stream elects a leader
	defer cancel()
	n, err := perdure.Start(ctx, cfg, defs...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Stop() })
	return n
}

func TestNode_restart(t *testing.T) {
	def := newTally()
	for name, cfg := range map[string]perdure.Config{
		"embedded": {Listen: "none", Store: t.TempDir()},
		"external": {NATS: []string{natstest.Server(t).ClientURL()}, Name: "a"},
	} {
		t.Run(name, func(t *testing.T) {
			for round := range 3 {
				n := start(t, cfg, def)
				for i := range 10 {
					got, err := def.add.Call(t.Context(), n.Client(), "bob", amount{1})
					if want := 10*round + i + 1; err != nil || got != want {
						t.Fatalf("round %d: add = %d, %v, want %d", round, got, err, want)
					}
				}
				if _, err := def.add.Call(t.Context(), n.Client(), "bob", amount{-1}); !errors.Is(err, actor.ErrFailed) {
					t.Errorf("a negative amount: %v", err)
				}
				if got, err := def.get.Call(t.Context(), n.Client(), "bob", actor.None{}); err != nil || got != 10*(round+1) {
					t.Errorf("get = %d, %v", got, err)
				}
				if err := n.Stop(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// TestNode_serverRestarts: a node on the only server loses its lease with it, which is in memory, and comes back by itself.
func TestNode_serverRestarts(t *testing.T) {
	opts := natstest.Options(t.TempDir())
	opts.Port = natstest.FreePort(t)
	server := natstest.Start(t, opts)
	def := newTally()
	n := start(t, perdure.Config{NATS: []string{server.ClientURL()}, Name: "a", LeaseTTL: 2 * time.Second}, def)
	for round := range 3 {
		if got, err := def.add.Call(t.Context(), n.Client(), "bob", amount{1}); err != nil || got != round+1 {
			t.Fatalf("round %d: add = %d, %v", round, got, err)
		}
		natstest.Stop(server)
		server = natstest.Start(t, opts)
	}
	if got, err := def.get.Call(t.Context(), n.Client(), "bob", actor.None{}); err != nil || got != 3 {
		t.Errorf("get = %d, %v", got, err)
	}
}

func TestNode_definitions(t *testing.T) {
	_, err := perdure.Start(t.Context(), perdure.Config{Listen: "none", Store: t.TempDir()},
		actor.NewObject[tally]("Bad Name"), newTally(), newTally())
	var bad *actor.DefinitionError
	if !errors.As(err, &bad) || len(bad.Problems) != 3 {
		t.Errorf("err = %v", err)
	}
}
