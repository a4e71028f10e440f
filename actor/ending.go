package actor

import (
	"cmp"
	"errors"
	"maps"
	"slices"
)

// cancel tells the code that the run is to end. Steps that were not started for the cleanup end with it; the first
// reason stands.
func (x *execution) cancel(ev *Event) {
	if x.cancelling != nil {
		return
	}
	x.cancelling = &ev.Reason
	for _, id := range slices.Sorted(maps.Keys(x.steps)) {
		if s := x.steps[id]; !s.shielded {
			s.done, s.cancelled = true, true
			x.abandonStep(s)
		}
	}
}

// cancelled reports whether awaits of the scope are over because the run was cancelled.
func (s *scope) cancelled() bool { return s.x.cancelling != nil && !s.shielded }

// end records that the run function returned. Called by the code.
func (x *execution) end(result []byte, err error) {
	if x.body != nil {
		x.body.alive()
	}
	x.admitLate() // it may have been cancelled while it was parked
	if err == nil && len(result) > x.limit {
		err = Errorf(CodeTooLarge, "the result has %d bytes; at most %d are allowed", len(result), x.limit)
	}
	ev := Event{Type: RunCompleted, Result: result}
	switch {
	case x.cancelling != nil:
		if string(result) == "null" {
			result = nil
		}
		ev = Event{Type: RunCancelled, Result: result, Reason: *x.cancelling, Error: x.cancelledError(err)}
	case err != nil:
		ev = Event{Type: RunFailed, Error: asFailure(err)}
	}
	x.conclude(ev)
}

// terminate ends the run without asking its code, which may be parked.
func (x *execution) terminate(reason string) {
	x.journal.next = len(x.journal.history) // of no use any more
	x.stop()
	x.ready, x.started, x.err, x.paused, x.stalled = nil, nil, nil, nil, false
	x.conclude(Event{Type: RunTerminated, Reason: reason, Error: x.terminatedError(reason)})
}

// conclude records the end of the run and what follows from it: every call without outcome gets 410, steps and waits
// are given up, hooks are gone.
func (x *execution) conclude(ev Event) {
	x.concluding = true
	x.doMatching(ev, func(logged *Event) bool { _, end := logged.Type.Ends(); return end })
	x.status, _ = ev.Type.Ends()
	for _, id := range slices.Sorted(maps.Keys(x.steps)) {
		x.abandonStep(x.steps[id])
	}
	x.answerAll()
	waits := slices.SortedFunc(maps.Values(x.waits), func(a, b *timer) int {
		return cmp.Or(a.due.Compare(b.due), cmp.Compare(a.id, b.id))
	})
	for _, t := range waits {
		x.cancelTimer(t)
	}
	for _, key := range slices.Sorted(maps.Keys(x.hooks)) {
		x.do(Event{Type: HookDisposed, Name: x.hooks[key].name, Token: x.hooks[key].token})
	}
	x.concluding = false
}

// answerAll gives every call without outcome the one that the run has ended. A send that the code never saw becomes a
// dead letter besides: it was accepted, and nobody has applied it.
func (x *execution) answerAll() {
	untaken := map[string]uint64{}
	for _, c := range x.queue {
		untaken[c.id] = c.inbox
	}
	if x.status == StatusCompleted && x.won != nil {
		delete(untaken, x.won.id)
	}
	for _, c := range x.unanswered() {
		x.answer(c, Event{Type: CallFailed, Error: endedError(x.info.RunID, x.status), Inbox: untaken[c.id]})
	}
}

func endedError(run string, status Status) *Error {
	return Errorf(CodeEnded, "run %s has ended (%s)", run, status).With(map[string]Status{"status": status})
}

// endDetails are those of the error that a cancelled or terminated run ends with.
type endDetails struct {
	Status Status `json:"status"`
	Reason string `json:"reason,omitempty"`
	Cause  string `json:"error,omitempty"` // what the run function returned, where that says more
}

// cancelledError is what whoever waits for a cancelled run gets; err is what its code returned.
func (x *execution) cancelledError(err error) *Error {
	d := endDetails{Status: StatusCancelled, Reason: *x.cancelling}
	if err != nil && !errors.Is(err, ErrCancelled) {
		d.Cause = err.Error()
	}
	return Errorf(CodeCancelled, "run %s was cancelled%s", x.info.RunID, because(d.Reason)).asObject().With(d)
}

func (x *execution) terminatedError(reason string) *Error {
	return Errorf(CodeEnded, "run %s was terminated%s", x.info.RunID, because(reason)).With(endDetails{Status: StatusTerminated, Reason: reason})
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}
