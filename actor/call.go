package actor

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// call takes a call or send: it is answered at once, or received into the log.
func (t *turn) call(it *item) {
	r, req := t.run, it.req
	if it.inbox != 0 && it.inbox <= r.inboxPos { // received before a crash, and read again
		if i := slices.IndexFunc(r.burying, func(b BuriedSend) bool { return b.Inbox == it.inbox }); i >= 0 {
			t.reject(it, r.burying[i].Cause)
		}
		return
	}
	switch req.Hook {
	case HookState, HookDescribe, HookEvents:
		if it.inbox == 0 {
			t.later = append(t.later, func() { r.read(req) })
			return
		}
		t.reject(it, Errorf(CodeInvalid, "%s cannot be sent: call it", req.Hook))
	case HookStart:
		t.start(it)
	case HookCancel, HookTerminate, HookPause, HookUnpause, HookWake:
		t.lifeCycle(it)
	case HookPurge:
		t.purge(it)
	default:
		t.hook(it)
	}
}

// hook takes a call of a hook, method or query.
func (t *turn) hook(it *item) {
	r, req := t.run, it.req
	h := r.typ.hooks[req.Hook]
	payload, bad := r.host.accept(h.in, h.decode, req.Payload)
	switch {
	case bad != nil:
		t.reject(it, bad)
	case it.inbox == 0 && strings.HasPrefix(req.Header.CallID, runtimeID) && !req.Header.forwarded():
		t.reject(it, Errorf(CodeInvalid, "call id %q: ids that begin with %s are the runtime's", req.Header.CallID, runtimeID))
	case h.query != nil:
		t.query(it, h, payload)
	case t.repeated(it, payload):
	case r.status.Ended():
		t.reject(it, endedError(r.addr.String(), r.status))
	default:
		if err := t.refusal(it); err != nil {
			t.reject(it, err)
			return
		}
		t.receive(it, payload)
	}
}

// refusal says why a call cannot be received now.
func (t *turn) refusal(it *item) *Error {
	r := t.run
	call := it.inbox == 0 && !it.req.Header.forwarded()
	pending := r.typ.run != nil && !r.typ.run.startsItself && r.x.status == StatusPending
	switch {
	case call && r.stopped() != nil:
		return r.stopped()
	case call && pending:
		return Errorf(CodeNotFound, "run %s is not started: call %s with its input", r.addr, HookStart)
	case len(r.x.queue) >= r.host.cfg.MaxQueued:
		return limitError("calls queued for one run", r.host.cfg.MaxQueued)
	case r.outbox.left.Load() >= int64(r.host.cfg.MaxEffects):
		return limitError("effects of one run", r.host.cfg.MaxEffects)
	case it.req.Header.CallID != "" && r.ids.full(r.host.now()):
		return limitError("call ids of one run", idsLimit)
	}
	return nil
}

// forwardedKept is how long the id of a send by token is kept at least: a node that comes back within it finds that the
// send was received, whatever came after.
const forwardedKept = time.Hour

// receive puts the call into the log and lets the code go on.
func (t *turn) receive(it *item, payload []byte) {
	r, req := t.run, it.req
	ev := Event{
		Type: HookReceived, ID: req.Header.CallID, Name: req.Hook, Token: r.tokenOf(req), Payload: payload,
		Version: r.typ.hooks[req.Hook].migrations.recorded(), Inbox: it.inbox, ReplyTo: req.Header.ReplyTo, Trace: req.Header.Trace,
	}
	switch {
	case ev.ID != "":
		due := req.Received.Add(req.Timeout()).UTC().Round(0)
		if kept := r.host.now().Add(forwardedKept); req.Header.forwarded() && due.Before(kept) {
			due = kept // after a crash it is forwarded again, whenever that is noticed
		}
		ev.Hash, ev.Due = digest(payload), &due
	case it.inbox != 0:
		ev.ID = inboxID(it.inbox)
	default:
		ev.ID = runtimeID + uuid.NewString()
	}
	t.begin()
	if status := r.x.status; status.Ended() {
		t.reject(it, endedError(r.addr.String(), status))
		return
	}
	before, claimed := len(r.x.journal.out), r.claimed
	t.claim()
	start := len(r.x.journal.out)
	t.input(ev)
	if big := t.tooLarge(start, ev.ID); big != nil {
		r.x.journal.out, r.claimed = r.x.journal.out[:before], claimed
		t.reject(it, big)
		return
	}
	r.inboxPos = max(r.inboxPos, it.inbox)
	if it.inbox == 0 {
		t.wait(ev.ID, req)
	}
}

// tokenOf is the token that a call came by; a call by the hook's default token is one by name.
func (r *run) tokenOf(req *Request) string {
	token := cmp.Or(req.Token, req.Header.Token)
	if token == defaultToken(r.addr.Type, r.addr.Key, req.Hook) {
		return ""
	}
	return token
}

// tooLarge returns the failure of a method whose result or state is over its limit: then the call leaves no trace.
func (t *turn) tooLarge(start int, id string) *Error {
	out := t.run.x.journal.out
	if t.run.typ.object == nil || len(out) != start+2 {
		return nil
	}
	if end := out[start+1]; end.Type == CallFailed && end.ID == id && end.Error.Code == CodeTooLarge && end.Error.Source == SourceRuntime {
		return end.Error
	}
	return nil
}

func (t *turn) wait(id string, req *Request) {
	w := &waiter{req: req}
	t.run.waiters[id] = append(t.run.waiters[id], w)
	t.joined = append(t.joined, w)
}

