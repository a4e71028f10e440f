package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/perdure/perdure/router"
)

// leasePrefix begins the keys of nodes' leases: node.<node>.
const leasePrefix = "node."

// Leases is [router.Leases] in a bucket whose TTL is some lease TTLs. Only the bucket's TTL will do: an update drops
// the TTL of a key. Use it on a connection of its own, so that renewals do not queue behind anything else.
//
// A bucket that is not replicated is in memory: with its server every lease is lost. The first
// node that begins a new session makes it again, with a TTL of its own that may be too short for others: so each looks at
// the bucket before it creates its lease.
type Leases struct {
	kv   jetstream.KeyValue
	nc   *nats.Conn
	make func(ctx context.Context) error // the bucket if there is none, and its TTL long enough
}

var _ router.Leases = (*Leases)(nil)

// NewLeases returns the leases in a bucket, which nc reaches; ensure makes it when there is none, and its TTL long enough.
func NewLeases(kv jetstream.KeyValue, nc *nats.Conn, ensure func(ctx context.Context) error) *Leases {
	return &Leases{kv, nc, ensure}
}

// Create implements [router.Leases].
func (l *Leases) Create(ctx context.Context, lease router.Lease) (uint64, error) {
	operation := "create lease of node " + lease.Node
	value, err := json.Marshal(lease)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", operation, err)
	}
	ctx, cancel := context.WithTimeout(ctx, bucketTimeout)
	defer cancel()
	if err := l.make(ctx); err != nil {
		return 0, fmt.Errorf("%s: %w", operation, err)
	}
	revision, err := l.kv.Create(ctx, leasePrefix+lease.Node, value)
	return revision, bucketError(operation, err)
}

// Renew implements [router.Leases].
func (l *Leases) Renew(ctx context.Context, lease router.Lease) (uint64, error) {
	operation := "renew lease of node " + lease.Node
	value, err := json.Marshal(lease)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", operation, err)
	}
	ctx, cancel := context.WithTimeout(ctx, bucketTimeout)
	defer cancel()
	revision, err := updateKey(ctx, l.nc, l.kv.Bucket(), leasePrefix+lease.Node, value, lease.Revision)
	if noStream(err) && l.missing(ctx) {
		return 0, fmt.Errorf("%s: bucket %s is gone: %w", operation, l.kv.Bucket(), router.ErrConflict)
	}
	return revision, bucketError(operation, err)
}

// Delete implements [router.Leases].
func (l *Leases) Delete(ctx context.Context, lease router.Lease) error {
	ctx, cancel := context.WithTimeout(ctx, bucketTimeout)
	defer cancel()
	err := l.kv.Delete(ctx, leasePrefix+lease.Node, jetstream.LastRevision(lease.Revision))
	return bucketError("delete lease of node "+lease.Node, err)
}

// Get implements [router.Leases].
func (l *Leases) Get(ctx context.Context, node string) (router.Lease, error) {
	ctx, cancel := context.WithTimeout(ctx, bucketTimeout)
	defer cancel()
	m, err := lastOfKey(ctx, l.nc, l.kv.Bucket(), leasePrefix+node)
	switch {
	case errors.Is(err, errNoMessage), noStream(err) && l.missing(ctx), err == nil && gone(m):
		return router.Lease{Node: node}, nil
	case err != nil:
		return router.Lease{}, bucketError("read lease of node "+node, err)
	}
	return decodeLease(node, m.Seq, m.Data), nil
}

// missing reports whether the servers say that there is no bucket; they may also not answer.
func (l *Leases) missing(ctx context.Context) bool {
	_, err := lastOfKey(ctx, l.nc, l.kv.Bucket(), leasePrefix+"0")
	return isCode(err, jetstream.JSErrCodeStreamNotFound)
}

// noStream reports whether an error may come from there being no stream.
func noStream(err error) bool {
	return errors.Is(err, jetstream.ErrNoStreamResponse) || errors.Is(err, nats.ErrNoResponders) || isCode(err, jetstream.JSErrCodeStreamNotFound)
}

// Watch implements [router.Leases].
func (l *Leases) Watch(ctx context.Context, fn func(router.Lease), all func()) error {
	return watchBucket(ctx, l.kv, leasePrefix+">", func(e jetstream.KeyValueEntry) {
		fn(decodeLease(e.Key()[len(leasePrefix):], e.Revision(), e.Value())) // a marker of deletion has no value
	}, all)
}

// decodeLease returns the lease in an entry, without a session when it is not one.
func decodeLease(node string, revision uint64, value []byte) router.Lease {
	var lease router.Lease
	if json.Unmarshal(value, &lease) != nil || lease.Node != node {
		lease = router.Lease{Node: node}
	}
	lease.Revision = revision
	return lease
}
