package actor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"time"
)

// body is one attempt of a step, running in a goroutine of its own.
type body struct {
	step   *stepRun
	cancel context.CancelCauseFunc
	ready  chan struct{} // closed when the attempt has ended

	speaks  chan struct{} // closed when the body wants to write to an output stream
	speak   sync.Once
	durable chan struct{} // closed once the record with the step's start is durable
	release sync.Once

	mu       sync.Mutex
	ended    *stepAttempt
	detached bool // nobody waits: the end goes to the run's mailbox
}

// quickSteps runs the steps that the code has begun. It waits for each as long as the flush delay, so that a quick
// step is part of the same record; a slower one goes on outside the turn.
func (t *turn) quickSteps() {
	r := t.run
	for len(r.x.started) > 0 && r.x.err == nil && !r.x.stalled {
		batch := r.x.started
		r.x.started = nil
		if t.unsure {
			t.startLater(batch)
			continue
		}
		bodies := make(map[*stepRun]*body, len(batch))
		for _, s := range batch {
			if r.x.steps[s.id] == s {
				bodies[s] = r.startBody(s)
			}
		}
		// What a step leaves follows its start in the log: the one that the code waits for, which has no start there
		// yet, comes first.
		slices.SortStableFunc(batch, func(a, b *stepRun) int { return cmp.Compare(btoi(a.future), btoi(b.future)) })
		for i, s := range batch {
			r.x.busy = i+1 < len(batch)
			if b := bodies[s]; b != nil {
				t.quickStep(s, b)
			}
		}
		r.x.busy = false
	}
	t.complete()
}

// startLater starts steps when the turn's record is durable. The log may be read from a server that leads it since a moment, and
// does not know yet what its predecessor has stored, a result of the same step perhaps. It knows when it has stored another
// record.
func (t *turn) startLater(steps []*stepRun) {
	x := t.run.x
	for _, s := range steps {
		if x.steps[s.id] != s {
			continue
		}
		if !s.logged {
			x.input(Event{Type: StepStarted, ID: s.id, Name: s.name, Attempt: s.attempt})
		}
		t.bodies = append(t.bodies, s)
	}
}

