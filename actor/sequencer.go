package actor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// sequencer gives one output stream of a run its indexes: one chunk in flight, each appended on top of the one before.
// The last chunk in the stream carries all of its state.
type sequencer struct {
	run  *run
	def  *streamDef
	turn chan struct{} // held by who writes

	loaded bool
	others bool   // the last message is of the run before this one
	lost   bool   // readers may have chunks that are no longer kept, beyond what the log says
	last   uint64 // sequence of the stream's last message
	next   uint64 // index of the next chunk
	closed bool
	state  WriterState
}

// sequencer returns the one of a stream, which the run's type declares.
func (r *run) sequencer(stream string) *sequencer {
	r.streams.mu.Lock()
	defer r.streams.mu.Unlock()
	s := r.streams.sequencers[stream]
	if s == nil {
		s = &sequencer{run: r, def: r.typ.streams[stream], turn: make(chan struct{}, 1)}
		r.streams.sequencers[stream] = s
	}
	return s
}

// with runs do with the stream's state at hand, one at a time.
func (s *sequencer) with(ctx context.Context, do func() error) error {
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-s.turn }()
	if !s.loaded {
		if err := s.load(ctx); err != nil {
			return err
		}
	}
	if s.lost {
		if err := s.startOver(ctx); err != nil {
			return err
		}
	}
	return do()
}

// load recovers the state from the last chunk.
func (s *sequencer) load(ctx context.Context) error {
	mark, exact := s.run.streams.mark(s.def.name)
	s.last, s.next, s.closed, s.state = 0, mark.Next, mark.Closed, WriterState{Emitted: mark.Emitted, Open: mark.Open}
	s.lost = s.def.keep > 0 && !s.closed && !exact
	c, err := s.run.host.cfg.Outputs.Last(ctx, s.run.addr, s.def.name)
	switch {
	case errors.Is(err, ErrNoRecord):
		if c != nil {
			s.last = c.Seq // somebody else's message
		}
	case err != nil:
		return fmt.Errorf("read the end of stream %s of %s: %w", s.def.name, s.run.addr, err)
	default:
		if err := s.believe(ctx, c); err != nil {
			return err
		}
	}
	s.loaded = true
	return nil
}

// believe takes up the last chunk, unless its epoch is one that the ownership record has not issued: then it is
// somebody else's message.
func (s *sequencer) believe(ctx context.Context, c *Chunk) error {
	claim := s.run.part.claim
	if c.Writer.Epoch <= claim.Epoch {
		s.take(c)
		return nil
	}
	issued, err := s.run.host.cfg.Confirm(ctx, claim.Partition)
	switch {
	case err != nil:
		return err
	case c.Writer.Epoch <= issued:
		return fmt.Errorf("stream %s: another node has written under epoch %d: %w", s.def.name, c.Writer.Epoch, errLeaseLost)
	}
	s.run.log.WarnContext(ctx, "foreign message in an output stream: skipped", "stream", s.def.name, "seq", c.Seq)
	s.last = c.Seq
	return nil
}

// take moves the state on to a stored message. What another run under this key has written says only where the next
// message goes.
func (s *sequencer) take(c *Chunk) {
	if s.others = c.Writer.Incarnation != s.run.streams.incarnation(); s.others {
		s.last = c.Seq
		return
	}
	s.last, s.next, s.closed, s.state, s.lost = c.Seq, c.Index, c.Kind == ChunkEnd, c.Writer, false
	if c.Kind == ChunkData {
		s.next++
	}
	s.run.streams.note(s.def.name, streamMark{Next: s.next, Closed: s.closed, Emitted: s.state.Emitted, Open: s.state.Open})
}

// write stores a step's chunk number ordinal, unless an earlier attempt has.
func (s *sequencer) write(ctx context.Context, step string, ordinal uint64, data []byte) error {
	return s.with(ctx, func() error {
		return s.append(ctx, func() (*Chunk, error) {
			i := s.open(step)
			if i >= 0 && ordinal < s.state.Open[i].Count {
				return nil, nil //nolint:nilnil // nothing is to be stored
			}
			if s.closed {
				return nil, Terminal(fmt.Errorf("write to stream %s: %w", s.def.name, ErrStreamClosed))
			}
			c := s.chunk(ChunkData, step+"/"+strconv.FormatUint(ordinal, 10))
			c.Data = data
			if i = slices.IndexFunc(c.Writer.Open, func(o OpenStep) bool { return o.ID == step }); i < 0 {
				c.Writer.Open = append(c.Writer.Open, OpenStep{ID: step, First: s.next})
				i = len(c.Writer.Open) - 1
			}
			if len(c.Writer.Open) > MaxOpenSteps {
				return nil, fmt.Errorf("write to stream %s: %w", s.def.name, limitError("steps in progress that write to one stream", MaxOpenSteps))
			}
			if c.Writer.Open[i].Count == 0 {
				c.Writer.Open[i].First = s.next // others may have written since it was rewound
			}
			c.Writer.Open[i].Count++
			return c, nil
		})
	})
}

// written returns how many of a step's chunks are stored.
func (s *sequencer) written(ctx context.Context, step string) (n uint64, err error) {
	err = s.with(ctx, func() error {
		if i := s.open(step); i >= 0 {
			n = s.state.Open[i].Count
		}
		return nil
	})
	return n, err
}

