package conformance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/test/harness"
)

const kept = 5 * time.Second // long enough for a slow reader, short enough to wait for

// awaitExpired waits until no chunk is kept any more.
func awaitExpired(t *testing.T, nc *nats.Conn) {
	t.Helper()
	harness.Eventually(t, time.Minute, func() string {
		if n := harness.State(t, nc, "PERDURE_OUT").Msgs; n > 0 {
			return fmt.Sprintf("%d chunks are kept", n)
		}
		return ""
	})
}

// TestStreams_KeepFor lets chunks expire: the indexes of those that follow go on, over restarts too.
func TestStreams_KeepFor(t *testing.T) {
	for _, do := range []string{"write", "emit"} {
		t.Run(do, func(t *testing.T) {
			t.Parallel()
			m := newMouth(actor.KeepFor(kept))
			n := harness.Run(t, harness.Config(t), m)
			for next := 0; next < 9; next += 3 {
				if next == 6 { // the third time another node goes on
					n.Again(m)
				}
				if got := m.tell(t, n, order{Do: do, N: 3}); got != "ok" {
					t.Fatal(got)
				}
				var want []string
				for i := range 3 {
					want = append(want, fmt.Sprint(next+i, " ", do[:1], i))
				}
				awaitChunks(t, n.Client(), m.At("a"), want...)
				if got := chunks(t, n.Client(), m.At("a"), int64(next+1)); !slices.Equal(got, want[1:]) {
					t.Errorf("from %d: %q", next+1, got)
				}
				awaitExpired(t, n.Conn())
			}
		})
	}
}

// TestStreams_KeepForWithinStep has chunks of a step expire while it is still writing, and the step repeat itself.
func TestStreams_KeepForWithinStep(t *testing.T) {
	t.Parallel()
	stream := actor.NewStream[int]("default", actor.KeepFor(kept))
	gone := make(chan struct{})
	step := actor.NewStep("write", func(ctx context.Context, _ actor.None) (actor.None, error) {
		info, _ := actor.StepMetadata(ctx)
		for i := range 6 {
			if i == 3 && info.Attempt == 1 {
				select {
				case <-gone:
				case <-ctx.Done():
					return actor.None{}, ctx.Err()
				}
			}
			if i == 5 && info.Attempt == 1 {
				return actor.None{}, actor.RetryAfter(errors.New("cut"), time.Millisecond)
			}
			if err := stream.Write(ctx, i); err != nil {
				return actor.None{}, err
			}
		}
		return actor.None{}, nil
	})
	def := actor.NewWorkflow("slowly", func(ctx actor.Context, _ actor.None) (actor.None, error) {
		_, err := step.Run(ctx, actor.None{})
		return actor.None{}, err
	}, stream)
	n := harness.Run(t, harness.Config(t), def)
	if err := def.Start(t.Context(), n.Client(), "a", actor.None{}); err != nil {
		t.Fatal(err)
	}
	awaitChunks(t, n.Client(), def.At("a"), "0 0", "1 1", "2 2")
	awaitExpired(t, n.Conn())
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	read := make(chan []string, 1)
	go func() { // it reads before the first of them expires
		var all []string
		for c, err := range n.Client().Chunks(ctx, def.At("a"), "default", 0, true) {
			if err != nil {
				t.Errorf("read: %v after %d chunks", err, len(all))
				break
			}
			all = append(all, shown(c))
		}
		read <- all
	}()
	close(gone)
	if got, want := <-read, []string{"3 3", "4 4", "5 5", "6 end"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestStreams_KeepForRestart: chunks of a step expire while it works on, and the node ends. Nothing tells the next one
// how far the step has written: who has read it is told that its chunks come anew.
func TestStreams_KeepForRestart(t *testing.T) {
	t.Parallel()
	stream := actor.NewStream[int]("default", actor.KeepFor(kept))
	var again atomic.Bool
	step := actor.NewStep("write", func(ctx context.Context, _ actor.None) (actor.None, error) {
		first := again.CompareAndSwap(false, true)
		for i := range 6 {
			if i == 3 && first {
				<-ctx.Done()
				return actor.None{}, ctx.Err()
			}
			if err := stream.Write(ctx, i); err != nil {
				return actor.None{}, err
			}
		}
		return actor.None{}, nil
	})
	def := actor.NewWorkflow("slowly", func(ctx actor.Context, _ actor.None) (actor.None, error) {
		_, err := step.Run(ctx, actor.None{})
		return actor.None{}, err
	}, stream)
	n := harness.Run(t, harness.Config(t), def)
	if err := def.Start(t.Context(), n.Client(), "a", actor.None{}); err != nil {
		t.Fatal(err)
	}
	awaitChunks(t, n.Client(), def.At("a"), "0 0", "1 1", "2 2")
	awaitExpired(t, n.Conn())
	n.Again(def)
	if got, want := follow(t, n.Client(), def.At("a"), 0), []string{"0 0", "1 1", "2 2", "3 3", "4 4", "5 5", "6 end"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if first := harness.ReadStream(t, n.Conn(), "PERDURE_OUT")[0]; first.Header.Get("Perdure-Rewind") != "0" {
		t.Errorf("index 0 comes again without a rewind: %v", first.Header)
	}
}
