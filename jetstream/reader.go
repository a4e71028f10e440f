package jetstream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	js "github.com/nats-io/nats.go/jetstream"
)

const (
	// readHeartbeat is how often the server of an idle reader shows that it is alive; two missed ones and the
	// reader is made anew, perhaps on another server.
	readHeartbeat = time.Second
	// readExpiry is how long one request for messages stands.
	readExpiry = 20 * time.Second
	// readAhead bounds what a reader keeps in memory: messages, and bytes in messages of the largest size.
	readAhead = 256
	// readerMade is how long a reader waits for its consumer to be made: one assigned to a server that died never is.
	readerMade = 2 * time.Second
	// readerKept is how long the server keeps a reader that nobody asks for.
	readerKept = 10 * time.Second
	// endLook is how long a reader that should reach an end waits before it looks whether it is there: what the server
	// says is pending may never come. Each time it waits twice as long, up to maxEndLook, because a look may be slow.
	endLook    = 50 * time.Millisecond
	maxEndLook = 2 * time.Second

	firstRetry = 20 * time.Millisecond
	lastRetry  = 500 * time.Millisecond
)

// stored is one message of a stream.
type stored struct {
	Subject string
	Seq     uint64
	Time    time.Time
	Header  nats.Header // nil also when it cannot be read
	Data    []byte
	pending uint64 // matching messages that follow, as the server estimates
	before  uint64 // the one before it, of its subject or batch; 0: none, or not known
}

// reader reads a stream in order, without acknowledgements. It misses nothing and gives nothing twice.
type reader struct {
	store       *Store
	stream      string
	filters     []string // empty: everything
	headersOnly bool
}

// errStop ends a reading from inside its function.
var errStop = errors.New("stop reading")

// follow calls fn for each message from sequence from on. It returns only when ctx ends or fn returns an error.
// A reader that fails, with its server or connection, is made anew after the last message that fn got.
func (r *reader) follow(ctx context.Context, from uint64, fn func(*stored) error) error {
	next, retry := max(from, 1), firstRetry
	for {
		var failed error // fn's error
		err := r.session(ctx, next, nil, func(m *stored) error {
			next, retry = m.Seq+1, firstRetry
			failed = fn(m)
			return failed
		})
		switch {
		case failed != nil:
			return failed
		case ctx.Err() != nil:
			return ctx.Err()
		}
		r.store.cfg.Logger.DebugContext(ctx, "a stream's reader is made anew", "stream", r.stream, "from", next, "cause", err)
		if err := waitFor(ctx, retry); err != nil {
			return err
		}
		retry = min(2*retry, lastRetry)
	}
}

// until calls fn for each message from from to end. It goes on over failing readers until ctx ends.
func (r *reader) until(ctx context.Context, from, end uint64, fn func(*stored) error) error {
	next := max(from, 1)
	if next > end {
		return nil
	}
	done := func(ctx context.Context) (bool, error) {
		left, err := r.left(ctx, next, end)
		return !left, err
	}
	for retry := firstRetry; ; retry = min(2*retry, lastRetry) {
		var failed error
		err := r.session(ctx, next, done, func(m *stored) error {
			if m.Seq > end {
				failed = errStop
				return failed
			}
			next = m.Seq + 1
			if failed = fn(m); failed == nil && m.Seq == end {
				failed = errStop
			}
			return failed
		})
		switch {
		case err == nil, errors.Is(failed, errStop):
			return nil
		case failed != nil:
			return failed
		case ctx.Err() != nil:
			return fmt.Errorf("read stream %s from %d: %w (last: %w)", r.stream, next, ctx.Err(), err)
		}
		if err := waitFor(ctx, retry); err != nil {
			return err
		}
	}
}

// withoutConsumer calls fn for each message from from to end, whatever the filters. It asks for some at a time, each sequence by
// itself: under load an answer takes 10 ms and more. It goes on over failing requests until ctx ends.
func (r *reader) withoutConsumer(ctx context.Context, from, end uint64, fn func(*stored) error) error {
	for next := max(from, 1); next <= end; {
		n := int(min(end-next+1, tailReads)) //nolint:gosec // a few
		found, errs := make([]*stored, n), make([]error, n)
		var asks sync.WaitGroup
		for i := range found {
			asks.Go(func() { found[i], errs[i] = r.store.get(ctx, r.stream, getRequest{Seq: next + uint64(i)}) }) //nolint:gosec // not negative
		}
		asks.Wait()
		for i, m := range found {
			if err := errs[i]; errors.Is(err, errNoMessage) {
				next++
				continue
			} else if err != nil {
				if waitFor(ctx, firstRetry) != nil {
					return fmt.Errorf("read stream %s at %d: %w", r.stream, next, err)
				}
				break // from there on
			}
			if err := fn(m); err != nil {
				return err
			}
			next++
		}
	}
	return nil
}

