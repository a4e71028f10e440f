package actor

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/perdure/perdure/internal/bubble"
)

// oneCall is a workflow that answers one call with what its step returns.
func oneCall(step *Step[None, string], stream Declaration) *Workflow[None, None] {
	say := NewHook[None, string]("say")
	return NewWorkflow("speaker", func(ctx Context, _ None) (None, error) {
		call, err := say.Create(ctx).Await(ctx)
		if err != nil {
			return None{}, err
		}
		got, err := step.Run(ctx, None{})
		if err != nil {
			return None{}, err
		}
		call.Reply(ctx, got)
		return None{}, nil
	}, say, stream)
}

// ends waits for the stream's end and compares what a reader has then.
func (o *memoryOutputs) ends(t *testing.T, want ...string) {
	t.Helper()
	o.world.until("the end of the stream", func() bool { _, ended := o.read(); return ended })
	if got, _ := o.read(); !slices.Equal(got, want) {
		t.Errorf("a reader has %v, want %v", got, want)
	}
}

// TestStepWriter_Written: a step that asks what is written goes on from there.
func TestStepWriter_Written(t *testing.T) {
	w := newWorld(t)
	out := &memoryOutputs{world: w}
	numbers := NewStream[int]("default")
	speak := NewStep("speak", func(ctx context.Context, _ None) (string, error) {
		info, _ := StepMetadata(ctx)
		from, err := numbers.Written(ctx)
		if err != nil {
			return "", err
		}
		for i := from; i < 10; i++ {
			if i == 6 && info.Attempt == 1 {
				return "", RetryAfter(errors.New("cut"), 0)
			}
			if err := numbers.Write(ctx, i); err != nil {
				return "", err
			}
		}
		return "ok", nil
	})
	def := oneCall(speak, numbers)
	h := w.host("a", func(c *Config) { c.Outputs = out }, def)
	w.own(h, 1, Checkpoint{})
	w.result(ask(h, def.At("k"), "say", "", "null"))
	out.ends(t, want(10)...)
}

// stalled is a network on which the first chunk that hold accepts stays until release is closed; its writer hears
// nothing of it.
type stalled struct {
	*memoryOutputs
	hold                  func(*Chunk) bool
	held, release, landed chan struct{}
}

func newStalled(out *memoryOutputs, hold func(*Chunk) bool) *stalled {
	return &stalled{out, hold, make(chan struct{}), make(chan struct{}), make(chan struct{})}
}

func (s *stalled) Append(ctx context.Context, c *Chunk, expected uint64) (uint64, error) {
	if !s.hold(c) {
		return s.memoryOutputs.Append(ctx, c, expected)
	}
	close(s.held)
	late := *c
	go func() { // what is on its way arrives, whoever waits for it
		defer close(s.landed)
		<-s.release
		_, _ = s.memoryOutputs.Append(context.WithoutCancel(ctx), &late, expected)
	}()
	select {
	case <-s.landed:
	case <-ctx.Done():
	}
	return 0, ErrAppendUnknown
}

// voices is a workflow whose step cannot repeat itself: each attempt has a voice of its own, takes back what was
// written, and speaks. The second one says how much that was, and waits in between.
func voices(retry RetryPolicy) (def *Workflow[None, None], asked chan int, goOn chan struct{}) {
	words := NewStream[string]("default")
	asked, goOn = make(chan int, 1), make(chan struct{})
	attempts := make(chan string, 2)
	attempts <- "a"
	attempts <- "b"
	speak := NewStep("speak", func(ctx context.Context, _ None) (string, error) {
		voice := <-attempts
		written, err := words.Written(ctx)
		if err == nil && written > 0 {
			err = words.Rewind(ctx)
		}
		if err != nil {
			return "", err
		}
		if voice == "b" {
			asked <- written
			<-goOn
		}
		for _, word := range []string{"0", "1", "2"} {
			if err := words.Write(ctx, voice+word); err != nil {
				return "", err
			}
		}
		return voice, nil
	}, Retry(retry))
	return oneCall(speak, words), asked, goOn
}

