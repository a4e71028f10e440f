package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/perdure/perdure/actor"
)

// State returns the last committed state of an object, or the last checkpoint of a run, as JSON; null when
// there is none. It does not wake the object. A state that fits into no message is read from the log: see
// [Client.StateAt], and then has the version that it was recorded in. Who may not read logs gets [actor.ErrTooLarge] for it.
func (c *Client) State(ctx context.Context, addr actor.Address) (json.RawMessage, error) {
	state, err := c.read(ctx, addr, actor.HookState)
	var (
		e     *actor.Error
		large actor.LargeState
	)
	if errors.As(err, &e) && e.Code == actor.CodeTooLarge && json.Unmarshal(e.Details, &large) == nil && large.Seq > 0 {
		logged, failed := c.StateAt(ctx, addr, large.Seq)
		if failed == nil {
			return logged, nil
		}
		err = fmt.Errorf("%w; %w", err, failed)
	}
	return state, err
}

// StateAt returns the state of an object as it was after the record with log sequence seq, or after its last record before
// that, as JSON: null before the first state. Of a run function it is the last checkpoint at that place, or null. What it
// returns is as it was recorded, in the version of then.
//
// It reads the log itself: no node need live, and no object wakes. It blocks for one read in 32 records between there and
// the end, and at most 19 more. Errors: [actor.ErrNotFound] when nothing is at or before seq, or no longer kept, with the
// first sequence that is in its details; [actor.ErrUnavailable] when the servers cannot be reached or no node was ever there.
func (c *Client) StateAt(ctx context.Context, addr actor.Address, seq uint64) (json.RawMessage, error) {
	log, err := c.log(ctx, addr)
	if err == nil {
		var state json.RawMessage
		if state, err = actor.StateAt(ctx, log, addr, seq); err == nil {
			return state, nil
		}
	}
	return nil, fmt.Errorf("read state of %s at seq %d: %w", addr, seq, err)
}

// log is what reads the log of an object over the client's connection.
func (c *Client) log(ctx context.Context, addr actor.Address) (logReader, error) {
	if err := addr.Validate(); err != nil {
		return logReader{}, actor.Errorf(actor.CodeInvalid, "%v", err)
	}
	js, err := c.jetStream()
	if err != nil {
		return logReader{}, err
	}
	m, err := c.meta(ctx, js)
	return logReader{c, c.names, m}, err
}
