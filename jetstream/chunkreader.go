package jetstream

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/perdure/perdure/actor"
)

// chunkReader is one reading of an output stream.
type chunkReader struct {
	client  *Client
	addr    actor.Address
	stream  string
	subject string
	follow  bool
	yield   func(*actor.Chunk, error) bool
	get     outGetter

	from    uint64 // chunks below this index are left out
	run     string // incarnation of the run that is read
	since   uint64 // what others have written before this sequence is left out
	next    uint64 // index after that of the last chunk yielded, or from
	done    uint64 // every message up to this sequence is yielded, left out, or foreign
	reached bool   // the servers have answered
}

func (r *chunkReader) read(ctx context.Context, from int64) error {
	var live *chunkQueue
	if r.follow { // before anything is read, so that nothing is stored in between unseen
		live = newChunkQueue()
		sub, err := r.client.nc.Subscribe(r.subject, func(m *nats.Msg) { live.put(r.get.stream, m) })
		if err != nil {
			return actor.Errorf(actor.CodeUnavailable, "subscribe: %v", err)
		}
		defer func() { _ = sub.Unsubscribe() }() // fails only when the connection is closed
	}
	var end uint64
	err := r.patiently(ctx, func(ctx context.Context) error {
		c, last, err := lastChunk(ctx, &r.get, r.subject, r.addr, r.stream)
		if err == nil {
			if end = last; c != nil {
				r.run, r.since = c.Writer.Incarnation, c.Seq
			}
			r.done, r.from, err = begin(ctx, &r.get, r.subject, c, end, from)
		}
		return err
	})
	r.next = r.from
	if err == nil {
		err = r.catchUp(ctx, end)
	}
	if err == nil && r.follow {
		err = r.live(ctx, live)
	}
	return err
}

// live takes what the subscription brings, and reads what it missed, until the stream's end.
func (r *chunkReader) live(ctx context.Context, q *chunkQueue) error {
	nc := r.client.nc
	status := nc.StatusChanged(nats.CONNECTED, nats.CLOSED)
	defer nc.RemoveStatusListener(status)
	wait := firstLook
	look := time.NewTimer(wait)
	defer look.Stop()
	for {
		var err error
		select {
		case <-q.wake:
			err = r.drain(ctx, q)
		case <-look.C:
			err = r.look(ctx)
			wait = min(2*wait, lastLook)
		case s := <-status:
			if s == nats.CLOSED {
				return unreachable(nats.ErrConnectionClosed)
			}
			err, wait = r.look(ctx), firstLook
		case <-ctx.Done():
			return readEnded(ctx)
		}
		if err != nil {
			return err
		}
		look.Reset(wait)
	}
}

// drain takes what waits in the queue.
func (r *chunkReader) drain(ctx context.Context, q *chunkQueue) error {
	all, lost := q.take()
	for _, m := range all {
		if m.Seq > r.done && m.before > r.done {
			if err := r.catchUp(ctx, m.before); err != nil {
				return err
			}
		}
		if err := r.accept(m); err != nil {
			return err
		}
	}
	if !lost {
		return nil
	}
	var end uint64
	err := r.patiently(ctx, func(ctx context.Context) error {
		return sequence(&end)(r.get.leader(ctx, getRequest{LastFor: r.subject}))
	})
	if err != nil {
		return err
	}
	return r.catchUp(ctx, end)
}

// look reads what was stored and not shown: republishing is not repeated. It asks any replica; what that does not
// know yet, a later look finds.
func (r *chunkReader) look(ctx context.Context) error {
	var end uint64
	err := r.patiently(ctx, func(ctx context.Context) error {
		return sequence(&end)(r.get.direct(ctx, getRequest{LastFor: r.subject}))
	})
	if err != nil {
		return err
	}
	return r.catchUp(ctx, end)
}

// sequence keeps the sequence of an answer; that there is no message is 0.
func sequence(to *uint64) func(*stored, error) error {
	return func(m *stored, err error) error {
		if errors.Is(err, errNoMessage) {
			return nil
		}
		if err == nil {
			*to = m.Seq
		}
		return err
	}
}

// catchUp reads from the stream until everything up to sequence end is done.
func (r *chunkReader) catchUp(ctx context.Context, end uint64) error {
	for r.done < end {
		if ctx.Err() != nil {
			return readEnded(ctx)
		}
		var all []*stored
		err := r.patiently(ctx, func(ctx context.Context) (err error) {
			if all, err = r.get.batch(ctx, r.subject, r.done+1); len(all) > 0 {
				return nil // what follows is asked for again
			}
			if errors.Is(err, errNoMessage) { // the replica may lag
				var m *stored
				if m, err = r.get.leader(ctx, getRequest{Seq: r.done + 1, NextFor: r.subject}); err == nil {
					all = []*stored{m}
				} else if errors.Is(err, errNoMessage) { // what was there has expired
					r.done, err = end, nil
				}
			}
			return err
		})
		if err != nil {
			return err
		}
		for _, m := range all {
			if err := r.accept(m); err != nil {
				return err
			}
		}
	}
	return nil
}

// accept yields a message if it is new and asked for. errStop: the reading has ended.
func (r *chunkReader) accept(m *stored) error {
	if m.Seq <= r.done {
		return nil
	}
	r.done = m.Seq
	c, ok := parseChunk(r.addr, r.stream, m)
	switch {
	case ok && m.Seq < r.since && c.Writer.Incarnation != r.run: // of a run before under this key
		return nil
	case !ok, c.Kind == actor.ChunkData && c.Index < r.from, c.Kind == actor.ChunkRewind && c.Index >= r.next:
		return nil
	case c.Kind == actor.ChunkData:
		r.next = c.Index + 1
	case c.Kind == actor.ChunkRewind:
		r.next = c.Index
	}
	if !r.yield(c, nil) || c.Kind == actor.ChunkEnd {
		return errStop
	}
	return nil
}
