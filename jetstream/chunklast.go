package jetstream

import (
	"context"
	"errors"

	"github.com/perdure/perdure/actor"
)

// getter reads single messages of one stream.
type getter interface {
	// leader reads from the stream's leader: what was acknowledged is there.
	leader(ctx context.Context, req getRequest) (*stored, error)
	// direct reads from any replica, which may lag: what it lacks may be there.
	direct(ctx context.Context, req getRequest) (*stored, error)
}

// lastChunk returns the last message of an output stream that is ours, nil when there is none, and the sequence of
// the last message at all, 0 when there is none.
func lastChunk(ctx context.Context, g getter, subject string, addr actor.Address, stream string) (c *actor.Chunk, end uint64, err error) {
	m, err := g.leader(ctx, getRequest{LastFor: subject})
	if err == nil {
		end = m.Seq
	}
	for err == nil {
		if c, ok := parseChunk(addr, stream, m); ok {
			return c, end, nil
		}
		m, err = previous(ctx, g, subject, m.Seq)
	}
	if errors.Is(err, errNoMessage) {
		err = nil
	}
	return nil, end, err
}

// previous returns the message of subject that precedes the one with sequence seq. Error: errNoMessage.
func previous(ctx context.Context, g getter, subject string, seq uint64) (*stored, error) {
	if seq <= 1 {
		return nil, errNoMessage
	}
	var found *stored
	next := uint64(1)
	if m, err := g.direct(ctx, getRequest{LastOf: []string{subject}, UpTo: seq - 1}); err == nil {
		found, next = m, m.Seq+1
	} else if !errors.Is(err, errNoMessage) {
		return nil, err
	}
	for { // a replica that lags may have found one further back
		m, err := g.leader(ctx, getRequest{Seq: next, NextFor: subject})
		switch {
		case err == nil && m.Seq < seq:
			found, next = m, m.Seq+1
		case err != nil && !errors.Is(err, errNoMessage):
			return nil, err
		case found == nil:
			return nil, errNoMessage
		default:
			return found, nil
		}
	}
}
