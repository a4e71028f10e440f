package jetstream

import (
	"context"
	"errors"
	"sync"
	"time"
)

// askAgain is how often what nobody answers is asked for again. A request to a stream that has no leader is lost: whoever
// takes partitions over after an election would wait for all of its time.
const askAgain = 250 * time.Millisecond

// errUndecided is what a repeated request returns when it is for one before to say how it ends.
var errUndecided = errors.New("a request before is on its way")

// untilAnswered calls ask, and again beside it every so often while none has returned; within bounds them, and all have returned
// when it does. The first answer counts, an error too, except errUndecided of one that was asked again.
func untilAnswered[T any](ctx context.Context, within, every time.Duration, ask func(ctx context.Context, again bool) (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	var asks sync.WaitGroup
	defer asks.Wait()
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	answers := make(chan answer, within/every)
	again := time.NewTicker(every)
	defer again.Stop()
	for n := 0; ; n++ {
		if n < cap(answers) {
			asks.Go(func() {
				value, err := ask(ctx, n > 0)
				if n == 0 || !errors.Is(err, errUndecided) { // the first one always answers
					answers <- answer{value, err}
				}
			})
		}
		select {
		case a := <-answers:
			return a.value, a.err
		case <-again.C:
		}
	}
}
