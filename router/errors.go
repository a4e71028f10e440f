package router

import (
	"errors"
	"fmt"

	"github.com/perdure/perdure/actor"
)

var (
	// ErrConflict is returned by [Leases] and [Partitions] when nothing was written because the key is not at the
	// revision expected, or may not be. Read it again: what is there, or will be, may be from the same call, which repeats
	// requests that nobody answers. Every other error of a write means that it may be
	// written, now or later.
	ErrConflict = errors.New("changed by somebody else")
	// ErrBadRecord is returned for a partition's record that somebody deleted or overwrote. A living owner writes
	// it again; when none does for a TTL, a node does not start: restore the bucket from a backup.
	ErrBadRecord = errors.New("deleted or overwritten")
	// ErrNameTaken is returned by [Owner.Run] when a living node has the same name. Give this one another.
	ErrNameTaken = errors.New("node name in use")

	errSessionLost = errors.New("lease lost")
)

// InboxError says that a partition's cursor and the inbox do not belong together: one of them was restored or made
// anew without the other. To go on would lose sends, so the node does not start.
type InboxError struct {
	Partition int
	Cursor    actor.Checkpoint
	Inbox     actor.InboxBounds
}

func (e *InboxError) Error() string {
	const backup = "restore the inbox stream and the partitions bucket from the same backup"
	if e.Cursor.Incarnation != e.Inbox.Incarnation {
		return fmt.Sprintf("partition %d: its cursor counts in inbox %s, and the inbox is now %s: the stream was made anew; "+
			"to repair, %s, or, if what the old inbox held is really gone, "+
			"set \"inbox\" to 0 and \"incarnation\" to %q in the record of every partition, with no node running",
			e.Partition, e.Cursor.Incarnation, e.Inbox.Incarnation, backup, e.Inbox.Incarnation)
	}
	return fmt.Sprintf("partition %d: its inbox cursor %d lies beyond the end of the inbox, %d: the inbox is older than the cursor; "+
		"to repair, %s, or, giving up what the inbox holds, "+
		"purge the inbox stream up to sequence %d (nats stream purge STREAM --seq %d), with no node running",
		e.Partition, e.Cursor.Inbox, e.Inbox.Last, backup, e.Cursor.Inbox+1, e.Cursor.Inbox+1)
}
