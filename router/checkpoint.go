package router

import (
	"slices"
	"time"

	"github.com/perdure/perdure/actor"
)

const (
	checkpointEvery = time.Second     // at most this often, when work was done
	positionsEvery  = 2 * time.Second // when only reader positions moved, past what belongs to other partitions
)

// due reports whether a checkpoint is to be written, age after the one before. It is asked once in checkpointEvery.
// Reader positions are written also for a partition where nothing happens, so that it does not pin the inbox.
func due(written, now actor.Checkpoint, age time.Duration) bool {
	still := written
	still.Inbox, still.Timers = now.Inbox, now.Timers
	switch {
	case sameCheckpoint(written, now):
		return false
	case sameCheckpoint(still, now):
		return age >= positionsEvery
	default:
		return true
	}
}

func sameCheckpoint(a, b actor.Checkpoint) bool {
	return a.Inbox == b.Inbox && a.Incarnation == b.Incarnation && a.Timers == b.Timers && a.Floor == b.Floor &&
		slices.Equal(a.Unsettled, b.Unsettled) && slices.Equal(a.Types, b.Types)
}

// lowestCursor returns the lowest durable inbox cursor of all partitions; 0 when one has none.
func lowestCursor(records map[int]Record, partitions int) uint64 {
	if partitions == 0 {
		return 0
	}
	lowest := records[0].Inbox
	for p := range partitions {
		lowest = min(lowest, records[p].Inbox)
	}
	return lowest
}
