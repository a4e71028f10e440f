package actor

import (
	"cmp"
	"maps"
	"reflect"
	"slices"
	"time"
)

// Bounds of a checkpoint.
const (
	maxListed   = 1000            // runs listed beside the floor; with more the floor stays below the oldest
	idleRefresh = 2 * time.Second // how often the checkpoint of a partition without commits moves
)

// Checkpoint returns what of the partition is finished now; ok is false when the node does not own it.
// It does not change from call to call unless something happened in the partition, or 2 s have passed.
func (h *Host) Checkpoint(id int) (Checkpoint, bool) {
	p := h.owned(id)
	if p == nil {
		return Checkpoint{}, false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := time.Now(); p.active || now.Sub(p.shownAt) >= idleRefresh {
		p.active = len(p.inbox.open) > 0 || len(p.appending) > 0
		p.shownAt, p.shown = now, p.checkpointLocked()
	}
	return p.shown, true
}

func (p *partition) checkpointLocked() Checkpoint {
	c := Checkpoint{
		Inbox:       p.finishedLocked(),
		Incarnation: p.claim.Checkpoint.Incarnation,
		Timers:      p.timers.position(0),
		Types:       slices.Sorted(maps.Keys(p.types)),
	}
	c.Floor, c.Unsettled = p.floorLocked()
	return c
}

// floorLocked returns the settled floor, below anything that an append in flight could have become, and the runs
// listed beside it.
func (p *partition) floorLocked() (uint64, []UnsettledRun) {
	floor := p.host.lastSeen(p.claim.Partition)
	for _, at := range p.appending {
		floor = min(floor, at)
	}
	listed := make([]UnsettledRun, 0, len(p.unsettled))
	for addr, seq := range p.unsettled {
		listed = append(listed, UnsettledRun{Run: addr.String(), Seq: seq})
	}
	slices.SortFunc(listed, func(a, b UnsettledRun) int { return cmp.Compare(a.Seq, b.Seq) })
	listed = slices.DeleteFunc(listed, func(u UnsettledRun) bool { return u.Seq > floor })
	if len(listed) > maxListed {
		floor = listed[maxListed].Seq - 1
		listed = listed[:maxListed]
	}
	return max(floor, p.claim.Checkpoint.Floor), listed
}

// Equal reports whether two checkpoints say the same.
func (c Checkpoint) Equal(d Checkpoint) bool { return reflect.DeepEqual(c, d) }
