package jetstream

import (
	"context"
	"errors"
	"maps"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"github.com/perdure/perdure/actor"
)

// ownCall is the verb of calls to the owner of a partition.
const ownCall = "call"

// forward gives a call to the owner of its partition, which is whoever subscribes for it, and repeats it with one
// call id while nobody answers, until the call's time is up. The owner's answer goes to the caller as it is.
func (f *Front) forward(ctx context.Context, in *incoming) *actor.Error {
	if e := f.begin(); e != nil {
		return e
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		f.calls.Add(-1)
		return actor.Errorf(actor.CodeUnavailable, "this node stops")
	}
	f.forwards.Go(func() { f.askOwner(ctx, in) })
	return nil
}

func (f *Front) askOwner(ctx context.Context, in *incoming) {
	m, err := f.owners.do(ctx, f.toOwner(in))
	if err == nil {
		f.finish(in.req.Received, nil)
		f.publishReply(in.msg.Reply, m.Header, m.Data)
		return
	}
	var e *actor.Error
	if !errors.As(err, &e) {
		e = actor.Errorf(actor.CodeUnavailable, "%v", err)
	}
	if ctx.Err() != nil && in.req.Header.CallID != "" {
		e = actor.Errorf(actor.CodeUnavailable, "this node stops") // repeating is safe: by its call id
	}
	f.finish(in.req.Received, e)
	f.reply(in.req, &actor.Outcome{Run: run(in.req), Node: f.cfg.Node, Err: e})
}

// toOwner is the call as the owner gets it: with a call id, so that it can be repeated, and with the time that is left.
func (f *Front) toOwner(in *incoming) *ask {
	h := nats.Header{}
	maps.Copy(h, in.msg.Header)
	delete(h, HeaderToken) // it is a node's to say
	if in.req.Header.CallID == "" {
		h[HeaderCallID] = []string{uuid.NewString()}
	}
	timeout := in.req.Header.Timeout
	if timeout == 0 {
		timeout = actor.DefaultTimeout
	}
	subject := f.cfg.Names.Own(in.partition, ownCall, in.target.Type, in.target.Key, in.target.Hook)
	return &ask{
		until: in.req.Received.Add(timeout),
		message: func(left time.Duration) *nats.Msg {
			h := maps.Clone(h)
			h[HeaderTimeout] = []string{max(left, time.Millisecond).String()}
			return &nats.Msg{Subject: subject, Header: h, Data: in.msg.Data}
		},
		tryAgain: unavailable,
	}
}
