package jetstream

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/nats-io/nats.go"
	js "github.com/nats-io/nats.go/jetstream"

	"github.com/perdure/perdure/actor"
)

const (
	// readPatience is how long a reader asks servers that do not answer, unless it follows a stream that it has read.
	readPatience = 30 * time.Second
	// missingPatience is how long the stream OUT may be missing: servers may still be recovering it.
	missingPatience = 2 * time.Second
	// firstLook is how long after it subscribed a reader looks whether something is stored that it was not shown: its
	// interest may not have reached all servers at once. Each look in silence doubles the time to the next one.
	firstLook = 100 * time.Millisecond
	lastLook  = 5 * time.Second
)

var _ actor.StreamReader = (*Client)(nil)

// Chunks implements [actor.StreamReader]. It makes no consumer: it reads what is stored by direct get and follows
// what the stream republishes, and finds what that misses by the sequences.
//
// A chunk below from is never yielded. A rewind is where it takes back what was yielded, and where it goes below from:
// who holds chunks from an earlier reading has to read again from there. What was rewound before the reading began may
// be yielded with its rewind, or not at all. Chunks that expired are left out.
//
// Errors: [actor.ErrInvalid] for a bad address or stream name, [actor.ErrUnavailable] when no server answers for 30 s
// or the connection is closed, [actor.ErrTimeout] with ctx's cause when its time is up. A reader that follows and has
// read once waits for its servers as long as ctx lives.
func (c *Client) Chunks(ctx context.Context, addr actor.Address, stream string, from int64, follow bool) iter.Seq2[*actor.Chunk, error] {
	return func(yield func(*actor.Chunk, error) bool) {
		err := addr.Validate()
		if err != nil {
			err = actor.Errorf(actor.CodeInvalid, "%v", err)
		} else if err = checkStreamName(stream); err == nil {
			r := &chunkReader{
				client: c, addr: addr, stream: stream, subject: c.names.Out(addr, stream), follow: follow, yield: yield,
				get: outGetter{client: c, stream: c.names.OutStream()},
			}
			err = r.read(ctx, from)
		}
		if err != nil && !errors.Is(err, errStop) {
			yield(nil, fmt.Errorf("read stream %s of %s: %w", stream, addr, err))
		}
	}
}

// patiently repeats op, which reads, while the servers do not answer.
func (r *chunkReader) patiently(ctx context.Context, op func(context.Context) error) error {
	start, retry := time.Now(), firstRetry
	r.get.silence = firstSilence
	for {
		err := op(ctx)
		waited := time.Since(start)
		switch {
		case err == nil:
			r.reached = true
			return nil
		case ctx.Err() != nil:
			return readEnded(ctx)
		case errors.Is(err, actor.ErrUnavailable): // the client is closed
			return err
		case r.client.nc.IsClosed():
			return unreachable(nats.ErrConnectionClosed)
		case !r.reached && isCode(err, js.JSErrCodeStreamNotFound) && waited > missingPatience:
			return actor.Errorf(actor.CodeUnavailable, "there is no stream %s: has a node been started on these servers, with this prefix?", r.get.stream)
		case !(r.follow && r.reached) && waited > readPatience:
			return unreachable(err)
		case errors.Is(err, errSilence):
			r.get.silence = min(2*r.get.silence, lastSilence)
		}
		if waitFor(ctx, retry) != nil {
			return readEnded(ctx)
		}
		retry = min(2*retry, lastRetry)
	}
}

func unreachable(cause error) error {
	return actor.Errorf(actor.CodeUnavailable, "the servers do not answer: %v", cause)
}

// readEnded is the error of a reading whose context has ended.
func readEnded(ctx context.Context) error {
	cause := context.Cause(ctx)
	if errors.Is(cause, context.DeadlineExceeded) {
		return fmt.Errorf("%w: %w", actor.Errorf(actor.CodeTimeout, "time is up"), cause)
	}
	return cause
}
