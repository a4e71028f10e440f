package actor

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// crier is a workflow that emits what it is told.
func crier(words *Stream[string]) *Workflow[None, None] {
	say := NewHook[string, string]("say")
	return NewWorkflow("crier", func(ctx Context, _ None) (None, error) {
		for call, err := range say.Create(ctx).All(ctx) {
			if err != nil {
				return None{}, err
			}
			if err := words.Emit(ctx, call.Payload); err != nil {
				return None{}, err
			}
			call.Reply(ctx, "ok")
		}
		return None{}, nil
	}, say, words)
}

// TestRunStreams_Unloaded: while nothing of a run is in memory, a chunk that run code emitted is stored. It still says
// what the step in progress has written: run again, that must not write it twice.
func TestRunStreams_Unloaded(t *testing.T) {
	w := newWorld(t)
	out := &memoryOutputs{world: w}
	held, gate := make(chan struct{}), make(chan struct{})
	var once atomic.Bool
	late := func(c *Chunk) bool { // the first try of the emitted chunk
		return !strings.HasPrefix(c.Writer.Origin, "step-") && c.Kind == ChunkData && once.CompareAndSwap(false, true)
	}
	words, say := NewStream[string]("default"), NewHook[string, string]("say")
	ran := make(chan struct{}, 2)
	var attempts atomic.Int32
	speak := NewStep("speak", func(ctx context.Context, _ None) (None, error) {
		first := attempts.Add(1) == 1
		ran <- struct{}{}
		for _, s := range []string{"s0", "s1", "s2"} {
			if err := words.Write(ctx, s); err != nil {
				return None{}, err
			}
		}
		if first {
			<-ctx.Done()
			return None{}, ctx.Err()
		}
		return None{}, nil
	})
	def := NewWorkflow("speaker", func(ctx Context, _ None) (None, error) {
		f := speak.Start(ctx, None{})
		for call, err := range say.Create(ctx).All(ctx) {
			if err != nil {
				return None{}, err
			}
			switch call.Payload {
			case "emit":
				if err := words.Emit(ctx, "emitted"); err != nil {
					return None{}, err
				}
			case "end":
				_, err := f.Await(ctx)
				call.Reply(ctx, "ok")
				return None{}, err
			}
			call.Reply(ctx, "ok")
		}
		return None{}, nil
	}, say, words)
	h := w.host("a", func(c *Config) { c.Outputs = refusing{out, late, held, gate} }, def)
	w.own(h, 1, Checkpoint{})
	w.result(ask(h, def.At("k"), "$start", "", "null"))
	w.until("three chunks", func() bool { got, _ := out.read(); return len(got) == 3 })
	<-ran
	w.result(ask(h, def.At("k"), "say", "", `"emit"`))
	<-held
	w.change(func() { w.onAppend = func(*Entry) (bool, error) { return false, ErrAppendRefused } })
	if o := w.answer(ask(h, def.At("k"), "say", "", `"nothing"`)); o.Err == nil || o.Err.Code != CodeUnavailable {
		t.Fatalf("while the log takes no records: %+v", o)
	}
	close(gate)
	w.until("the emitted chunk", func() bool { got, _ := out.read(); return len(got) == 4 })
	w.change(func() { w.onAppend = nil })
	<-ran
	w.result(ask(h, def.At("k"), "say", "", `"end"`))
	out.ends(t, `0:"s0"`, `1:"s1"`, `2:"s2"`, `3:"emitted"`)
}

// refusing refuses one chunk, once gate is closed.
type refusing struct {
	*memoryOutputs
	refuse     func(*Chunk) bool
	held, gate chan struct{}
}

func (r refusing) Append(ctx context.Context, c *Chunk, expected uint64) (uint64, error) {
	if r.refuse(c) {
		close(r.held)
		<-r.gate
		return 0, ErrAppendRefused
	}
	return r.memoryOutputs.Append(ctx, c, expected)
}

// TestRunStreams_Expired: an emitted chunk was stored, and has expired, when the next node emits it again. Who has read
// it is told first that it comes anew.
func TestRunStreams_Expired(t *testing.T) {
	w := newWorld(t)
	out := &memoryOutputs{world: w}
	def := crier(NewStream[string]("default", KeepFor(time.Second)))
	h := w.host("a", func(c *Config) { c.Outputs = out }, def)
	w.own(h, 1, Checkpoint{})
	w.result(ask(h, def.At("k"), "say", "", `"x"`))
	w.until("a chunk", func() bool { got, _ := out.read(); return len(got) == 1 })
	h.Close() // no checkpoint says that it is out
	out.mu.Lock()
	out.chunks = nil
	out.mu.Unlock()
	next := w.host("b", func(c *Config) { c.Outputs = out }, def)
	w.own(next, 2, Checkpoint{})
	w.result(ask(next, def.At("k"), "say", "", `"y"`))
	w.until("the other chunk", func() bool { got, _ := out.read(); return slices.Contains(got, `1:"y"`) })
	out.mu.Lock()
	defer out.mu.Unlock()
	if first := out.chunks[0]; first.Kind != ChunkRewind || first.Index != 0 {
		t.Errorf("the first chunk after it expired: %+v, want a rewind to 0", first)
	}
}