// left reports whether there are messages from next to end.
func (r *reader) left(ctx context.Context, next, end uint64) (bool, error) {
	filters := r.filters
	if len(filters) == 0 {
		filters = []string{">"}
	}
	for _, f := range filters {
		m, err := r.store.get(ctx, r.stream, getRequest{Seq: next, NextFor: f})
		if err == nil && m.Seq <= end {
			return true, nil
		}
		if err != nil && !errors.Is(err, errNoMessage) {
			return false, err
		}
	}
	return false, nil
}

// session reads with one consumer. It returns nil only when done, which is asked when nothing more seems to
// be there, says so.
func (r *reader) session(ctx context.Context, from uint64, done func(context.Context) (bool, error), fn func(*stored) error) error {
	asking, cancel := context.WithTimeout(ctx, readerMade)
	defer cancel()
	consumer, err := r.store.js.CreateConsumer(asking, r.stream, js.ConsumerConfig{
		AckPolicy: js.AckNonePolicy, DeliverPolicy: js.DeliverByStartSequencePolicy, OptStartSeq: from,
		FilterSubjects: r.filters, HeadersOnly: r.headersOnly, MemoryStorage: true, Replicas: 1, InactiveThreshold: readerKept,
	})
	if err != nil {
		return fmt.Errorf("make a reader of stream %s: %w", r.stream, err)
	}
	if done != nil && consumer.CachedInfo().NumPending == 0 {
		if ok, err := done(ctx); ok || err != nil {
			return err
		}
	}
	it, err := consumer.Messages(js.PullMaxMessagesWithBytesLimit(readAhead, r.readAheadBytes()), js.PullHeartbeat(readHeartbeat), js.PullExpiry(readExpiry))
	if err != nil {
		return fmt.Errorf("read stream %s: %w", r.stream, err)
	}
	defer it.Stop()
	look := endLook
	for delivered := uint64(1); ; {
		m, err := next(ctx, it, done != nil, look)
		if errors.Is(err, nats.ErrTimeout) {
			if ok, err := done(ctx); ok || err != nil {
				return err
			}
			look = min(2*look, maxEndLook)
			continue
		}
		if err != nil {
			return fmt.Errorf("read stream %s: %w", r.stream, err)
		}
		meta, err := m.Metadata()
		if err != nil {
			return fmt.Errorf("read stream %s: %w", r.stream, err)
		}
		if meta.Sequence.Consumer != delivered {
			return fmt.Errorf("read stream %s: delivery %d came after %d", r.stream, meta.Sequence.Consumer, delivered-1)
		}
		delivered++
		if meta.Sequence.Stream < from {
			continue // the stream ends before from
		}
		if err := fn(&stored{m.Subject(), meta.Sequence.Stream, meta.Timestamp, m.Headers(), m.Data(), meta.NumPending, 0}); err != nil {
			return err
		}
		if done != nil && meta.NumPending == 0 {
			if ok, err := done(ctx); ok || err != nil {
				return err
			}
		}
	}
}

// next waits for the next message; where an end is to be reached, not longer than look: then it returns nats.ErrTimeout.
func next(ctx context.Context, it js.MessagesContext, bounded bool, look time.Duration) (js.Msg, error) {
	if !bounded {
		return it.Next(js.NextContext(ctx))
	}
	ctx, cancel := context.WithTimeoutCause(ctx, look, nats.ErrTimeout)
	defer cancel()
	m, err := it.Next(js.NextContext(ctx))
	if err != nil && errors.Is(context.Cause(ctx), nats.ErrTimeout) {
		return nil, nats.ErrTimeout
	}
	return m, err
}

// readAheadBytes is at least two messages of the largest size: a limit below one would stop the reader.
func (r *reader) readAheadBytes() int { return max(2*int(r.store.nc.MaxPayload())+1<<20, 4<<20) }
