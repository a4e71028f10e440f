package perdure

import (
	"net"
	"sync/atomic"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	js "github.com/nats-io/nats.go/jetstream"

	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/internal/natstest"
	"github.com/perdure/perdure/jetstream"
)

type rest struct {
	Nanos int `json:"nanos"`
}

var nap = actor.NewHook[rest, int]("nap")

// sleeper sleeps before it replies: a record of its own says that it has begun.
var sleeper = actor.NewWorkflow("sleeper", func(ctx actor.Context, _ actor.None) (actor.None, error) {
	for n := 1; ; n++ {
		call, err := nap.Create(ctx).Await(ctx)
		if err != nil {
			return actor.None{}, err
		}
		if err := actor.Sleep(ctx, time.Duration(call.Payload.Nanos)); err != nil {
			return actor.None{}, err
		}
		call.Reply(ctx, n)
	}
}, nap)

// TestHosting_LateAppend: a former owner's append lands on a run that the new owner has not touched. It is taken up,
// also when it lands while the connection that watches for it is being made anew.
func TestHosting_LateAppend(t *testing.T) {
	for name, gap := range map[string]bool{"connected": false, "reconnecting": true} {
		t.Run(name, func(t *testing.T) {
			srv := natstest.Server(t)
			cfg := Config{NATS: []string{srv.ClientURL()}, Name: "a", Partitions: 4, LogStreams: 1}
			nc := natstest.Connect(t, srv)
			late := firstRecord(t, cfg, nc)
			n, err := Start(t.Context(), cfg, sleeper)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = n.Stop() })
			appended, err := nc.SubscribeSync(late.Subject)
			if err != nil {
				t.Fatal(err)
			}
			if gap {
				disconnect(t, srv, n.links.appends)
			}
			late.Header.Set(js.ExpectedLastSubjSeqHeader, "0")
			if _, err := nc.RequestMsg(late, 30*time.Second); err != nil {
				t.Fatal(err)
			}
			for turn := late.Header.Get("Perdure-Turn"); turn == late.Header.Get("Perdure-Turn"); {
				m, err := appended.NextMsg(time.Minute)
				if err != nil {
					t.Fatalf("the sleep in the late record does not end: %v", err)
				}
				turn = m.Header.Get("Perdure-Turn")
			}
		})
	}
}

// firstRecord has a run write its first record, and takes it back: as if the append were still on its way.
func firstRecord(t *testing.T, cfg Config, nc *nats.Conn) *nats.Msg {
	t.Helper()
	n, err := Start(t.Context(), cfg, sleeper)
	if err != nil {
		t.Fatal(err)
	}
	appended, err := nc.SubscribeSync("log.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil { // the record comes over another connection
		t.Fatal(err)
	}
	if _, err := nap.Call(t.Context(), n.Client(), sleeper.At("x"), rest{int(500 * time.Millisecond)}); err != nil {
		t.Fatal(err)
	}
	first, err := appended.NextMsg(30 * time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	j, err := js.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	log, err := j.Stream(t.Context(), "PERDURE_LOG_0")
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	return &nats.Msg{Subject: first.Subject, Header: first.Header, Data: first.Data}
}

// disconnect ends a connection at the server and waits until it knows.
func disconnect(t *testing.T, srv *natsserver.Server, nc *nats.Conn) {
	t.Helper()
	lost := nc.StatusChanged(nats.RECONNECTING)
	defer nc.RemoveStatusListener(lost)
	id, err := nc.GetClientID()
	if err != nil {
		t.Fatal(err)
	}
	if err := srv.DisconnectClientByID(id); err != nil {
		t.Fatal(err)
	}
	<-lost
}

// TestHosting_watchLogs: a partition that the host gave up by itself and gets again is watched once.
func TestHosting_watchLogs(t *testing.T) {
	nc := natstest.Connect(t, natstest.Server(t))
	store, err := jetstream.Provision(t.Context(), nc, jetstream.Config{Partitions: 2, LogStreams: 1})
	if err != nil {
		t.Fatal(err)
	}
	h := &hosting{log: store.Log(nc), appends: nc}
	for range 5 {
		if err := h.watchLogs(t.Context(), 0, 0); err != nil {
			t.Fatal(err)
		}
	}
	before := nc.NumSubscriptions()
	h.unwatch([]int{0})
	if got := nc.NumSubscriptions(); got != before-1 || len(h.watch)+len(h.floors) != 0 {
		t.Errorf("%d subscriptions, want %d; %d watches, %d floors", got, before-1, len(h.watch), len(h.floors))
	}
}

// clogged dials connections whose peer takes nothing more once now is set, until the test ends.
type clogged struct {
	server *natsserver.Server
	now    atomic.Bool
	ended  chan struct{}
}

func (c *clogged) InProcessConn() (net.Conn, error) {
	conn, err := c.server.InProcessConn()
	return &cloggedConn{conn, c}, err
}

type cloggedConn struct {
	net.Conn
	wire *clogged
}

func (c *cloggedConn) Write(b []byte) (int, error) {
	if c.wire.now.Load() {
		<-c.wire.ended
	}
	return c.Conn.Write(b)
}

// TestHosting_cut: who looks after trust does not stand still because a server takes nothing of what is appended.
func TestHosting_cut(t *testing.T) {
	srv := natstest.Server(t)
	wire := &clogged{server: srv, ended: make(chan struct{})}
	nc := natstest.Connect(t, srv, append(jetstream.AppendOptions(), nats.InProcessServer(wire))...)
	t.Cleanup(func() { close(wire.ended) })
	wire.now.Store(true)
	if err := nc.Publish("somewhere", []byte("something")); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		(&hosting{appends: nc}).cut()
	}()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Error("it waits for a server that takes nothing")
	}
}
