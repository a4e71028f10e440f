package actor

import "time"

// replayable is what an execution needs of an object's log.
type replayable struct {
	queued  []Event     // calls to an object that came before its last outcome, and have none
	begin   time.Time   // of the event before the history
	history []pastEvent // what is replayed
}

// entryRecord is a record of the log with its place.
type entryRecord struct {
	seq uint64
	*Record
}

// workflowHistory is all of a run's events that its code can observe, in log order.
func workflowHistory(records []entryRecord) replayable {
	var r replayable
	late := false
	for _, rec := range records {
		for i, ev := range rec.Events {
			switch ev.Type {
			case RunParked:
				late = true
			case RunResumed:
				late = false
			case RunCreated, RunClaimed:
			default:
				r.history = append(r.history, pastEvent{ev, rec.seq, i, late && ev.Type == HookReceived})
			}
		}
	}
	return r
}

// objectHistory is what belongs to calls without outcome: the state carries the others.
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
	return r
}

// Why a run was parked, in run_parked.reason.
const (
	parkedByReplay = "replay"
	parkedByPanic  = "panic"
)
