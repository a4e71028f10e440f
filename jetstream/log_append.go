package jetstream

import (
	"context"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"

	"github.com/perdure/perdure/actor"
)

// Append implements [actor.EventLog]. It sends the record once.
func (l *Log) Append(ctx context.Context, e *actor.Entry, expected uint64) (uint64, error) {
	stream, subject, p := l.place(e.Address)
	body, header := e.Body, formatEntry(e)
	if len(body) > l.store.maxBody() {
		var err error
		var parts int
		if body, parts, err = l.split(ctx, p, e); err != nil {
			return 0, fmt.Errorf("append to log of %s: %w: %w", e.Address, actor.ErrAppendRefused, err)
		}
		header[HeaderBlobs] = []string{strconv.Itoa(parts)}
	}
	expect(header, stream, expected)
	seq, err := l.publish(ctx, &nats.Msg{Subject: subject, Header: header, Data: body}, stream)
	if err != nil {
		return 0, fmt.Errorf("append to log of %s after seq %d: %w", e.Address, expected, err)
	}
	return seq, nil
}
