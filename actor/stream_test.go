package actor

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"testing"
)

// memoryOutputs keeps output streams as a server does.
type memoryOutputs struct {
	mu     sync.Mutex
	chunks []Chunk
	fail   func(*Chunk) (stored bool, err error)
	world  *world
}

func (o *memoryOutputs) Append(_ context.Context, c *Chunk, expected uint64) (uint64, error) {
	defer o.world.change(func() {})
	o.mu.Lock()
	defer o.mu.Unlock()
	var last uint64
	for _, old := range o.chunks {
		if old.Address == c.Address && old.Stream == c.Stream {
			last = old.Seq
		}
	}
	if last != expected {
		return 0, ErrAppendConflict
	}
	stored, err := true, error(nil)
	if o.fail != nil {
		stored, err = o.fail(c)
	}
	if stored {
		c := *c
		c.Seq = uint64(len(o.chunks) + 1)
		o.chunks = append(o.chunks, c)
	}
	return uint64(len(o.chunks)), err
}

func (o *memoryOutputs) Last(_ context.Context, addr Address, stream string) (*Chunk, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, c := range slices.Backward(o.chunks) {
		if c.Address == addr && c.Stream == stream {
			return &c, nil
		}
	}
	return nil, ErrNoRecord
}

// read returns what a reader has in the end that honours rewinds: "index:data", and whether it saw the end.
func (o *memoryOutputs) read() (out []string, ended bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, c := range o.chunks {
		switch c.Kind {
		case ChunkRewind:
			out = out[:c.Index]
		case ChunkEnd:
			ended = true
		default:
			out = append(out, fmt.Sprintf("%d:%s", c.Index, c.Data))
		}
	}
	return out, ended
}

func want(n int) []string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf("%d:%d", i, i))
	}
	return out
}

// speaker is a workflow whose step writes n numbers and fails once at the failAt-th.
func speaker(n, failAt int, rewind bool) *Workflow[None, None] {
	numbers, say := NewStream[int]("default"), NewHook[int, int]("say")
	speak := NewStep("speak", func(ctx context.Context, n int) (int, error) {
		info, _ := StepMetadata(ctx)
		if rewind {
			if err := numbers.Rewind(ctx); err != nil {
				return 0, err
			}
		}
		for i := range n {
			if i == failAt && info.Attempt == 1 {
				return 0, RetryAfter(errors.New("cut"), 0)
			}
			if err := numbers.Write(ctx, i); err != nil {
				return 0, err
			}
		}
		return n, nil
	})
	return NewWorkflow("speaker", func(ctx Context, _ None) (None, error) {
		call, err := say.Create(ctx).Await(ctx)
		if err != nil {
			return None{}, err
		}
		got, err := speak.Run(ctx, n)
		if err != nil {
			return None{}, err
		}
		if err := numbers.Emit(ctx, n); err != nil {
			return None{}, err
		}
		call.Reply(ctx, got)
		return None{}, nil
	}, say, numbers)
}

func TestStream_retriedStep(t *testing.T) {
	for name, rewind := range map[string]bool{"repeats": false, "rewinds": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			out := &memoryOutputs{world: w}
			def := speaker(1000, 700, rewind)
			h := w.host("a", func(c *Config) { c.Outputs = out }, def)
			w.own(h, 1, Checkpoint{})
			w.result(ask(h, def.At("k"), "say", "", "1"))
			w.until("the end", func() bool { _, ended := out.read(); return ended })
			got, _ := out.read()
			if !slices.Equal(got, want(1001)) {
				t.Errorf("%d chunks: %v", len(got), got)
			}
		})
	}
}

func TestStream_unknownFate(t *testing.T) {
	w := newWorld(t)
	out := &memoryOutputs{world: w}
	n := 0
	out.fail = func(*Chunk) (bool, error) {
		if n++; n%5 == 0 {
			return n%2 == 0, ErrAppendUnknown
		}
		return true, nil
	}
	def := speaker(50, 30, false)
	h := w.host("a", func(c *Config) { c.Outputs = out }, def)
	w.own(h, 1, Checkpoint{})
	w.result(ask(h, def.At("k"), "say", "", "1"))
	w.until("the end", func() bool { _, ended := out.read(); return ended })
	if got, _ := out.read(); !slices.Equal(got, want(51)) {
		t.Errorf("%d chunks: %v", len(got), got)
	}
}

// given is a client that reads these chunks.
type given struct {
	Client
	chunks []Chunk
}

func (g given) Chunks(context.Context, Address, string, int64, bool) iter.Seq2[*Chunk, error] {
	return func(yield func(*Chunk, error) bool) {
		for i := range g.chunks {
			if !yield(&g.chunks[i], nil) {
				return
			}
		}
	}
}

// TestStream_Read: reading goes on after a rewind, and ends with a chunk that is no value.
func TestStream_Read(t *testing.T) {
	c := given{chunks: []Chunk{{Data: []byte("1")}, {Kind: ChunkRewind}, {Data: []byte("2")}, {Index: 1, Data: []byte(`"x"`)}, {Index: 2, Data: []byte("3")}}}
	var got []string
	for v, err := range NewStream[int]("default").Read(t.Context(), c, Address{"a", "b"}, 0) {
		got = append(got, fmt.Sprint(v, err))
	}
	want := []string{"1 <nil>", "0 the stream goes back to index 0", "2 <nil>", "0 json: cannot unmarshal string into Go value of type int"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestFuture_cancel(t *testing.T) {
	w := newWorld(t)
	ended := make(chan error, 1)
	stop := NewHook[None, string]("stop")
	slow := NewStep("slow", func(ctx context.Context, _ None) (None, error) {
		<-ctx.Done()
		ended <- context.Cause(ctx)
		return None{}, ctx.Err()
	})
	def := NewWorkflow("racer", func(ctx Context, _ None) (None, error) {
		for call, err := range stop.Create(ctx).All(ctx) {
			if err != nil {
				return None{}, err
			}
			f := slow.Start(ctx, None{})
			call.Reply(ctx, "started")
			next, err := stop.Create(ctx).Await(ctx)
			if err != nil {
				return None{}, err
			}
			f.Cancel(ctx)
			_, err = f.Await(ctx)
			next.Reply(ctx, fmt.Sprint(errors.Is(err, ErrCancelled)))
		}
		return None{}, nil
	}, stop)
	h := w.host("a", nil, def)
	w.own(h, 1, Checkpoint{})
	w.result(ask(h, def.At("k"), "stop", "", "null"))
	if got := w.result(ask(h, def.At("k"), "stop", "", "null")); got != `"true"` {
		t.Errorf("await after cancel: %s", got)
	}
	if err := <-ended; !errors.Is(err, errStepCancelled) {
		t.Errorf("the body's context ended for %v", err)
	}
	h.Close()
	next := w.host("b", nil, def)
	w.own(next, 2, Checkpoint{})
	if got := w.result(ask(next, def.At("k"), "stop", "", "null")); got != `"started"` {
		t.Errorf("replayed: %s", got)
	}
}
