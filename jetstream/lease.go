package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/perdure/perdure/router"
)

// leasePrefix begins the keys of nodes' leases: node.<node>.
const leasePrefix = "node."

// Leases is [router.Leases] in a bucket whose TTL is the lease TTL. Only the bucket's TTL will do: an update drops
// the TTL of a key. Use it on a connection of its own, so that renewals do not queue behind anything else.
type Leases struct{ kv jetstream.KeyValue }

var _ router.Leases = (*Leases)(nil)

// NewLeases returns the leases in a bucket.
func NewLeases(kv jetstream.KeyValue) *Leases { return &Leases{kv} }

// Create implements [router.Leases].
func (l *Leases) Create(ctx context.Context, lease router.Lease) (uint64, error) {
	operation := "create lease of node " + lease.Node
	value, err := json.Marshal(lease)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", operation, err)
	}
	ctx, cancel := context.WithTimeout(ctx, bucketTimeout)
	defer cancel()
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
	revision, err := l.kv.Update(ctx, leasePrefix+lease.Node, value, lease.Revision)
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
	e, err := l.kv.Get(ctx, leasePrefix+node)
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound):
		return router.Lease{Node: node}, nil
	case err != nil:
		return router.Lease{}, bucketError("read lease of node "+node, err)
	}
	return decodeLease(e), nil
}

// Watch implements [router.Leases].
func (l *Leases) Watch(ctx context.Context, fn func(router.Lease)) error {
	return watchBucket(ctx, l.kv, leasePrefix+">", func(e jetstream.KeyValueEntry) {
		if lease := decodeLease(e); e.Operation() == jetstream.KeyValuePut && lease.Session != "" {
			fn(lease)
		}
	})
}

// decodeLease returns the lease in an entry, without a session when it is not one.
func decodeLease(e jetstream.KeyValueEntry) router.Lease {
	node := e.Key()[len(leasePrefix):]
	var lease router.Lease
	if json.Unmarshal(e.Value(), &lease) != nil || lease.Node != node {
		lease = router.Lease{Node: node}
	}
	lease.Revision = e.Revision()
	return lease
}
