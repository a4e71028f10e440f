package jetstream_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/perdure/perdure/internal/natstest"
	"github.com/perdure/perdure/jetstream"
)

// ttl is the lease TTL of the tests, in virtual time.
const ttl = 5 * time.Second

// bucketServer runs a server with the two buckets of the router, in a bubble.
func bucketServer(t *testing.T) *server.Server {
	t.Helper()
	return bucketServerFor(t, 4*ttl)
}

// bucketServerFor is one whose leases live for longest.
func bucketServerFor(t *testing.T, longest time.Duration) *server.Server {
	t.Helper()
	s := natstest.Bubble(t)
	js := dialBuckets(t, s).js
	for _, cfg := range []natsjs.KeyValueConfig{
		{Bucket: "LEASES", Storage: natsjs.MemoryStorage, TTL: longest, LimitMarkerTTL: longest},
		{Bucket: "PARTITIONS", Storage: natsjs.MemoryStorage},
	} {
		if _, err := js.CreateKeyValue(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// link is one node's connection to the buckets, over a wire that can be cut.
type link struct {
	wire *natstest.Wire
	js   natsjs.JetStream
	nc   *nats.Conn
}

func dialBuckets(t *testing.T, s *server.Server) *link {
	t.Helper()
	wire := natstest.NewWire(s)
	nc := natstest.Connect(t, s, nats.InProcessServer(wire))
	js, err := natsjs.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return &link{wire, js, nc}
}

func (l *link) bucket(t *testing.T, name string) natsjs.KeyValue {
	t.Helper()
	kv, err := l.js.KeyValue(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return kv
}

func (l *link) leases(t *testing.T) *jetstream.Leases {
	t.Helper()
	return jetstream.NewLeases(l.bucket(t, "LEASES"), l.nc, func(context.Context) error { return nil })
}

func (l *link) partitions(t *testing.T) *jetstream.Partitions {
	t.Helper()
	return jetstream.NewPartitions(l.bucket(t, "PARTITIONS"), l.nc)
}
