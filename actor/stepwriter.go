package actor

import (
	"context"
	"sync"
)

type stepWriterKey struct{}

// stepWriter writes one attempt's chunks. Before its first one, the record that shows the step's start is durable: what
// a step writes always has its cause in the log.
type stepWriter struct {
	run  *run
	step string
	body *body

	mu       sync.Mutex
	ordinals map[string]uint64 // position of this attempt's next chunk, by stream
	doubtful bool              // earlier attempts may have chunks on their way
	fenced   map[string]bool   // streams in which those cannot be stored any more
}

func newStepWriter(r *run, s *stepRun, b *body) *stepWriter {
	return &stepWriter{run: r, step: s.id, body: b, ordinals: map[string]uint64{}, doubtful: s.ran, fenced: map[string]bool{}}
}

func (w *stepWriter) write(ctx context.Context, stream string, data []byte) error {
	if limit := w.run.host.cfg.MaxPayload; len(data) > limit {
		return Terminal(tooLargeChunk(len(data), limit))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.body.announce(ctx); err != nil {
		return err
	}
	if err := w.run.sequencer(stream).write(ctx, w.step, w.ordinals[stream], data); err != nil {
		return err
	}
	w.ordinals[stream]++
	return nil
}

func (w *stepWriter) written(ctx context.Context, stream string) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.fence(ctx, stream); err != nil {
		return 0, err
	}
	n, err := w.run.sequencer(stream).written(ctx, w.step)
	if err != nil {
		return 0, err
	}
	w.ordinals[stream] = n
	return int(n), nil
}

func (w *stepWriter) rewind(ctx context.Context, stream string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.fence(ctx, stream); err != nil {
		return err
	}
	if err := w.run.sequencer(stream).rewind(ctx, w.step); err != nil {
		return err
	}
	w.ordinals[stream] = 0
	return nil
}

// fence shuts out the attempts before this one. A chunk of theirs that is stored later than this attempt looks would be
// taken for its own. Writing needs no fence: by position, a chunk is the same whichever attempt wrote it.
func (w *stepWriter) fence(ctx context.Context, stream string) error {
	if !w.doubtful || w.fenced[stream] {
		return nil
	}
	if err := w.body.announce(ctx); err != nil {
		return err
	}
	if err := w.run.sequencer(stream).fence(ctx, w.step); err != nil {
		return err
	}
	w.fenced[stream] = true
	return nil
}
