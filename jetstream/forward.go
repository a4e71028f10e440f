package jetstream

import (
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/router"
)

// Verbs of what the owner of a partition is asked: own.<p>.<verb>.<type>.<key>.<hook>.
const (
	ownCall   = "call"   // a call: clients may ask so, too
	ownResume = "resume" // a call that came by the token in the header; nodes only
	ownSend   = "send"   // a send that came by the token in the header, without the inbox; nodes only
)

// Forward gives a call to the owner of its object's partition, unless this node is the owner: then it returns false.
// It does not block. req.Reply gets the owner's outcome, or 503 when nobody took the call, 504 when somebody may have.
func (f *Front) Forward(req *actor.Request) bool {
	if f.Owns(router.Partition(req.Address, f.cfg.Partitions)) {
		return false
	}
	f.toOwner(req)
	return true
}

// toOwner gives a call to the owner of its object's partition, which is whoever subscribes for it.
func (f *Front) toOwner(req *actor.Request) {
	verb, p := ownCall, router.Partition(req.Address, f.cfg.Partitions)
	if req.Token != "" {
		verb = ownResume
	}
	f.forward(req, f.cfg.Names.Own(p, verb, req.Address.Type, actor.EncodeKey(req.Address.Key), req.Hook))
}

// forward gives a call to who subscribes to subject, and repeats it with one call id while nobody takes it, until the
// call's time is up.
func (f *Front) forward(req *actor.Request, subject string) {
	if !time.Now().Before(until(req)) {
		f.fail(req, actor.Errorf(actor.CodeUnavailable, "no node took the call in time"))
		return
	}
	if e := f.begin(); e != nil {
		f.fail(req, e)
		return
	}
	f.mu.Lock()
	closed := f.closed
	if !closed {
		f.forwards.Go(func() { f.ask(req, subject) })
	}
	f.mu.Unlock()
	if closed {
		f.calls.Add(-1)
		f.fail(req, actor.Errorf(actor.CodeUnavailable, "this node stops"))
	}
}

// ask blocks until the call has its outcome.
func (f *Front) ask(req *actor.Request, subject string) {
	o, err := f.owners.outcome(f.ctx, repeated(req, subject), subject)
	if err == nil {
		f.finish(req.Received, nil) // who answered has counted a failure
		f.reply(req, o)
		return
	}
	e := asError(err)
	if stops := actor.Errorf(actor.CodeUnavailable, "this node stops"); f.ctx.Err() != nil { // repeating is safe: by the call id
		if e.InDoubt() {
			stops = stops.Doubtful()
		}
		e = stops
	}
	f.finish(req.Received, e)
	f.fail(req, e)
}

// repeated is the call as the owner gets it: with a call id, so that it can be repeated, and with the time that is left.
func repeated(req *actor.Request, subject string) *ask {
	h := req.Header
	h.Token = req.Token
	if h.CallID == "" {
		h.CallID = uuid.NewString()
	}
	return &ask{
		until: until(req),
		message: func(left time.Duration) *nats.Msg {
			h := h
			h.Timeout = max(left, time.Millisecond)
			return &nats.Msg{Subject: subject, Header: FormatCallHeader(h), Data: req.Payload}
		},
		tryAgain: unavailable,
	}
}

// until is when a call's time is up.
func until(req *actor.Request) time.Time { return req.Received.Add(req.Timeout()) }

// asError is err as callers see it.
func asError(err error) *actor.Error {
	if e, ok := errors.AsType[*actor.Error](err); ok {
		return e
	}
	return actor.Errorf(actor.CodeUnavailable, "%v", err)
}
