package actor

import (
	"context"
	"sync"
)

// trust is whether the node's lease may be trusted: work starts only while it may.
type trust struct {
	mu      sync.Mutex
	open    chan struct{} // closed while trusted
	trusted bool
	steps   context.Context //nolint:containedctx // ends the step bodies that run under the lease
	end     context.CancelFunc
}

func (t *trust) init() {
	t.open = make(chan struct{})
	t.steps, t.end = context.WithCancel(context.Background()) //nolint:forbidigo // ended by set(false)
	t.end()
}

func (t *trust) set(trusted bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if trusted == t.trusted {
		return
	}
	t.trusted = trusted
	if trusted {
		t.steps, t.end = context.WithCancel(context.Background()) //nolint:forbidigo // ended by set(false)
		close(t.open)
		return
	}
	t.open = make(chan struct{})
	t.end()
}

// wait blocks until the lease is trusted and returns the context of steps under it, or ctx's error.
func (t *trust) wait(ctx context.Context) (context.Context, error) {
	for {
		t.mu.Lock()
		open, trusted, steps := t.open, t.trusted, t.steps
		t.mu.Unlock()
		if trusted {
			return steps, nil
		}
		select {
		case <-open:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
