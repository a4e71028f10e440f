package jetstream

import (
	"context"
	"errors"
	"sync"
	"time"

	js "github.com/nats-io/nats.go/jetstream"
)

// askAgain is how often it is decided whether what nobody has answered yet is asked for again. A request to a stream that has no
// leader is lost: whoever takes partitions over after an election would wait for all of its time.
const askAgain = 250 * time.Millisecond

// errUndecided is what a repeated request returns when it is for one before to say how it ends.
var errUndecided = errors.New("a request before is on its way")

// always has a request repeated each time.
func always(time.Time, int) bool { return true }

// untilAnswered calls ask, and again beside it whenever lost, which is told when it was asked last and how many times, says so;
// within bounds them, and all have returned when it does. The first answer counts, an error too, except errUndecided of one
// that was asked again.
func untilAnswered[T any](ctx context.Context, within time.Duration, lost func(sent time.Time, n int) bool, ask func(ctx context.Context, again bool) (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	var asks sync.WaitGroup
	defer asks.Wait()
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	answers := make(chan answer, within/askAgain)
	tick := time.NewTicker(askAgain)
	defer tick.Stop()
	var sent time.Time
	for n := 0; ; {
		if n == 0 || n < cap(answers) && lost(sent, n) {
			again := n > 0
			asks.Go(func() {
				value, err := ask(ctx, again)
				if !again || !errors.Is(err, errUndecided) { // the first one always answers
					answers <- answer{value, err}
				}
			})
			sent = time.Now()
			n++
		}
		select {
		case a := <-answers:
			return a.value, a.err
		case <-tick.C:
		}
	}
}

// streamNow returns a stream as it is now. Whoever takes over from a dead node asks while the streams that its server led elect
// another leader.
func (s *Store) streamNow(ctx context.Context, name string) (*js.StreamInfo, error) {
	return untilAnswered(ctx, getTimeout, always, func(ctx context.Context, _ bool) (*js.StreamInfo, error) {
		stream, err := s.js.Stream(ctx, name)
		if err != nil {
			return nil, err
		}
		return stream.CachedInfo(), nil
	})
}
