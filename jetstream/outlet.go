package jetstream

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go"

	"github.com/perdure/perdure/actor"
)

// Outlet lets out effects that are messages. It implements [actor.Outlet].
type Outlet struct {
	store   *Store
	replies *nats.Conn
	allowed ReplySubjects
}

var _ actor.Outlet = (*Outlet)(nil)

// Outlet returns the way out. Outcomes are published over the connection replies, which should be allowed to
// publish nothing else, and only to allowed subjects.
func (s *Store) Outlet(replies *nats.Conn, allowed ReplySubjects) *Outlet {
	return &Outlet{s, replies, allowed}
}

// Forward implements [actor.Outlet]. A repetition may store the send again: its call id tells. A full inbox takes
// nothing more, also not what would make room in it: then the object's owner is asked directly.
func (o *Outlet) Forward(ctx context.Context, addr actor.Address, hook string, h actor.CallHeader, payload []byte) error {
	m := &nats.Msg{Subject: o.store.names.Hook(addr, hook), Header: FormatCallHeader(h), Data: payload}
	_, err := o.store.js.PublishMsg(perRequest(ctx), m)
	if isCode(err, errStoreFailed) {
		err = o.askOwner(ctx, addr, hook, h, payload)
	}
	if err != nil {
		return fmt.Errorf("send to hook %s of %s: %w", hook, addr, err)
	}
	return nil
}

// askOwner has the owner of an object receive a send that did not come through the inbox.
func (o *Outlet) askOwner(ctx context.Context, addr actor.Address, hook string, h actor.CallHeader, payload []byte) error {
	h.Wait = actor.WaitReceived
	p := o.store.Partition(addr)
	m := &nats.Msg{
		Subject: o.store.names.Own(p, ownSend, addr.Type, actor.EncodeKey(addr.Key), hook),
		Header:  FormatCallHeader(h), Data: payload,
	}
	answer, err := o.store.nc.RequestMsgWithContext(perRequest(ctx), m)
	if err != nil {
		return fmt.Errorf("ask the owner of partition %d: %w", p, err)
	}
	outcome, err := DecodeOutcome(answer.Header, answer.Data)
	if err == nil && outcome.Err != nil {
		err = outcome.Err
	}
	return err
}

// Allows implements [actor.Outlet].
func (o *Outlet) Allows(subject string) bool { return o.allowed.Allows(subject) }

// Outcome implements [actor.Outlet]. A subject that is not allowed gets nothing.
func (o *Outlet) Outcome(ctx context.Context, replyTo string, outcome *actor.Outcome) error {
	if !o.allowed.Allows(replyTo) {
		o.store.cfg.Logger.WarnContext(ctx, "an outcome is not sent: the subject is not allowed", "subject", replyTo, "run", outcome.Run)
		return nil
	}
	header, body := EncodeOutcome(outcome)
	if err := o.replies.PublishMsg(&nats.Msg{Subject: replyTo, Header: header, Data: body}); err != nil {
		return fmt.Errorf("send outcome of %s to %s: %w", outcome.Run, replyTo, err)
	}
	return nil
}