// repeated reports whether the call's id is known, and deals with it: a call in flight is joined, one that has its
// outcome gets it again, one with another payload is refused.
func (t *turn) repeated(it *item, payload []byte) bool {
	r, req := t.run, it.req
	if req.Header.CallID == "" {
		return false
	}
	known := t.known(req.Header.CallID)
	switch {
	case known == nil:
		return false
	case known.Payload != digest(payload) || known.Hook != req.Hook:
		t.reject(it, Errorf(CodeConflict, "call id %q was used with another payload", req.Header.CallID).
			With(map[string]string{"call_id": req.Header.CallID}))
	case it.inbox != 0:
		r.inboxPos = max(r.inboxPos, it.inbox)
	case known.Seq != 0 && req.Header.Wait != WaitReceived:
		r.answerAgain(req, known)
	case req.Header.Wait == WaitReceived:
		t.onCommit = append(t.onCommit, &waiter{req: req})
	case r.parked != nil:
		t.reject(it, r.stopped())
	default:
		t.wait(req.Header.CallID, req)
	}
	return true
}

// known finds a call id among those of the log and those of this turn.
func (t *turn) known(id string) *IDEntry {
	r := t.run
	if e := r.ids.find(id); e != nil {
		return e
	}
	for i := range r.x.journal.out {
		if ev := &r.x.journal.out[i]; ev.Type == HookReceived && ev.ID == id && ev.Hash != "" {
			return &IDEntry{Payload: ev.Hash, Hook: ev.Name}
		}
	}
	return nil
}

// start gives a workflow run its input.
func (t *turn) start(it *item) {
	r, req := t.run, it.req
	if r.typ.run == nil {
		t.reject(it, Errorf(CodeNotFound, "%s is an object type: it needs no %s", r.addr.Type, HookStart))
		return
	}
	input, bad := r.host.accept(r.typ.run.in, r.typ.run.decode, req.Payload)
	if bad == nil && it.inbox != 0 && req.Header.IDPolicy != Once {
		bad = Errorf(CodeInvalid, "a %s with an id policy cannot be sent: call it", HookStart)
	}
	if bad == nil && t.renews(it) && !t.renew(it) {
		return
	}
	switch {
	case bad != nil:
		t.reject(it, bad)
	case r.startedWith == nil && r.x.status.Ended():
		t.reject(it, endedError(r.addr.String(), r.x.status))
	case r.startedWith == nil && it.inbox == 0 && r.stopped() != nil:
		t.reject(it, r.stopped())
	case r.startedWith == nil:
		begun := Event{Type: RunStarted, Payload: input, Version: r.typ.migrations.recorded()}
		if req.Header.IDPolicy != Once {
			begun.ID = req.Header.CallID
		}
		if it.inbox != 0 {
			begun.ReplyTo = req.Header.ReplyTo
		}
		t.input(begun)
		r.startedWith, r.startedBy = input, begun.ID
		r.inboxPos = max(r.inboxPos, it.inbox)
		t.answerStart(it)
	case !bytes.Equal(r.startedWith, input):
		t.reject(it, Errorf(CodeConflict, "run %s was started with another input", r.addr))
	default:
		t.answerStart(it)
	}
}

// answerStart answers a $start, now or when what it waits for is durable.
func (t *turn) answerStart(it *item) {
	r, req := t.run, it.req
	if it.inbox != 0 {
		return
	}
	w := &waiter{req: req}
	switch {
	case req.Header.Wait == WaitEnd && r.status.Ended():
		w.answer(r.endOutcome())
	case req.Header.Wait == WaitEnd && r.parked != nil:
		t.reject(it, r.stopped()) // as are those who waited when it was parked
	case req.Header.Wait == WaitEnd:
		r.limit(w, r.host.now())
		r.onEnd = append(r.onEnd, w)
		t.joined = append(t.joined, w)
	default:
		t.onCommit = append(t.onCommit, w)
	}
}

// reject answers a call that is not received; a send becomes a dead letter. Nobody is told before the turn that it
// follows from is durable.
func (t *turn) reject(it *item, err *Error) {
	r := t.run
	if it.inbox == 0 {
		t.later = append(t.later, func() { it.req.fail(err) })
		return
	}
	r.inboxPos = max(r.inboxPos, it.inbox)
	if !slices.ContainsFunc(r.burying, func(b BuriedSend) bool { return b.Inbox == it.inbox }) {
		r.burying = append(r.burying, BuriedSend{it.inbox, err})
		t.buries = t.buries || r.x.status.Ended() && r.lastRec != 0
	}
	t.later = append(t.later, func() {
		done, seq := it.done, it.inbox
		it.done = func(applied bool) {
			done(applied)
			if applied {
				r.part.deliver(r.addr, item{kind: itemBuried, inbox: seq})
			}
		}
		r.host.bury(it, err)
	})
}

// query answers a read from committed state.
func (t *turn) query(it *item, h *hookDef, payload []byte) {
	r := t.run
	if it.inbox != 0 {
		t.reject(it, Errorf(CodeInvalid, "%s is a query: call it", h.name))
		return
	}
	if stopped := r.stopped(); stopped != nil {
		t.reject(it, stopped)
		return
	}
	t.later = append(t.later, func() {
		out, err := r.x.query(h, readScope{r.x, r.log}, payload)
		it.req.answer(&Outcome{Result: out, Err: err})
	})
}
