package perdure_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/internal/natstest"
)

// counting is a workflow whose step writes 0…n-1 and fails once in the middle.
type counting struct {
	*actor.Workflow[actor.None, int]
	numbers *actor.Stream[int]
}

func newCounting(n int, rewind bool) counting {
	c := counting{numbers: actor.NewStream[int]("default")}
	count := actor.NewStep("count", func(ctx context.Context, n int) (int, error) {
		info, _ := actor.StepMetadata(ctx)
		if rewind {
			if err := c.numbers.Rewind(ctx); err != nil {
				return 0, err
			}
		}
		for i := range n {
			if i == 7*n/10 && info.Attempt == 1 {
				return 0, actor.RetryAfter(errors.New("cut"), time.Millisecond)
			}
			if err := c.numbers.Write(ctx, i); err != nil {
				return 0, err
			}
		}
		return n, nil
	})
	c.Workflow = actor.NewWorkflow("counting", func(ctx actor.Context, _ actor.None) (int, error) { return count.Run(ctx, n) }, c.numbers)
	return c
}

// read returns what a reader ends with that honours rewinds.
func (c counting) read(ctx context.Context, client actor.Client, from int) ([]int, error) {
	var got []int
	for v, err := range c.numbers.Read(ctx, client, c.At("a"), from) {
		var rewind *actor.RewindError
		switch {
		case errors.As(err, &rewind):
			got = got[:max(0, int(rewind.Index)-from)]
		case err != nil:
			return got, err
		default:
			got = append(got, v)
		}
	}
	return got, nil
}

func TestStream_readers(t *testing.T) {
	const n = 1000
	var want []int
	for i := range n {
		want = append(want, i)
	}
	for name, rewind := range map[string]bool{"repeats": false, "rewinds": true} {
		t.Run(name, func(t *testing.T) {
			def := newCounting(n, rewind)
			node := start(t, perdure.Config{NATS: []string{natstest.Server(t).ClientURL()}, Name: "a"}, def)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			early := make(chan []int, 1)
			failed := make(chan error, 1)
			go func() {
				got, err := def.read(ctx, node.Client(), 0)
				early <- got
				failed <- err
			}()
			if got, err := def.Execute(ctx, node.Client(), "a", actor.None{}); err != nil || got != n {
				t.Fatal(got, err)
			}
			if got := <-early; !slices.Equal(got, want) {
				t.Errorf("the reader that was there: %d values, %v", len(got), <-failed)
			}
			for _, from := range []int{0, 500, 999} {
				if got, err := def.read(ctx, node.Client(), from); err != nil || !slices.Equal(got, want[from:]) {
					t.Errorf("from %d: %d values, %v", from, len(got), err)
				}
			}
		})
	}
}
