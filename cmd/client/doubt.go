package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/perdure/perdure/actor"
)

// errInterrupted marks what the user stopped with a signal.
var errInterrupted = errors.New("interrupted")

// callID is the id of a call: the user's, or a new one, which is told if the outcome stays unknown.
func callID(given string) string {
	if given != "" {
		return given
	}
	return uuid.NewString()
}

// failed is the error of a call with this id. Where the call may have been made it says how to find its outcome, which
// needs the id: nobody but the client knows one that it made up.
func failed(ctx context.Context, id string, err error, what string, args ...any) error {
	what = fmt.Sprintf(what, args...)
	unknown := errors.Is(err, actor.ErrTimeout)
	switch {
	case interrupted(ctx) && unknown:
		return fmt.Errorf("%s: %w: the outcome is unknown; find it with --id %s", what, errInterrupted, id)
	case interrupted(ctx) && errors.Is(err, actor.ErrUnavailable):
		return fmt.Errorf("%s: %w: nothing was done", what, errInterrupted)
	case unknown:
		return fmt.Errorf("%s: %w; find the outcome with --id %s", what, err, id)
	default:
		return fmt.Errorf("%s: %w", what, err)
	}
}

// interrupted reports whether ctx ended by a signal, not because the time is up.
func interrupted(ctx context.Context) bool { return errors.Is(ctx.Err(), context.Canceled) }
