package jetstream

import (
	"context"
	"fmt"
	"time"

	"github.com/perdure/perdure/actor"
)

// Inbox is the queue of one-way calls on the stream INBOX. It implements [actor.Inbox].
type Inbox struct{ store *Store }

var _ actor.Inbox = (*Inbox)(nil)

// Inbox returns the queue of one-way calls.
func (s *Store) Inbox() *Inbox { return &Inbox{s} }

// Follow implements [actor.Inbox]. While the servers are away it waits for them.
func (b *Inbox) Follow(ctx context.Context, from uint64, fn func(*actor.Message) error) error {
	r := reader{store: b.store, stream: b.store.names.InboxStream()}
	return r.follow(ctx, from, func(m *stored) error {
		msg, err := b.message(m)
		if err != nil { // the stream's subjects let nothing else in
			b.store.cfg.Logger.WarnContext(ctx, "the inbox holds what is no call", "seq", m.Seq, "cause", err)
			return nil
		}
		return fn(msg)
	})
}

func (b *Inbox) message(m *stored) (*actor.Message, error) {
	p, target, err := b.store.names.ParseIn(m.Subject)
	if err != nil {
		return nil, err
	}
	header := ParseCallHeader(m.Header)
	header.Token = m.Header.Get(HeaderToken)
	return &actor.Message{
		Seq: m.Seq, Time: m.Time, Partition: p, Type: target.Type, Key: target.Key, Hook: target.Hook,
		Header: header, Payload: m.Data,
	}, nil
}

// Bounds implements [actor.Inbox].
func (b *Inbox) Bounds(ctx context.Context) (actor.InboxBounds, error) {
	info, err := b.store.streamNow(ctx, b.store.names.InboxStream())
	if err != nil {
		return actor.InboxBounds{}, fmt.Errorf("look up the inbox: %w", err)
	}
	bounds := actor.InboxBounds{First: info.State.FirstSeq, Last: info.State.LastSeq, Incarnation: incarnation(info.Created)}
	if info.State.Msgs == 0 {
		bounds.First = bounds.Last + 1
	}
	return bounds, nil
}

// incarnation names a stream made at this time.
func incarnation(created time.Time) string { return created.UTC().Format(time.RFC3339Nano) }

// Trim implements [actor.Inbox].
func (b *Inbox) Trim(ctx context.Context, seq uint64) error {
	if seq < 2 {
		return nil // nothing is below; the server would read 0 as everything
	}
	if err := b.store.purge(ctx, b.store.names.InboxStream(), purgeRequest{Below: seq}); err != nil {
		return fmt.Errorf("trim the inbox below %d: %w", seq, err)
	}
	return nil
}
