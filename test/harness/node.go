package harness

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/actor"
)

// Node is a node inside the test, on a store that outlives it: it can be started again, with other code.
type Node struct {
	*perdure.Node
	tb  testing.TB
	cfg perdure.Config
}

// Config is a node on a new store and a random port that does not wait for the disk. Change it before [Run].
func Config(tb testing.TB) perdure.Config {
	tb.Helper()
	return perdure.Config{
		Store: tb.TempDir(), Listen: "127.0.0.1:0", Sync: perdure.SyncInterval,
		Logger: slog.New(slog.NewTextHandler(tb.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
}

// Run starts a node with these types; it ends with the test.
func Run(tb testing.TB, cfg perdure.Config, defs ...actor.Definition) *Node {
	tb.Helper()
	n := &Node{tb: tb, cfg: cfg}
	tb.Cleanup(n.End)
	n.start(defs)
	return n
}

// Again ends the node and starts another on its store, perhaps with other code.
func (n *Node) Again(defs ...actor.Definition) {
	n.tb.Helper()
	n.End()
	n.start(defs)
}

// End stops the node, if it runs.
func (n *Node) End() {
	n.tb.Helper()
	if n.Node == nil {
		return
	}
	if err := n.Stop(); err != nil {
		n.tb.Errorf("stop node: %v", err)
	}
	n.Node = nil
}

func (n *Node) start(defs []actor.Definition) {
	n.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	node, err := perdure.Start(ctx, n.cfg, defs...)
	if err != nil {
		n.tb.Fatalf("start node: %v", err)
	}
	n.Node = node
}

// Dial connects to the node as any client does.
func (n *Node) Dial(opts ...nats.Option) *nats.Conn {
	n.tb.Helper()
	nc, err := nats.Connect(n.URL(), opts...)
	if err != nil {
		n.tb.Fatalf("connect: %v", err)
	}
	n.tb.Cleanup(nc.Close)
	return nc
}
