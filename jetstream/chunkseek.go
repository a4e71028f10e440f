package jetstream

import (
	"context"
	"errors"

	"github.com/perdure/perdure/actor"
)

// begin returns the sequence after which a reading from index from on begins, from < 0 counting from the end, with
// that index. c is the stream's last message, end that of the last one at all.
func begin(ctx context.Context, g getter, subject string, c *actor.Chunk, end uint64, from int64) (after, index uint64, err error) {
	if c == nil { // nothing but foreign messages
		return end, uint64(max(from, 0)), nil
	}
	index = uint64(from)
	if from < 0 {
		if index = reach(c); uint64(-from) < index {
			index -= uint64(-from)
		} else {
			index = 0
		}
	}
	if index == 0 {
		return 0, 0, nil
	}
	after, err = seek(ctx, g, subject, c, index)
	return after, index, err
}

// reach is how many chunks survive up to message c, if it is the stream's last.
func reach(c *actor.Chunk) uint64 {
	if c.Kind == actor.ChunkData {
		return c.Index + 1
	}
	return c.Index
}

// seek finds, by halving the sequences up to last, a place after which every chunk that survives is stored from
// index on. Indexes go up but for rewinds, which make several places where the index is reached. Any of them will do:
// the last message at or before the index is the surviving chunk itself, so that every other is earlier, and a reader
// that begins earlier is rewound like one that was there all along. For the same reason a replica that lags does no
// harm, and neither do messages that have expired.
func seek(ctx context.Context, g getter, subject string, last *actor.Chunk, index uint64) (after uint64, err error) {
	if last.Index <= index {
		return last.Seq - 1, nil
	}
	// Message low is at or before the index, or it is 0; the first message from high on is beyond the index.
	low, high := uint64(0), last.Seq
	for probe := uint64(1); low+1 < high; probe = low + (high-low)/2 {
		c, err := nextChunk(ctx, g, subject, last, probe, high)
		switch {
		case err == nil && c.Writer.Incarnation != last.Writer.Incarnation: // of a run before under this key
			low = c.Seq
		case errors.Is(err, errNoMessage) || err == nil && c.Index > index:
			if high = probe; probe <= 1 {
				return 0, nil
			}
		case err != nil:
			return 0, err
		case c.Index == index:
			return c.Seq - 1, nil
		default:
			low = c.Seq
		}
	}
	return max(low, 1) - 1, nil
}

// nextChunk returns the first message of ours from sequence from on and below end. Error: errNoMessage.
func nextChunk(ctx context.Context, g getter, subject string, of *actor.Chunk, from, end uint64) (*actor.Chunk, error) {
	for from < end {
		m, err := g.direct(ctx, getRequest{Seq: from, NextFor: subject})
		if err != nil {
			return nil, err
		}
		if m.Seq >= end {
			break
		}
		if c, ok := parseChunk(of.Address, of.Stream, m); ok {
			return c, nil
		}
		from = m.Seq + 1
	}
	return nil, errNoMessage
}
