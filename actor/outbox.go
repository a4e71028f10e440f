package actor

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// outbox lets a run's effects out, one after another, each tried until it is done: effects are in the record, so a
// crash in between repeats them, and every one of them may be repeated.
type outbox struct {
	waiting []*effect    // owned by the run's worker
	out     bool         // a goroutine lets effects out
	left    atomic.Int64 // effects not yet out, those that the goroutine has included
}

// effect is something that a durable record asks of the outside.
type effect struct {
	name  string
	do    func(ctx context.Context) error
	first bool // before anybody is answered
}

func (o *outbox) add(e *effect) {
	o.waiting = append(o.waiting, e)
	o.left.Add(1)
}

// drop forgets what waits.
func (o *outbox) drop() {
	o.left.Add(-int64(len(o.waiting)))
	o.waiting = nil
}

func (o *outbox) idle() bool { return !o.out && len(o.waiting) == 0 }

// start lets out what waits, unless that is being done already. Afterwards the run's worker is told.
func (o *outbox) start(r *run) {
	if o.out || len(o.waiting) == 0 {
		return
	}
	batch := o.waiting
	o.waiting, o.out = nil, true
	r.host.spawn(func() {
		for _, e := range batch {
			if !r.letOut(e) {
				return
			}
			o.left.Add(-1)
		}
		r.part.deliver(r.addr, item{kind: itemSettle})
	})
}

// letOutFirst does the effects that a caller relies on once it is answered: it may resume by token then.
func (r *run) letOutFirst() {
	r.outbox.waiting = slices.DeleteFunc(r.outbox.waiting, func(e *effect) bool {
		out := e.first && r.letOutNow(e)
		if out {
			r.outbox.left.Add(-1)
		}
		return out
	})
}

// firstGrace bounds how long answers wait for a first effect; after that it goes out in its turn.
const firstGrace = time.Second

func (r *run) letOutNow(e *effect) bool {
	ctx, cancel := context.WithTimeout(r.part.ctx, firstGrace)
	defer cancel()
	return e.do(ctx) == nil
}

// letOut does an effect, for as long as the node owns the partition.
func (r *run) letOut(e *effect) bool {
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		if _, err := r.host.trust.wait(r.part.ctx); err != nil {
			return false
		}
		err := e.do(r.part.ctx)
		if err == nil {
			return true
		}
		if r.part.ctx.Err() == nil {
			r.log.Warn("effect not out yet", "effect", e.name, "err", err)
		}
		if pause(r.part.ctx, wait) != nil {
			return false
		}
	}
}

// effect returns what an event of the record at seq asks of the outside, or nil; at is its place in the log.
func (r *run) effect(ev *Event, seq uint64, at logPlace) *effect {
	cfg := &r.host.cfg
	switch ev.Type {
	case RunCreated:
		if ev.Previous != 0 && len(r.typ.streams) > 0 {
			return &effect{name: "begin streams", do: r.beginStreams}
		}
	case RunStarted:
		if ev.ReplyTo != "" {
			return r.report(ev.ReplyTo, &Outcome{Result: []byte("null"), Seq: seq})
		}
	case HookCreated:
		if ev.Token == defaultToken(r.addr.Type, r.addr.Key, ev.Name) {
			return nil
		}
		claim, mine := *ev, TokenHolder{Run: r.addr.String(), Hook: ev.Name, Incarnation: r.incarnation}
		return &effect{name: "claim token", do: func(ctx context.Context) error { return r.claimToken(ctx, claim, mine) }, first: true}
	case WaitCreated:
		w := r.x.waits[ev.ID]
		if w == nil || w.due.Sub(ev.At) <= nearTimer {
			return nil
		}
		id, at := w.id, r.wakeAt(w.due)
		r.armed[id] = true
		return &effect{name: "arm timer", do: func(ctx context.Context) error { return cfg.Timers.Arm(ctx, r.addr, id, at) }}
	case WaitCompleted, WaitCancelled:
		if !r.armed[ev.ID] {
			return nil
		}
		id := ev.ID
		return &effect{name: "cancel timer", do: func(ctx context.Context) error { return cfg.Timers.Cancel(ctx, r.addr, id) }}
	case CallCompleted, CallFailed:
		return r.outcomeEffect(ev, seq)
	case RunCompleted, RunFailed, RunCancelled, RunTerminated:
		if tokens := r.ownTokens(); len(tokens)+len(r.typ.streams) > 0 {
			return &effect{name: "end", do: func(ctx context.Context) error {
				return errors.Join(r.closeStreams(ctx, at), r.releaseTokens(ctx, tokens))
			}}
		}
	case Output:
		s, data := r.sequencer(ev.Name), ev.Payload
		if ev.End {
			data = nil
		}
		return &effect{name: "emit", do: func(ctx context.Context) error { return s.emit(ctx, at, data) }}
	default:
	}
	return nil
}

// outcomeEffect tells the outcome of a call to the subject that it named, and keeps a send that nobody has applied.
func (r *run) outcomeEffect(ev *Event, seq uint64) *effect {
	to, sent := ev.ReplyTo, *ev
	told := r.report(to, outcomeOf(ev, seq))
	switch {
	case ev.Inbox != 0:
		return &effect{name: "keep dead letter", do: func(ctx context.Context) error {
			if err := r.keepUntaken(ctx, &sent, seq); err != nil || to == "" {
				return err
			}
			return told.do(ctx)
		}}
	case to != "":
		return told
	}
	return nil
}

