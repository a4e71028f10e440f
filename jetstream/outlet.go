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

// Forward implements [actor.Outlet]. A repetition may store the send again: its call id tells.
func (o *Outlet) Forward(ctx context.Context, addr actor.Address, hook string, h actor.CallHeader, payload []byte) error {
	m := &nats.Msg{Subject: o.store.names.Hook(addr, hook), Header: FormatCallHeader(h), Data: payload}
	if _, err := o.store.js.PublishMsg(perRequest(ctx), m); err != nil {
		return fmt.Errorf("send to hook %s of %s: %w", hook, addr, err)
	}
	return nil
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
