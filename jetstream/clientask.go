package jetstream

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/perdure/perdure/actor"
)

const (
	firstBackoff = 10 * time.Millisecond
	// lastBackoff is a part of the time that callers wait after a takeover; half as much more at most.
	lastBackoff = 300 * time.Millisecond
	// firstSilence is how long an ask waits for an answer before it is repeated; each repetition waits
	// twice as long, up to lastSilence. Owners join repetitions, so that they cost little.
	firstSilence = time.Second
	lastSilence  = 10 * time.Second
	// lookEvery is how often a waiting ask looks whether its connection was lost meanwhile.
	lookEvery = 100 * time.Millisecond
)

// ask is one message that is repeated until it is answered or its time is up.
type ask struct {
	until    time.Time
	message  func(left time.Duration) *nats.Msg // made anew for each repetition
	tryAgain func(m *nats.Msg) *actor.Error     // not nil: m says that it was not acted on, and that repeating may help
	missed   func(silence bool)                 // told of each repetition that was in vain, before the next; may be nil
}

var (
	// errSilence: nothing arrived for so long, or over a connection so shaky, that the ask should be repeated.
	errSilence = errors.New("no answer")
	// errShaky is an errSilence whose cause may be the connection.
	errShaky = fmt.Errorf("%w over a connection that was lost", errSilence)
)

// do publishes a until an answer settles it. It repeats when nobody answers, when an answer says to try
// again, when the connection was lost meanwhile, and after a silence. The error says whether the message
// may have been acted on: [actor.ErrTimeout] if it may, [actor.ErrUnavailable] if it was not.
func (c *Client) do(ctx context.Context, a *ask) (*nats.Msg, error) {
	subject, answers, release, err := c.inbox.open()
	if err != nil {
		return nil, actor.Errorf(actor.CodeUnavailable, "%v", err)
	}
	defer release()
	var (
		last             = actor.Errorf(actor.CodeUnavailable, "not connected to a server")
		inDoubt          = false // some repetition may have been acted on
		backoff, silence = firstBackoff, firstSilence
	)
	for {
		reconnects := c.nc.Stats().Reconnects
		if err := c.publish(a, subject); errors.Is(err, nats.ErrMaxPayload) {
			return nil, actor.Errorf(actor.CodeTooLarge, "the message is larger than the server takes")
		} else if errors.Is(err, nats.ErrConnectionClosed) || errors.Is(err, nats.ErrConnectionDraining) {
			return nil, outOfTime(ctx, inDoubt, actor.Errorf(actor.CodeUnavailable, "%v", err))
		} else if err == nil {
			m, err := c.await(ctx, a, answers, reconnects, silence)
			switch {
			case errors.Is(err, errSilence):
				a.fail(!errors.Is(err, errShaky))
				inDoubt, silence = true, min(2*silence, lastSilence)
				continue
			case err != nil:
				return nil, outOfTime(ctx, true, last)
			}
			again := a.again(m)
			if again == nil {
				return m, nil
			}
			a.fail(false)
			last, inDoubt = again, inDoubt || again.InDoubt()
		}
		if !waitBefore(ctx, a.until, backoff) {
			return nil, outOfTime(ctx, inDoubt, last)
		}
		backoff = min(2*backoff, lastBackoff)
	}
}

var errNotConnected = errors.New("not connected")

func (c *Client) publish(a *ask, reply string) error {
	if c.nc.IsClosed() {
		return nats.ErrConnectionClosed
	}
	if !c.nc.IsConnected() {
		return errNotConnected // the connection would buffer it, and publish it when nobody waits any more
	}
	m := a.message(time.Until(a.until))
	m.Reply = reply
	return c.nc.PublishMsg(m)
}

// await returns the next answer, [errSilence], or another error when the time is up.
func (c *Client) await(ctx context.Context, a *ask, answers <-chan *nats.Msg, reconnects uint64, silence time.Duration) (*nats.Msg, error) {
	look := time.NewTimer(min(lookEvery, time.Until(a.until)))
	defer look.Stop()
	for asked := time.Now(); ; {
		select {
		case m := <-answers:
			return m, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-look.C:
		}
		switch {
		case !time.Now().Before(a.until):
			return nil, context.DeadlineExceeded
		case c.nc.Stats().Reconnects != reconnects, !c.nc.IsConnected():
			return nil, errShaky
		case time.Since(asked) >= silence:
			return nil, errSilence
		}
		look.Reset(min(lookEvery, time.Until(a.until)))
	}
}

// again is tryAgain, and knows the server's own answer where nobody subscribes.
func (a *ask) again(m *nats.Msg) *actor.Error {
	if len(m.Data) == 0 && m.Header.Get("Status") == "503" {
		return actor.Errorf(actor.CodeUnavailable, "no node answers")
	}
	return a.tryAgain(m)
}

func (a *ask) fail(silence bool) {
	if a.missed != nil {
		a.missed(silence)
	}
}

// waitBefore waits about d. It returns false when the time is up.
func waitBefore(ctx context.Context, until time.Time, d time.Duration) bool {
	t := time.NewTimer(min(d/2+rand.N(d), time.Until(until)))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return time.Now().Before(until)
	}
}

// outOfTime returns the error of an ask that is not repeated any more; last is what the last answer said.
func outOfTime(ctx context.Context, inDoubt bool, last *actor.Error) error {
	if inDoubt {
		last = actor.Errorf(actor.CodeTimeout, "no answer in time: the outcome is unknown, and the same call id finds it")
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%w: %w", last, context.Cause(ctx))
	}
	if d, ok := ctx.Deadline(); ok && !time.Now().Before(d) { // ctx is about to say so itself
		return fmt.Errorf("%w: %w", last, context.DeadlineExceeded)
	}
	return last
}
