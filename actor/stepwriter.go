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
	ordinals map[string]uint64 // chunks that this attempt has written, by stream
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
	n, err := w.run.sequencer(stream).written(ctx, w.step)
	return int(n), err
}

func (w *stepWriter) rewind(ctx context.Context, stream string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.body.announce(ctx); err != nil {
		return err
	}
	if err := w.run.sequencer(stream).rewind(ctx, w.step); err != nil {
		return err
	}
	w.ordinals[stream] = 0
	return nil
}