// TestStepWriter_LateChunk: a chunk of an attempt that is over arrives after the next attempt has asked what is written.
func TestStepWriter_LateChunk(t *testing.T) {
	check := func(t *testing.T, out *memoryOutputs, slow *stalled, asked <-chan int, goOn chan<- struct{}) {
		t.Helper()
		select {
		case n := <-asked:
			if n != 0 {
				t.Errorf("%d chunks are written, want none yet", n)
			}
		case <-time.After(out.world.limit):
			t.Fatal("the second attempt asks for nothing")
		}
		close(slow.release)
		<-slow.landed
		close(goOn)
		out.ends(t, `0:"b0"`, `1:"b1"`, `2:"b2"`)
	}
	t.Run("of a paused node", func(t *testing.T) {
		w := newWorld(t)
		out := &memoryOutputs{world: w}
		slow := newStalled(out, func(*Chunk) bool { return true })
		def, asked, goOn := voices(RetryPolicy{})
		a := w.host("a", func(c *Config) { c.Outputs = slow }, def)
		w.own(a, 1, Checkpoint{})
		ask(a, def.At("k"), "say", "", "null")
		<-slow.held
		a.SetTrusted(false)
		w.change(func() { w.issued = func() (uint64, error) { return 2, nil } })
		b := w.host("b", func(c *Config) { c.Outputs = out }, def)
		w.own(b, 2, Checkpoint{})
		check(t, out, slow, asked, goOn)
	})
	t.Run("of an attempt that timed out", func(t *testing.T) {
		bubble.Run(t, func(t *testing.T) { // the second attempt must not time out
			w := newWorld(t)
			out := &memoryOutputs{world: w}
			first := true
			slow := newStalled(out, func(*Chunk) bool { held := first; first = false; return held })
			def, asked, goOn := voices(RetryPolicy{Timeout: 300 * time.Millisecond, Backoff: time.Millisecond})
			h := w.host("a", func(c *Config) { c.Outputs = slow }, def)
			w.own(h, 1, Checkpoint{})
			ask(h, def.At("k"), "say", "", "null")
			check(t, out, slow, asked, goOn)
		})
	})
}

// TestStepWriter_RewindAfterOther: an attempt takes back what it wrote, run code emits, and the next attempt writes
// behind that and takes back its own: nobody has written since.
func TestStepWriter_RewindAfterOther(t *testing.T) {
	w := newWorld(t)
	out := &memoryOutputs{world: w}
	words, say := NewStream[string]("default"), NewHook[string, string]("say")
	emitted := make(chan struct{})
	speak := NewStep("speak", func(ctx context.Context, _ None) (string, error) {
		info, _ := StepMetadata(ctx)
		if info.Attempt == 2 {
			<-emitted
		}
		err := words.Write(ctx, "half")
		if err == nil {
			err = words.Rewind(ctx)
		}
		if err == nil && info.Attempt == 1 {
			err = RetryAfter(errors.New("cut"), time.Millisecond)
		}
		if err != nil {
			return "", err
		}
		return "ok", words.Write(ctx, "whole")
	})
	def := NewWorkflow("speaker", func(ctx Context, _ None) (None, error) {
		f := speak.Start(ctx, None{})
		for call, err := range say.Create(ctx).All(ctx) {
			if err != nil {
				return None{}, err
			}
			if call.Payload == "emit" {
				call.Reply(ctx, "ok")
				if err := words.Emit(ctx, "emitted"); err != nil {
					return None{}, err
				}
				continue
			}
			got, err := f.Await(ctx)
			if err != nil {
				got = err.Error()
			}
			call.Reply(ctx, got)
			return None{}, nil
		}
		return None{}, nil
	}, say, words)
	h := w.host("a", func(c *Config) { c.Outputs = out }, def)
	w.own(h, 1, Checkpoint{})
	w.result(ask(h, def.At("k"), "$start", "", "null"))
	w.until("the first attempt is over", func() bool { return w.count(StepRetrying) == 1 })
	w.result(ask(h, def.At("k"), "say", "", `"emit"`))
	w.until("the emitted chunk", func() bool { got, _ := out.read(); return slices.Contains(got, `0:"emitted"`) })
	close(emitted)
	if got := w.result(ask(h, def.At("k"), "say", "", `"end"`)); got != `"ok"` {
		t.Errorf("the step: %s", got)
	}
	out.ends(t, `0:"emitted"`, `1:"whole"`)
}
