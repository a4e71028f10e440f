package actor

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
)

// ContinueFrom makes v the checkpoint of a run function and does not return: the function starts again from the top,
// with the same input, and [Continued] returns v. What is in the log before is replayed no more, so a run that
// continues now and then is activated as fast after years as on its first day.
//
// Deferred functions run. Hooks stay, with their tokens and with the calls that nobody has taken: make them again as
// usual. Sleeps and futures in progress are cancelled. A call that was taken and not answered gets 504.
// A v that does not encode, or is larger than 64 MiB, parks the run. [MigrateCheckpoint] makes of an older v what code of today
// continues from.
func ContinueFrom[S any](ctx Context, v S) {
	x := ctx.scope().x
	x.body.alive()
	if x.typ.run == nil {
		x.halt(Errorf(CodePanic, "ContinueFrom is for run functions: the state of an object is committed with every call"))
	}
	ofCheckpoint[S](x)
	b, failure := encode("the checkpoint", v)
	if failure == nil && len(b) > x.stateLimit {
		failure = Errorf(CodeTooLarge, "the checkpoint has %d bytes; at most %d are allowed", len(b), x.stateLimit)
	}
	if failure != nil {
		x.halt(failure)
	}
	x.continueFrom(b)
}

// Continued returns what the run function has given to [ContinueFrom] last; ok is false when it never has.
func Continued[S any](ctx Context) (v S, ok bool) {
	x := ctx.scope().x
	if x.typ.run == nil || x.encoded == nil {
		return v, false
	}
	ofCheckpoint[S](x)
	if err := json.Unmarshal(x.encoded, &v); err != nil {
		x.halt(Errorf(CodePanic, "the recorded checkpoint does not decode: %v", err))
	}
	return v, true
}

// ofCheckpoint parks the run when its migrations make another checkpoint than S.
func ofCheckpoint[S any](x *execution) {
	if made := x.typ.checkpoints.made(); made != nil && made != reflect.TypeFor[S]() {
		x.halt(Errorf(CodePanic, "the checkpoint has type %v, and the last migration of checkpoints makes %v", reflect.TypeFor[S](), made))
	}
}

// continueFrom records the checkpoint, after the end of everything that the code has begun, and ends the code.
func (x *execution) continueFrom(value []byte) {
	x.admitLate()
	for _, id := range slices.Sorted(maps.Keys(x.waits)) {
		x.cancelTimer(x.waits[id])
	}
	for _, id := range slices.Sorted(maps.Keys(x.steps)) {
		x.cancelStep(x.steps[id])
	}
	queued := make(map[*received]bool, len(x.queue))
	for _, c := range x.queue {
		queued[c] = true
	}
	for _, c := range x.unanswered() {
		if !queued[c] {
			x.outcome(c.id, nil, Errorf(CodeTimeout, "the run continued from a checkpoint without an answer"))
		}
	}
	at := *x.do(Event{Type: Snapshot, ID: x.stableID("checkpoint-"), Payload: value, Version: x.typ.checkpoints.recorded()})
	x.continues = &at
	x.ready = nil
	x.body.wait() // never resumed, only killed
}

// startAgain starts a run function that has recorded a checkpoint from its top.
func (x *execution) startAgain() {
	at := x.continues
	x.continues = nil
	x.body.kill()
	x.compacted = x.compact()
	x.goFrom(at)
}

// goFrom begins the code anew after a checkpoint. Whatever it does from here on follows from the checkpoint, the
// run's input, its hooks and the calls not yet taken.
func (x *execution) goFrom(at *Event) {
	x.encoded, x.rng, x.life, x.won = at.Payload, nil, at.ID, nil
	x.delivered(at.ID)
	x.start(x.began.Payload)
}

// compact is what of the log before a checkpoint still counts: the start, the hooks, and the calls that nobody has
// taken.
func (x *execution) compact() []Event {
	events := []Event{*x.began}
	events[0].ReplyTo = "" // it was told
	if x.cancelling != nil {
		events = append(events, Event{Type: RunCancelling, At: x.journal.now, Reason: *x.cancelling})
	}
	for _, key := range slices.Sorted(maps.Keys(x.hooks)) {
		h := x.hooks[key]
		events = append(events, Event{Type: HookCreated, At: x.journal.now, Name: h.name, Token: h.token})
		if h.conflict != nil {
			events = append(events, Event{Type: HookConflict, At: x.journal.now, Name: h.name, Token: h.token, Run: h.conflict.Run})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(x.closed)) {
		if x.closed[name] {
			events = append(events, Event{Type: Output, At: x.journal.now, Name: name, End: true})
		}
	}
	for _, c := range x.queue {
		events = append(events, Event{
			Type: HookReceived, At: c.at, ID: c.id, Name: c.hook, Token: c.token, Payload: c.payload, Version: c.version,
			ReplyTo: c.replyTo, Trace: c.trace, Inbox: c.inbox,
		})
	}
	return events
}

// resumeFrom sets the execution to where a checkpoint left it; its code has not run yet.
func (x *execution) resumeFrom(compacted []Event, at *Event) {
	x.status = StatusRunning
	for i := range compacted {
		switch ev := &compacted[i]; ev.Type {
		case RunStarted:
			x.began = ev
		case RunCancelling:
			x.cancelling = &ev.Reason
		case HookCreated:
			x.hooks[ev.Name+" "+ev.Token] = &hookHandle{name: ev.Name, token: ev.Token}
		case HookConflict:
			x.conflicted(ev)
		case HookReceived:
			x.receive(ev)
		case Output:
			x.closed[ev.Name] = ev.End
		default: // the rest says nothing to the code
		}
	}
	x.goFrom(at)
}