// report sends an outcome to a subject.
func (r *run) report(to string, o *Outcome) *effect {
	o.Run, o.Node = r.addr.String(), r.host.cfg.Node
	return &effect{name: "send outcome", do: func(ctx context.Context) error { return r.host.cfg.Outlet.Outcome(ctx, to, o) }}
}

// keepUntaken keeps a send as a dead letter that the log has received and that the run's code never took; failed, in the
// record at seq, is its outcome.
func (r *run) keepUntaken(ctx context.Context, failed *Event, seq uint64) error {
	at := cmp.Or(failed.Received, seq)
	rec, err := r.records.one(ctx, at)
	if err != nil {
		return fmt.Errorf("read send %s of %s at seq %d: %w", failed.ID, r.addr, at, err)
	}
	d := &DeadLetter{Run: r.addr.String(), Hook: failed.Name, Inbox: failed.Inbox, Sent: failed.At, Cause: failed.Error, ReplyTo: failed.ReplyTo}
	if !strings.HasPrefix(failed.ID, runtimeID) {
		d.CallID = failed.ID
	}
	for ev := range rec.all() {
		if ev.Type == HookReceived && ev.ID == failed.ID {
			d.Sent, d.Payload, d.Token, d.Trace = ev.At, ev.Payload, ev.Token, ev.Trace
		}
	}
	return r.host.cfg.Outlet.DeadLetter(ctx, d)
}

// claimToken takes a hook's token for the run. A token that another run holds is told to the run.
func (r *run) claimToken(ctx context.Context, ev Event, mine TokenHolder) error {
	holder, err := r.host.cfg.Tokens.Claim(ctx, ev.Token, mine)
	if err == nil && holder != mine {
		r.conflict(ev, holder.Run)
	}
	return err
}

func (r *run) conflict(ev Event, holder string) {
	r.part.deliver(r.addr, item{kind: itemConflict, event: Event{Type: HookConflict, Name: ev.Name, Token: ev.Token, Run: holder}})
}

func (r *run) ownTokens() map[string]TokenHolder {
	tokens := map[string]TokenHolder{}
	for _, h := range r.x.hooks {
		if h.conflict == nil && h.token != defaultToken(r.addr.Type, r.addr.Key, h.name) {
			tokens[h.token] = TokenHolder{Run: r.addr.String(), Hook: h.name, Incarnation: r.incarnation}
		}
	}
	return tokens
}

// beginStreams has readers forget what the run before this one has written.
func (r *run) beginStreams(ctx context.Context) error {
	for name := range r.typ.streams {
		if err := r.sequencer(name).inherit(ctx); err != nil {
			return err
		}
	}
	return nil
}

// closeStreams ends the run's output streams.
func (r *run) closeStreams(ctx context.Context, at logPlace) error {
	for name := range r.typ.streams {
		if err := r.sequencer(name).emit(ctx, at, nil); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) releaseTokens(ctx context.Context, tokens map[string]TokenHolder) error {
	for token, holder := range tokens {
		if err := r.host.cfg.Tokens.Release(ctx, token, holder); err != nil {
			return err
		}
	}
	return nil
}

// redo puts the effects of the records since r.resume into the outbox again: nobody knows which of them are out.
func (r *run) redo(ctx context.Context) error {
	if r.resume == 0 || r.lastRec == 0 {
		r.streams.noPending(false)
		return nil
	}
	last, err := r.records.one(ctx, r.lastRec)
	if err != nil {
		return err
	}
	records, err := r.readFrom(ctx, max(r.resume, r.trim.first()), last)
	if err != nil {
		return err
	}
	r.streams.noPending(true)
	for _, rec := range records {
		for i := range rec.Events {
			if eff := r.effect(&rec.Events[i], rec.seq, logPlace{rec.N, uint64(i)}); eff != nil {
				r.outbox.add(eff)
			}
			r.streams.noteEmit(&rec.Events[i], logPlace{rec.N, uint64(i)})
		}
	}
	r.redoAlarms()
	r.resume = 0
	r.letOutFirst() //nolint:contextcheck // as long as the partition is owned
	return nil
}

// bury keeps a send that can never be applied as a dead letter, with its cause, and tells who asked for its outcome.
// The send is finished when that is done.
func (h *Host) bury(it *item, cause *Error) {
	req, done, seq := it.req, it.done, it.inbox
	it.done = nil
	d := &DeadLetter{
		Run: req.Address.String(), BadAddress: it.badAddress, Hook: req.Hook, Token: req.Header.Token, CallID: req.Header.CallID,
		Inbox: seq, Sent: req.Received, Cause: cause, Payload: req.Payload, ReplyTo: req.Header.ReplyTo, Trace: req.Header.Trace,
	}
	h.log.Warn("dead letter", "run", d.Run, "hook", d.Hook, "inbox", seq, "cause", cause.Message)
	h.spawn(func() {
		h.untilDone("keep dead letter", func(ctx context.Context) error { return h.cfg.Outlet.DeadLetter(ctx, d) })
		if d.ReplyTo != "" {
			o := &Outcome{Run: d.Run, Node: h.cfg.Node, Err: cause, Result: json.RawMessage("null")}
			h.untilDone("send outcome", func(ctx context.Context) error { return h.cfg.Outlet.Outcome(ctx, d.ReplyTo, o) })
		}
		if done != nil {
			done(h.ctx.Err() == nil)
		}
	})
}

// untilDone tries do until it succeeds or the host ends.
func (h *Host) untilDone(what string, do func(context.Context) error) {
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		err := do(h.ctx)
		if err == nil || h.ctx.Err() != nil {
			return
		}
		h.log.Warn("not done yet", "what", what, "err", err)
		if pause(h.ctx, wait) != nil {
			return
		}
	}
}
