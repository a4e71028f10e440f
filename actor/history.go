package actor

import (
	"slices"
	"time"
)

// replayable is what an execution needs of an object's log.
type replayable struct {
	compacted []Event     // what still counts of the log before the snapshot
	snapshot  *Event      // the checkpoint that the code starts from; nil: it starts at the beginning
	paused    *Pausing    // the run was, when the history began
	queued    []Event     // calls to an object that came before its last outcome, and have none
	begin     time.Time   // of the event before the history
	history   []pastEvent // what is replayed
}

// workflowHistory is all of a run's events that its code can observe, in log order.
func workflowHistory(records []entryRecord) replayable {
	var r replayable
	late := false
	for n, rec := range records {
		first := 0
		if i := rec.checkpoint(); n == 0 && i >= 0 {
			r.compacted, r.snapshot, r.begin, first = rec.Compacted, &rec.Events[i], rec.Events[i].At, i+1
		}
		for i, ev := range rec.Events {
			if i < first {
				continue
			}
			switch ev.Type {
			case RunParked:
				late = true
			case RunCreated, RunClaimed:
			default:
				if ev.Type == RunResumed && !ev.unpauses() {
					late = false
					continue
				}
				r.history = append(r.history, pastEvent{ev, rec.seq, i, late && (ev.Type == HookReceived || ev.Type == RunCancelling)})
			}
		}
	}
	return r
}

// lastSnapshot is where the last checkpoint is among events; -1: there is none.
func lastSnapshot(events []Event) int {
	for i, ev := range slices.Backward(events) {
		if ev.Type == Snapshot {
			return i
		}
	}
	return -1
}

// objectHistory is what belongs to calls without outcome: the state carries the others. It is not empty.
func objectHistory(records []entryRecord) replayable {
	all := workflowHistory(records).history
	last, ended := -1, map[string]bool{}
	for i, ev := range all {
		switch ev.Type {
		case CallCompleted, CallFailed:
			last, ended[ev.ID] = i, true
		case WaitCancelled: // perhaps of an alarm that had fired
			ended[ev.ID] = true
		default:
		}
	}
	var r replayable
	if last >= 0 {
		r.begin = all[last].At
	}
	for i, ev := range all {
		switch {
		case i > last:
			r.history = append(r.history, ev)
		case (ev.Type == HookReceived || ev.Type == WaitCompleted && ev.alarm()) && !ended[ev.ID]:
			r.queued = append(r.queued, ev.Event)
		}
	}
	r.paused = pausedBefore(r.history, records[len(records)-1].Paused)
	return r
}

// pausedBefore is whether the run was paused when the history began, which ended so.
func pausedBefore(history []pastEvent, end *Pausing) *Pausing {
	for i := range history {
		switch ev := &history[i].Event; {
		case ev.Type == RunPaused:
			return nil
		case ev.unpauses():
			return &Pausing{}
		}
	}
	return end
}

// Why a run was parked, in run_parked.reason.
const (
	parkedByReplay    = "replay"
	parkedByPanic     = "panic"
	parkedByMigration = "migration"
)
