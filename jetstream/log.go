package jetstream

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/nats-io/nats.go"

	"github.com/perdure/perdure/actor"
)

// Log is the event log on LOG streams: each object's records are one subject.
// It implements [actor.EventLog] and is safe for concurrent use.
type Log struct {
	store *Store
	logReader
	publisher // its connection carries appends only, so that closing it fences the node
}

var _ actor.EventLog = (*Log)(nil)

// AppendOptions are the options that the connection given to [Store.Log] must be made with: an append that is
// made while disconnected must not land later, and a node must not be told of its own appends.
func AppendOptions() []nats.Option {
	return []nats.Option{nats.ReconnectBufSize(-1), nats.NoEcho()}
}

// Log returns the event log. Appends go over conn alone, made with [AppendOptions]; reads over the store's connection.
func (s *Store) Log(conn *nats.Conn) *Log {
	return &Log{store: s, logReader: logReader{s, s.names, s.meta}, publisher: s.publisher(conn)}
}

// Remove implements [actor.EventLog]. The parts of a record go before it: a removal that was cut short is done again.
func (l *Log) Remove(ctx context.Context, addr actor.Address, seq uint64) error {
	stream, subject, _ := l.place(addr)
	m, err := l.store.get(ctx, stream, getRequest{Seq: seq})
	if errors.Is(err, errNoMessage) {
		return nil
	}
	if err == nil && m.Subject != subject {
		return nil // somebody else's
	}
	if err == nil && m.Header.Get(HeaderBlobs) != "" {
		if parts, bad := parseManifest(m.Data); bad == nil {
			err = l.removeParts(ctx, parts)
		}
	}
	if err == nil {
		err = l.store.remove(ctx, stream, seq)
	}
	if err != nil {
		return fmt.Errorf("remove record %d of %s: %w", seq, addr, err)
	}
	return nil
}

// Scan implements [actor.EventLog]. It ends at the end that the object had when it began.
func (l *Log) Scan(ctx context.Context, addr actor.Address) iter.Seq2[*actor.Entry, error] {
	return func(yield func(*actor.Entry, error) bool) {
		stream, subject, _ := l.place(addr)
		last, err := l.store.get(ctx, stream, getRequest{LastFor: subject})
		if errors.Is(err, errNoMessage) {
			return
		}
		if err == nil {
			r := reader{store: l.store, stream: stream, filters: []string{subject}}
			err = r.until(ctx, 1, last.Seq, func(m *stored) error {
				e, err := l.entry(ctx, addr, m)
				if err == nil && !yield(e, nil) {
					err = errStop
				}
				return err
			})
		}
		if err != nil && !errors.Is(err, errStop) {
			yield(nil, fmt.Errorf("scan log of %s: %w", addr, err))
		}
	}
}

// End implements [actor.EventLog].
func (l *Log) End(ctx context.Context, partition int) (uint64, error) {
	name := l.store.LogStreamOf(partition)
	info, err := l.store.streamNow(ctx, name)
	if err != nil {
		return 0, fmt.Errorf("look up the end of stream %s: %w", name, err)
	}
	return info.State.LastSeq, nil
}
