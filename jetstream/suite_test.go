package jetstream

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/internal/natstest"
)

// rig is a store with what the adapters' tests need. Each test uses an object type of its own.
type rig struct {
	server *server.Server
	store  *Store

	epoch  uint64 // of the last node that was made
	scroll int    // bytes of a large state; 0: 500 KiB
}

// adapterTests run against a single server and against three that replicate.
var adapterTests = map[string]func(*testing.T, *rig){
	"Log":           testLog,
	"Log outcomes":  testLogOutcomes,
	"Log foreign":   testLogForeign,
	"Log tail":      testLogTail,
	"Log blobs":     testLogBlobs,
	"Log watch":     testLogWatch,
	"Inbox":         testInbox,
	"Timers":        testTimers,
	"Tokens":        testTokens,
	"Outlet":        testOutlet,
	"Log contested": testLogContested,

	"Outputs":          testOutputs,
	"Outputs outcomes": testOutputsOutcomes,
	"Outputs foreign":  testOutputsForeign,
	"Chunks":           testChunks,
	"Chunks live":      testChunksLive,
	"Chunks slow":      testChunksSlow,
}

// noSockets is for use in a bubble.
func noSockets(o *server.Options) { o.DontListen = true }

// smallMessages makes large records cheap.
func smallMessages(o *server.Options) { o.MaxPayload = 256 << 10 }

func TestSingle(t *testing.T) {
	opts := natstest.Options(t.TempDir())
	smallMessages(opts)
	s := natstest.Start(t, opts)
	r := &rig{server: s, store: provision(t, natstest.Connect(t, s), Config{Partitions: 16, LogStreams: 2})}
	r.run(t)
}

func TestCluster(t *testing.T) {
	if testing.Short() {
		t.Skip("needs seconds of real time")
	}
	s := natstest.Cluster(t, smallMessages)[0]
	start := time.Now()
	r := &rig{server: s, store: provision(t, natstest.Connect(t, s), Config{Partitions: 16, LogStreams: 2, Replicas: 3})}
	t.Logf("provisioned in %v", time.Since(start))
	t.Run("in flight", func(t *testing.T) { testInFlight(t, r) })
	r.run(t)
}

func (r *rig) run(t *testing.T) {
	t.Run("adapters", func(t *testing.T) {
		for name, test := range adapterTests {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				test(t, r)
			})
		}
	})
	t.Run("Inbox trim", func(t *testing.T) { testInboxTrim(t, r) })
}

func (r *rig) log(t *testing.T) *Log {
	t.Helper()
	return r.store.Log(natstest.Connect(t, r.server, AppendOptions()...))
}

// cuttable returns a log whose append connection can be cut.
func (r *rig) cuttable(t *testing.T) (*Log, *natstest.Wire) {
	t.Helper()
	w := natstest.NewWire(r.server)
	nc := natstest.Connect(t, r.server, append(AppendOptions(), nats.InProcessServer(w))...)
	return r.store.Log(nc), w
}

// guard is how long what must not hang may take. It is much more than it takes: machines may be slow and busy.
const guard = 2 * time.Minute

func short(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), guard)
	t.Cleanup(cancel)
	return ctx
}

func entry(addr actor.Address, turn string, body string) *actor.Entry {
	return &actor.Entry{Address: addr, Epoch: 3, Turn: turn, Node: "n1", Status: actor.StatusRunning, Body: []byte(body)}
}

// mustAppend appends until it is written: a replicated stream may answer a conflict although there is none.
func mustAppend(t *testing.T, l *Log, e *actor.Entry, expected uint64) uint64 {
	t.Helper()
	seq, _ := mustAppendTries(t, l, e, expected)
	return seq
}

// mustAppendTries is [mustAppend], and returns how many appends were in vain, or perhaps so.
func mustAppendTries(t *testing.T, l *Log, e *actor.Entry, expected uint64) (seq uint64, failed int) {
	t.Helper()
	seq, outcomes, err := appendSurely(short(t), l, e, expected)
	if err != nil {
		t.Fatal(err)
	}
	return seq, outcomes["refused"] + outcomes["conflict"] + outcomes["unknown"]
}
