package actor

import "slices"

// recall takes up what the log says of a run whose code is not replayed: it has ended, or the code does something else
// than the log says.
func (x *execution) recall(records []entryRecord) {
	taken := map[string]bool{} // by the code, as far as it came
	for id := range x.open {
		taken[id] = true
	}
	for _, c := range x.queue {
		delete(taken, c.id)
	}
	x.queue, x.cancelling, x.paused = nil, nil, nil
	clear(x.open)
	clear(x.hooks)
	clear(x.steps)
	clear(x.waits)
	for n, rec := range records {
		events := rec.Events
		if i := rec.checkpoint(); n == 0 && i >= 0 {
			x.encoded = events[i].Payload
			events = slices.Concat(rec.Compacted, events[i+1:])
		}
		for i := range events {
			x.remember(&events[i])
		}
	}
	left := x.queue
	x.queue = nil
	for _, c := range left {
		if !taken[c.id] {
			x.queue = append(x.queue, c)
		}
	}
	if x.status.Ended() { // a log of before ends gave up waits
		clear(x.steps)
		clear(x.waits)
	}
}

// remember takes up what one event leaves.
func (x *execution) remember(ev *Event) {
	if status, end := ev.Type.Ends(); end {
		x.status, x.paused = status, nil
		return
	}
	switch ev.Type {
	case RunStarted:
		x.status = StatusRunning
	case RunCancelling:
		x.cancelling = &ev.Reason
	case RunPaused:
		x.paused = &Pausing{ev.Reason}
	case RunResumed:
		if ev.unpauses() {
			x.paused = nil
		}
	case HookCreated:
		x.hooks[ev.Name+" "+ev.Token] = &hookHandle{name: ev.Name, token: ev.Token}
	case HookConflict:
		x.conflicted(ev)
	case HookReceived:
		x.receive(ev)
	case CallCompleted, CallFailed:
		x.forget(ev.ID)
	case StepStarted:
		x.steps[ev.ID] = &stepRun{id: ev.ID, name: ev.Name, attempt: ev.Attempt, logged: true, ran: true}
	case StepRetrying:
		x.steps[ev.ID] = &stepRun{id: ev.ID, name: ev.Name, attempt: ev.Attempt + 1, due: *ev.Due, ran: true}
	case StepCompleted, StepFailed:
		delete(x.steps, ev.ID)
	case WaitCreated:
		x.waits[ev.ID] = &timer{id: ev.ID, due: *ev.Due}
	case WaitCompleted, WaitCancelled:
		delete(x.waits, ev.ID)
	case Output:
		x.closed[ev.Name] = ev.End
	default: // the rest leaves nothing
	}
}