func (t *turn) quickStep(s *stepRun, b *body) {
	r := t.run
	a := b.wait(t.patience())
	if a == nil {
		if r.x.steps[s.id] == s && !s.logged {
			r.x.input(Event{Type: StepStarted, ID: s.id, Name: s.name, Attempt: s.attempt})
		}
		a = b.detach()
	}
	if a != nil && r.x.steps[s.id] == s && r.x.err == nil {
		t.stepEvent(*a)
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// patience is how long the turn may still wait for a step.
func (t *turn) patience() time.Duration {
	if t.full() || t.run.host.cfg.Flush < turnTime && time.Since(t.started) > turnTime {
		return 0
	}
	return t.run.host.cfg.Flush
}

// stepEnded takes the end of an attempt that outlasted its turn.
func (t *turn) stepEnded(a stepAttempt) {
	r := t.run
	if r.x.steps[a.step.id] != a.step || r.parked != nil {
		return // nobody waits for it any more
	}
	t.claim()
	t.stepEvent(a)
	t.quickSteps()
}

func (t *turn) stepEvent(a stepAttempt) {
	r := t.run
	if a.lost {
		if !a.step.logged {
			r.x.input(Event{Type: StepStarted, ID: a.step.id, Name: a.step.name, Attempt: a.step.attempt})
		}
		if r.x.paused != nil {
			r.recovered = append(r.recovered, a.step)
			return
		}
		t.bodies = append(t.bodies, a.step)
		return
	}
	ev := a.event(r.host.now(), r.host.cfg.MaxPayload)
	r.x.input(ev)
	if ev.Type == StepRetrying {
		r.retryLater(a.step, ev.Due.Sub(r.host.now()))
	}
}

func (r *run) retryLater(s *stepRun, wait time.Duration) {
	it := item{kind: itemRetry, step: stepAttempt{step: s}} // of no use once what is in memory was discarded
	r.timers[s.id] = time.AfterFunc(max(wait, 0), func() { r.part.deliver(r.addr, it) })
}

func (r *run) startDetached(s *stepRun) {
	b := r.startBody(s)
	if r.outbox.idle() {
		b.started()
	}
	if a := b.detach(); a != nil {
		r.part.deliver(r.addr, item{kind: itemStep, step: *a})
	}
}

// startBody runs an attempt under the lease: its context ends when the lease is no longer trusted, and with the run.
func (r *run) startBody(s *stepRun) *body {
	b := &body{step: s, ready: make(chan struct{}), speaks: make(chan struct{}), durable: make(chan struct{})}
	info := StepInfo{ID: s.id, Name: s.name, Attempt: s.attempt, Run: r.x.info}
	attempt, loaded := s.attempt, r.stepCtx
	ctx := context.WithValue(loaded, stepInfoKey{}, info)
	ctx = context.WithValue(ctx, stepWriterKey{}, newStepWriter(r, s, b))
	ctx, b.cancel = context.WithCancelCause(ctx)
	s.ran = true
	r.bodies[s.id] = b
	r.streams.noteStep(s.id, true)
	r.part.bodies.Add(1)
	r.host.bodies.Go(func() {
		defer r.part.bodies.Done()
		lease, err := r.host.trust.wait(loaded)
		if err != nil {
			b.cancel(err)
			return // the run is gone from memory
		}
		defer b.cancel(nil)
		stop := context.AfterFunc(lease, func() { b.cancel(errLeaseLost) })
		defer stop()
		a := stepAttempt{step: s, attempt: attempt}
		a.run(ctx)
		a.lost = a.err != nil && errors.Is(context.Cause(ctx), errLeaseLost)
		if b.end(a) && loaded.Err() == nil {
			r.part.deliver(r.addr, item{kind: itemStep, step: a})
		}
	})
	return b
}

var errStepCancelled = errors.New("the step was cancelled")

var errLeaseLost = errors.New("the node's lease is no longer trusted")

// run executes the body, as long as the policy's timeout allows.
func (a *stepAttempt) run(ctx context.Context) {
	timeout := a.step.policy.Timeout
	if timeout <= 0 {
		a.call(ctx)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	inner := *a
	done := make(chan struct{})
	go func() { // a body that ignores its context is left behind: the attempt ends in time
		defer close(done)
		inner.call(ctx)
	}()
	select {
	case <-done:
		*a = inner
		if a.err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
			a.reason = reasonTimeout
		}
	case <-ctx.Done():
		a.err = ctx.Err()
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			a.err, a.reason = fmt.Errorf("attempt took longer than %s", timeout), reasonTimeout
		}
	}
}

func (a *stepAttempt) call(ctx context.Context) {
	normal := false
	defer func() {
		if p := recover(); p != nil {
			a.err, a.reason = fmt.Errorf("panic: %v\n%s", p, debug.Stack()), reasonPanic
		} else if !normal {
			a.err, a.reason = errors.New("the step called runtime.Goexit"), reasonPanic
		}
	}()
	a.result, a.err = a.step.body(ctx, a.step.payload)
	normal = true
}

// wait returns how the attempt ended, or nil if it has not after d.
func (b *body) wait(d time.Duration) *stepAttempt {
	if d <= 0 {
		return nil
	}
	tm := time.NewTimer(d)
	defer tm.Stop()
	select {
	case <-b.ready:
		return b.ended
	case <-b.speaks:
		return nil
	case <-tm.C:
		return nil
	}
}

// announce asks for the record that shows the step's start, and blocks until it is durable.
func (b *body) announce(ctx context.Context) error {
	b.speak.Do(func() { close(b.speaks) })
	select {
	case <-b.durable:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// started says that the record with the step's start is durable.
func (b *body) started() { b.release.Do(func() { close(b.durable) }) }

// tendBodies lets bodies speak whose start is durable now, and ends those that the code has given up.
func (r *run) tendBodies() {
	for _, id := range r.x.cancelled {
		r.streams.noteStep(id, false)
		if b := r.bodies[id]; b != nil {
			b.cancel(errStepCancelled)
		}
	}
	r.x.cancelled = nil
	for id, b := range r.bodies {
		switch {
		case r.x.steps[id] != b.step:
			delete(r.bodies, id)
		case b.step.logged && r.outbox.idle(): // what run code emitted before goes out before
			b.started()
		}
	}
}

// over reports whether the attempt has ended.
func (b *body) over() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ended != nil
}

// detach sends the attempt's end to the mailbox, or returns it if it is there already.
func (b *body) detach() *stepAttempt {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.detached = true
	return b.ended
}

// end notes how the attempt ended and reports whether nobody waits.
func (b *body) end(a stepAttempt) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = &a
	close(b.ready)
	return b.detached
}
