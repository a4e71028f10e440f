package conformance

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/internal/race"
	"github.com/perdure/perdure/test/harness"
	"github.com/perdure/perdure/test/objects"
)

// listen reads a speech and says whether it was whole.
func listen(ctx context.Context, nc *nats.Conn, addr actor.Address, words int) error {
	next := 0
	for w, err := range objects.Speaking.Read(ctx, perdure.NewClient(nc), addr, 0) {
		if err != nil {
			return err
		}
		if w.N != next {
			return fmt.Errorf("%s: word %d, want %d", addr, w.N, next)
		}
		next++
	}
	if next != words {
		return fmt.Errorf("%s: %d words, want %d", addr, next, words)
	}
	return nil
}

// TestStreams_Many has 500 readers of one stream, and 1,000 streams with a reader each at once. None has a consumer.
func TestStreams_Many(t *testing.T) {
	for name, tc := range map[string]struct{ streams, readers, words int }{
		"500 readers of one stream": {1, 500, 200},
		"many streams":              {manyStreams(), 1, 10},
	} {
		t.Run(name, func(t *testing.T) {
			n := harness.Run(t, harness.Config(t), objects.Speaker)
			conns := make([]*nats.Conn, 20)
			for i := range conns {
				conns[i] = n.Dial()
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			var wg sync.WaitGroup
			for i := range tc.streams {
				addr, client := objects.Speaker.At(fmt.Sprint(i)), perdure.NewClient(conns[i%len(conns)])
				for j := range tc.readers {
					wg.Go(func() {
						if err := listen(ctx, conns[(i+j)%len(conns)], addr, tc.words); err != nil {
							t.Error(err)
						}
					})
				}
				wg.Go(func() {
					if err := objects.Speaker.Start(ctx, client, addr.Key, objects.Speech{Words: tc.words, FailAt: 7 * tc.words / 10}); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if got := harness.Consumers(t, n.Conn(), "PERDURE_OUT"); got != 0 {
				t.Errorf("%d consumers", got)
			}
		})
	}
}

// manyStreams is 1,000, begun at once. Under the race detector two cores do not load as many objects within the 5 s that a read waits,
// and those that are tried again are in the way of the others.
func manyStreams() int {
	if race.Enabled {
		return 200
	}
	return 1000
}
