package actor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"
)

// ErrStreamClosed is returned for a write to an output stream that was closed, or whose run has ended.
var ErrStreamClosed = errors.New("the output stream is closed")

// errNotInStep is returned where a step's context is needed.
var errNotInStep = errors.New("an output stream is written inside a step, or emitted to by run code")

// Stream is a named output stream of an object: steps write to it while they run, run code emits to it with the record,
// and anyone reads it, also while nobody runs.
type Stream[T any] struct {
	name string
	keep time.Duration
}

// StreamOption changes how a stream is kept.
type StreamOption func(*time.Duration)

// KeepFor keeps each chunk for d, at least one second; without it chunks are kept for ever.
func KeepFor(d time.Duration) StreamOption { return func(keep *time.Duration) { *keep = d } }

// NewStream names a stream whose chunks are Ts. The default name is "default".
func NewStream[T any](name string, opts ...StreamOption) *Stream[T] {
	s := &Stream[T]{name: name}
	for _, o := range opts {
		o(&s.keep)
	}
	return s
}

// streamDef is a declared stream.
type streamDef struct {
	name   string
	schema Schema
	keep   time.Duration
}

func (s *Stream[T]) declare(r *registry, t *typeDef) {
	if err := checkName(s.name); err != nil {
		r.problem("%s: stream %v", t.name, err)
	}
	if t.streams[s.name] != nil {
		r.problem("%s: stream %s is declared twice", t.name, s.name)
	}
	if s.keep != 0 && s.keep < time.Second {
		r.problem("%s: stream %s: KeepFor %s is less than a second", t.name, s.name, s.keep)
	}
	t.streams[s.name] = &streamDef{s.name, schemaOf[T](r, t.name+" stream "+s.name), s.keep}
}

// Write stores a chunk from inside a step. It blocks until the chunk is stored, and visible. A step that is tried again
// is matched by position: its k-th write is dropped when it is stored already. A step that cannot repeat itself asks
// [Stream.Written] and goes on from there, or calls [Stream.Rewind].
// Errors: [ErrStreamClosed], [ErrTooLarge], [ErrLimit] when too many steps in progress have written, ctx's when the step
// was cancelled.
func (s *Stream[T]) Write(ctx context.Context, v T) error {
	w, err := s.writer(ctx)
	if err != nil {
		return err
	}
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write to stream %s: encode chunk: %w", s.name, err)
	}
	return w.write(ctx, s.name, data)
}

// Written returns how many chunks of this step are stored and not rewound, earlier attempts' included, and moves the
// step's position behind them: the next write follows. It leaves nothing of an earlier attempt's on its way.
func (s *Stream[T]) Written(ctx context.Context) (int, error) {
	w, err := s.writer(ctx)
	if err != nil {
		return 0, err
	}
	return w.written(ctx, s.name)
}

// Rewind makes readers forget what this step has written: its next write has the index of its first one again.
// It fails when somebody else has written in between.
func (s *Stream[T]) Rewind(ctx context.Context) error {
	w, err := s.writer(ctx)
	if err != nil {
		return err
	}
	return w.rewind(ctx, s.name)
}

func (s *Stream[T]) writer(ctx context.Context) (*stepWriter, error) {
	w, ok := ctx.Value(stepWriterKey{}).(*stepWriter)
	if !ok {
		return nil, fmt.Errorf("write to stream %s: %w", s.name, errNotInStep)
	}
	if w.run.typ.streams[s.name] == nil {
		return nil, Terminal(fmt.Errorf("stream %q is not declared: add it to the definition of %s", s.name, w.run.typ.name))
	}
	return w, nil
}

// Emit adds a chunk from run code or a method: it is part of the record, and visible once that is durable, exactly once.
// A method that fails has emitted nothing.
// Errors: [ErrStreamClosed] after [Stream.Close], [ErrTooLarge].
func (s *Stream[T]) Emit(ctx Context, v T) error {
	x := ctx.scope().x
	x.declared(s.name)
	data, failure := encode("a chunk of stream "+s.name, v)
	switch {
	case failure != nil:
		return failure
	case len(data) > x.limit:
		return tooLargeChunk(len(data), x.limit)
	case x.streamClosed(s.name):
		return fmt.Errorf("emit to stream %s: %w", s.name, ErrStreamClosed)
	}
	x.output(Event{Type: Output, Name: s.name, Payload: data})
	return nil
}

// Close ends the stream: its readers see the end. A run's end closes its streams by itself.
func (s *Stream[T]) Close(ctx Context) {
	x := ctx.scope().x
	x.declared(s.name)
	if !x.streamClosed(s.name) {
		x.output(Event{Type: Output, Name: s.name, End: true})
	}
}

// output records what run code does to a stream. What a method does is part of its outcome: one that fails leaves no
// trace in its streams, as it leaves none in the state.
func (x *execution) output(ev Event) {
	x.body.alive()
	if x.current != nil {
		x.outputs = append(x.outputs, ev)
		return
	}
	x.do(ev)
	x.closed[ev.Name] = ev.End
}

// flushOutputs records what a method that succeeds did to its streams.
func (x *execution) flushOutputs() {
	for _, ev := range x.outputs {
		x.do(ev)
		x.closed[ev.Name] = ev.End
	}
	x.outputs = nil
}

func (x *execution) streamClosed(name string) bool {
	return x.closed[name] || slices.ContainsFunc(x.outputs, func(ev Event) bool { return ev.End && ev.Name == name })
}

func (x *execution) declared(stream string) {
	if x.typ.streams[stream] == nil {
		x.halt(Errorf(CodePanic, "stream %q is not declared: add it to the definition of %s", stream, x.typ.name))
	}
}

func tooLargeChunk(n, limit int) *Error {
	return Errorf(CodeTooLarge, "the chunk has %d bytes; at most %d are allowed", n, limit)
}

// RewindError tells a reader of values that a step could not repeat itself: what came from Index on is to be forgotten.
type RewindError struct{ Index uint64 }

func (e *RewindError) Error() string { return fmt.Sprintf("the stream goes back to index %d", e.Index) }

// Read yields the stream's values from index from on, in order, and follows it live until its end, or until ctx ends.
// from < 0 counts from the end. It resumes by itself over reconnects and moves of the object.
// A [*RewindError] says that what came from its Index on is to be forgotten; the reading goes on after it. Every other
// error is the last thing yielded.
func (s *Stream[T]) Read(ctx context.Context, c Client, addr Address, from int) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for chunk, err := range c.Chunks(ctx, addr, s.name, int64(from), true) {
			var v T
			if err == nil && chunk.Kind == ChunkData {
				err = json.Unmarshal(chunk.Data, &v)
			}
			switch {
			case err != nil:
				yield(v, err)
				return
			case chunk.Kind == ChunkEnd:
				return
			case chunk.Kind == ChunkRewind:
				err = &RewindError{chunk.Index}
			}
			if !yield(v, err) {
				return
			}
		}
	}
}