// rewind makes readers forget a step's chunks.
func (s *sequencer) rewind(ctx context.Context, step string) error {
	return s.with(ctx, func() error {
		return s.append(ctx, func() (*Chunk, error) {
			i := s.open(step)
			if i < 0 || s.state.Open[i].Count == 0 {
				return nil, nil //nolint:nilnil // nothing is to be stored
			}
			own := s.state.Open[i]
			switch {
			case s.closed:
				return nil, Terminal(fmt.Errorf("rewind stream %s: %w", s.def.name, ErrStreamClosed))
			case s.next != own.First+own.Count:
				return nil, Terminal(fmt.Errorf("rewind stream %s: somebody else has written since chunk %d", s.def.name, own.First))
			}
			c := s.marker(step)
			c.Index = own.First
			if i = slices.IndexFunc(c.Writer.Open, func(o OpenStep) bool { return o.ID == step }); i >= 0 { // else it was cancelled
				c.Writer.Open[i].Count = 0
			}
			return c, nil
		})
	})
}

// fence makes whatever is still on its way to the stream fail: it stores a message on top of the last one, which takes
// nothing back.
func (s *sequencer) fence(ctx context.Context, step string) error {
	return s.with(ctx, func() error {
		return s.append(ctx, func() (*Chunk, error) {
			if s.closed {
				return nil, nil //nolint:nilnil // nothing is to be stored
			}
			return s.marker(step), nil
		})
	})
}

// startOver tells readers from which index on chunks come anew: those that they may have from there are not known here.
func (s *sequencer) startOver(ctx context.Context) error {
	return s.append(ctx, func() (*Chunk, error) {
		if !s.lost {
			return nil, nil //nolint:nilnil // the end of the stream was found after all
		}
		return s.marker("expired"), nil
	})
}

// inherit puts a marker on top of what the run before has written, unless this one has begun to write.
func (s *sequencer) inherit(ctx context.Context) error {
	return s.with(ctx, func() error {
		return s.append(ctx, func() (*Chunk, error) {
			if !s.others {
				return nil, nil //nolint:nilnil // nothing is to be stored
			}
			return s.marker("begin"), nil
		})
	})
}

// marker makes a rewind to where the stream is.
func (s *sequencer) marker(by string) *Chunk {
	return s.chunk(ChunkRewind, by+"/rewind-"+strconv.FormatUint(s.last, 10))
}

// emit stores a chunk of run code, or with data nil the end, unless that was done before. at is where the log has it.
func (s *sequencer) emit(ctx context.Context, at logPlace, data json.RawMessage) error {
	return s.with(ctx, func() error {
		return s.append(ctx, func() (*Chunk, error) {
			if s.closed || !parsePlace(s.state.Emitted).before(at) {
				return nil, nil //nolint:nilnil // nothing is to be stored
			}
			c := s.chunk(ChunkData, at.String())
			c.Data, c.Writer.Emitted = data, at.String()
			if data == nil {
				c.Kind, c.TTL = ChunkEnd, 0 // who comes later than all chunks are kept still sees the end
			}
			return c, nil
		})
	})
}

// chunk makes the next message, with the steps that are still in progress.
func (s *sequencer) chunk(kind ChunkKind, origin string) *Chunk {
	w := s.state
	w.Epoch, w.Origin, w.Incarnation = s.run.part.claim.Epoch, origin, s.run.streams.incarnation()
	w.Open = slices.DeleteFunc(slices.Clone(w.Open), func(o OpenStep) bool { return !s.run.streams.stepOpen(o.ID) })
	return &Chunk{Address: s.run.addr, Stream: s.def.name, Kind: kind, Index: s.next, Writer: w, TTL: s.def.keep}
}

func (s *sequencer) open(step string) int {
	return slices.IndexFunc(s.state.Open, func(o OpenStep) bool { return o.ID == step })
}

// append stores what next makes of the state. After a conflict, or when the fate of a chunk is unknown, the stream's end
// is read again: the chunk is there, or it is made anew from what is.
func (s *sequencer) append(ctx context.Context, next func() (*Chunk, error)) error {
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		c, err := next()
		if c == nil || err != nil {
			return err
		}
		if _, err := s.run.host.trust.wait(ctx); err != nil {
			return context.Cause(ctx)
		}
		seq, err := s.run.host.cfg.Outputs.Append(ctx, c, s.last)
		if err == nil {
			c.Seq = seq
			s.take(c)
			return nil
		}
		if errors.Is(err, ErrTooLarge) || errors.Is(err, ErrInvalid) {
			return Terminal(fmt.Errorf("write to stream %s: %w", s.def.name, err))
		}
		if err := s.lookUp(ctx); err != nil {
			return err
		}
		if s.state.Origin == c.Writer.Origin && s.state.Epoch == c.Writer.Epoch && s.state.Incarnation == c.Writer.Incarnation {
			return nil
		}
		if err := pause(ctx, wait); err != nil {
			return context.Cause(ctx)
		}
	}
}

// lookUp reads the end of the stream again, as often as it takes.
func (s *sequencer) lookUp(ctx context.Context) error {
	s.loaded = false
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		if err := s.load(ctx); err == nil || errors.Is(err, errLeaseLost) {
			return err
		}
		if pause(ctx, wait) != nil {
			return context.Cause(ctx)
		}
	}
}
