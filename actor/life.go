package actor

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// lifeRequest is the payload of what asks a run to end, to stop for a time, or to go on.
type lifeRequest struct {
	Reason string `json:"reason,omitempty"`
}

// MaxReasonLen is how long a reason may be, in bytes.
const MaxReasonLen = 1024

// lifeCycle takes a request that changes a run's life. It is answered when the run is what was asked for, whoever asked
// first: repeating one changes nothing.
func (t *turn) lifeCycle(it *item) {
	req := it.req
	if it.inbox != 0 {
		t.reject(it, Errorf(CodeInvalid, "%s cannot be sent: call it", req.Hook))
		return
	}
	reason, refused := readReason(req.Payload)
	if refused == nil {
		refused = t.change(req.Hook, reason)
	}
	if refused != nil {
		t.reject(it, refused)
		return
	}
	t.onCommit = append(t.onCommit, &waiter{req: req})
}

func readReason(payload []byte) (string, *Error) {
	var r lifeRequest
	if len(payload) > 0 {
		if !utf8.Valid(payload) {
			return "", Errorf(CodeInvalid, "the payload is not UTF-8, as JSON must be")
		}
		if err := json.Unmarshal(payload, &r); err != nil {
			return "", undecodable(payload, err)
		}
	}
	if len(r.Reason) > MaxReasonLen {
		return "", badPayload("/reason", "must have at most 1024 bytes")
	}
	return strings.TrimSpace(r.Reason), nil
}

// change does what was asked for, or says why not.
func (t *turn) change(hook, reason string) *Error {
	r := t.run
	x := r.x
	switch status := x.status; {
	case r.typ.object != nil && (hook == HookCancel || hook == HookTerminate):
		return Errorf(CodeInvalid, "%s is an object with methods: it has no end", r.addr)
	case r.lastRec == 0 && len(x.journal.out) == 0:
		return Errorf(CodeNotFound, "there is no run %s", r.addr)
	case hook == HookCancel && status == StatusCancelled, hook == HookTerminate && status == StatusTerminated:
		return nil
	case status.Ended():
		return endedError(r.addr.String(), status)
	case hook == HookCancel:
		t.cancel(reason)
		return nil
	case hook == HookTerminate:
		t.terminate(reason)
		return nil
	case r.parked != nil:
		return r.stopped()
	}
	switch hook {
	case HookPause:
		if x.paused == nil {
			t.input(Event{Type: RunPaused, Reason: reason})
		}
	case HookUnpause:
		if x.paused != nil {
			t.unpause(reason)
		}
	default:
		if x.paused != nil {
			return r.stopped()
		}
		t.hurry()
	}
	return nil
}

// cancel tells the run's code to end. A run that was not started has none, and ends at once.
func (t *turn) cancel(reason string) {
	x := t.run.x
	if x.cancelling != nil {
		return
	}
	t.input(Event{Type: RunCancelling, Reason: reason})
	t.endPending()
}

// endPending ends a run that was cancelled before it was started; a parked one ends when it goes on.
func (t *turn) endPending() {
	r := t.run
	if x := r.x; x.status == StatusPending && x.cancelling != nil && x.err == nil && r.parked == nil {
		t.claim()
		x.paused = nil
		x.end(nil, nil)
	}
}

// terminate ends the run, also one whose code is parked.
func (t *turn) terminate(reason string) {
	t.claim()
	t.run.x.terminate(reason)
	t.run.parked = nil
}

// terminateFirst ends a run whose code always has more to do: a request for that is not left waiting behind it.
// It reports whether the batch, reordered then, begins with such a request, which was applied.
func (t *turn) terminateFirst(batch []item) bool {
	i := slices.IndexFunc(batch, func(it item) bool { return it.kind == itemCall && it.req.Hook == HookTerminate })
	if i < 0 || !t.run.x.stalled {
		return false
	}
	it := batch[i]
	copy(batch[1:i+1], batch[:i])
	batch[0] = it
	t.apply(&batch[0])
	return true
}

// unpause lets the code go on with what has arrived, steps be tried again, and timers fire that came due.
func (t *turn) unpause(reason string) {
	r := t.run
	t.input(Event{Type: RunResumed, Name: HookUnpause, Reason: reason})
	t.recoverSteps()
	for _, w := range r.x.waits {
		r.remind(w, w.due.Sub(r.host.now()))
	}
	r.remindAlarms()
}

// hurry starts the next attempt of every step that waits for it.
func (t *turn) hurry() {
	r := t.run
	for _, id := range slices.Sorted(maps.Keys(r.x.steps)) {
		if tm := r.timers[id]; tm != nil && tm.Stop() {
			t.claim()
			r.x.started = append(r.x.started, r.x.steps[id])
		}
	}
	t.quickSteps()
}

// rests reports whether the run does nothing before somebody asks it to: it may leave memory then.
func (r *run) rests() bool {
	if r.parked != nil {
		return true
	}
	if r.x == nil || r.x.paused == nil {
		return false
	}
	for _, b := range r.bodies {
		if !b.over() {
			return false
		}
	}
	return true
}

// stopped is what a call of a parked or paused run is answered; nil for every other.
func (r *run) stopped() *Error {
	switch {
	case r.parked != nil:
		return Errorf(CodeStopped, "run %s is parked: %s", r.addr, r.parked.message).
			With(map[string]string{"reason": r.parked.message, "kind": r.parked.reason})
	case r.x.paused != nil:
		return Errorf(CodeStopped, "run %s is paused%s", r.addr, because(r.x.paused.Reason)).
			With(map[string]string{"reason": cmp.Or(r.x.paused.Reason, "paused"), "kind": "paused"})
	}
	return nil
}
