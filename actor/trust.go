package actor

import (
	"context"
	"sync"
	"time"
)

// trustPoll is how often a lease that has run out, and is not known to have, is looked at again.
const trustPoll = 10 * time.Millisecond

// trust is whether the node's lease may be trusted: work starts only while it may. What was last said is not enough
// after a pause of the whole process: its clock goes on, and whoever watches the clock may be the last to run again.
type trust struct {
	holds func() bool // by the clock, now

	mu      sync.Mutex
	open    chan struct{} // closed while trusted
	trusted bool
	steps   context.Context //nolint:containedctx // ends the step bodies that run under the lease
	end     context.CancelFunc
}

func (t *trust) init(holds func() bool) {
	t.holds = holds
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

// wait blocks until the lease is trusted and returns the context of steps under it, or ctx's error. What ctx stands for
// may have gone before anybody waits: a body whose goroutine is late may find its partition with another owner.
func (t *trust) wait(ctx context.Context) (context.Context, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		t.mu.Lock()
		open, trusted, steps := t.open, t.trusted, t.steps
		t.mu.Unlock()
		switch {
		case trusted && t.holds():
			return steps, nil
		case trusted: // until somebody says so, or renews it
			if err := pause(ctx, trustPoll); err != nil {
				return nil, err
			}
			continue
		}
		select {
		case <-open:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
