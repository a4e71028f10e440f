package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"

	"github.com/perdure/perdure/actor"
)

// Append implements [actor.EventLog]. It sends the record once. The parts of one that is certainly not written are removed
// before it returns.
func (l *Log) Append(ctx context.Context, e *actor.Entry, expected uint64) (uint64, error) {
	stream, subject, p := l.place(e.Address)
	if len(e.Body) <= l.store.maxBody() {
		return l.append(ctx, e, &nats.Msg{Subject: subject, Header: formatEntry(e), Data: e.Body}, stream, expected)
	}
	m, err := l.split(ctx, p, e, expected)
	if err != nil {
		return 0, l.withoutParts(ctx, m, fmt.Errorf("append to log of %s: %w: %w", e.Address, actor.ErrAppendRefused, err))
	}
	body, err := json.Marshal(m)
	if err != nil {
		return 0, l.withoutParts(ctx, m, fmt.Errorf("append to log of %s: encode manifest: %w: %w", e.Address, actor.ErrAppendRefused, err))
	}
	header := formatEntry(e)
	header[HeaderBlobs] = []string{strconv.Itoa(len(m.Blobs))}
	seq, err := l.append(ctx, e, &nats.Msg{Subject: subject, Header: header, Data: body}, stream, expected)
	if err != nil && l.unwritten(err) {
		err = l.withoutParts(ctx, m, err)
	}
	return seq, err
}

// unwritten reports whether an append that ended with err is certainly not in the log. A conflict on replicated streams is not
// certain: of two servers that both believe to lead, the one that lags may answer first, and the other has written.
func (l *Log) unwritten(err error) bool {
	return errors.Is(err, actor.ErrAppendRefused) || errors.Is(err, actor.ErrAppendConflict) && !l.replicated
}

func (l *Log) append(ctx context.Context, e *actor.Entry, m *nats.Msg, stream string, expected uint64) (uint64, error) {
	expect(m.Header, stream, expected)
	seq, err := l.publish(ctx, m, stream)
	if err != nil {
		return 0, fmt.Errorf("append to log of %s after seq %d: %w", e.Address, expected, err)
	}
	return seq, nil
}

// withoutParts removes the parts of a record that is not in the log because of err, and never will be. Those that it cannot remove
// are found by [Log.Attempts].
func (l *Log) withoutParts(ctx context.Context, m manifest, err error) error {
	if left := l.removeParts(context.WithoutCancel(ctx), m); left != nil {
		return fmt.Errorf("%w; its parts are left: %w", err, left)
	}
	return err
}
