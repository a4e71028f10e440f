package router

import (
	"context"

	"github.com/perdure/perdure/actor"
)

// Leases keeps one lease a node. Leases that are not renewed disappear, some time after a TTL.
// Every method but Watch ends within a few seconds.
type Leases interface {
	// Create writes the first lease of a session and returns its revision. [ErrConflict] when the node has one.
	Create(ctx context.Context, l Lease) (uint64, error)
	// Renew writes l again, provided that it is still at l.Revision, and returns its new revision. [ErrConflict].
	Renew(ctx context.Context, l Lease) (uint64, error)
	// Delete ends the lease, provided that it is still at l.Revision. [ErrConflict].
	Delete(ctx context.Context, l Lease) error
	// Get returns a node's lease, with revision 0 when it has none, and without session when what is there is not a lease.
	Get(ctx context.Context, node string) (Lease, error)
	// Watch calls fn for each lease there is, then all, then fn for each as it is written, until ctx or the watch
	// ends. It may be late. Of a lease that was deleted or lapsed, or is not one, it gives nothing but node and revision.
	Watch(ctx context.Context, fn func(Lease), all func()) error
}

// Partitions keeps the records of all partitions. Every method but Watch ends within a few seconds.
type Partitions interface {
	// Get returns the record of a partition, with epoch and revision 0 when there was never one.
	// [ErrBadRecord] when it was deleted or is not a record: then it returns nothing but the revision.
	Get(ctx context.Context, partition int) (Record, error)
	// Put writes r, provided that the partition is still at r.Revision, and returns its new revision. [ErrConflict].
	Put(ctx context.Context, r Record) (uint64, error)
	// Watch calls fn for each record there is, then for each as it is written, until ctx or the watch ends.
	// It may be late. Of what is deleted or not a record it gives nothing but the revision.
	Watch(ctx context.Context, fn func(Record)) error
}

// Host executes the objects of the partitions that it is given. [actor.Host] is one.
type Host interface {
	// Own starts hosting; it returns when the runs that the owner before left unsettled are found.
	Own(ctx context.Context, claims []actor.Claim) error
	// Checkpoint returns what is finished now; ok is false when the partition is not hosted.
	Checkpoint(partition int) (c actor.Checkpoint, ok bool)
	// Release takes no more work and finishes turns in flight, bounded by ctx.
	// A partition that is not in the map is in doubt: it must not be released.
	Release(ctx context.Context, partitions []int) (map[int]actor.Checkpoint, error)
	// Drop forgets partitions at once: they have another owner.
	Drop(partitions []int)
	// SetTrusted says whether the lease is trusted; while it is not, no append and no step body starts.
	SetTrusted(trusted bool)
}

// Inbox is what the owner needs of the durable queue of sends. [actor.Inbox] is one.
type Inbox interface {
	Bounds(ctx context.Context) (actor.InboxBounds, error)
	// Trim forgets every message below seq.
	Trim(ctx context.Context, seq uint64) error
}
