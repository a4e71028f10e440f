package jetstream

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/perdure/perdure/internal/bubble"
)

func TestUntilAnswered(t *testing.T) {
	errRefused := errors.New("refused")
	for name, tc := range map[string]struct {
		first  time.Duration // until the first request is answered
		repeat error         // that repeated ones are answered with, at once
		want   error
		after  time.Duration
	}{
		"at once":                       {0, errRefused, nil, 0},
		"the first is lost":             {time.Hour, nil, nil, askAgain},
		"refused when repeated":         {time.Hour, errRefused, errRefused, askAgain},
		"slow, the others undecided":    {3 * askAgain, errUndecided, nil, 3 * askAgain},
		"lost, the others undecided":    {time.Hour, errUndecided, context.DeadlineExceeded, 2 * time.Second},
		"answered before it repeats it": {askAgain - 1, errRefused, nil, askAgain - 1},
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Run(t, func(t *testing.T) {
				begin := time.Now()
				_, err := untilAnswered(t.Context(), 2*time.Second, always, func(ctx context.Context, again bool) (int, error) {
					if again {
						return 0, tc.repeat
					}
					select {
					case <-time.After(tc.first):
						return 0, nil
					case <-ctx.Done():
						return 0, ctx.Err()
					}
				})
				if took := time.Since(begin); !errors.Is(err, tc.want) || took != tc.after {
					t.Errorf("got %v after %v, want %v after %v", err, took, tc.want, tc.after)
				}
			})
		})
	}
}
