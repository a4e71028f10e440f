package actor

import "time"

// timer is a sleep or timeout of a run: due at a time that is in the log.
type timer struct {
	id        string
	due       time.Time
	fired     bool
	cancelled bool
}

// Sleep parks the run for d; zero or less returns at once. The time is durable: a sleep goes on while no node runs.
// Errors: [ErrCancelled] when the run was cancelled, [ErrTimeout] under [WithTimeout].
func Sleep(ctx Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	return After(ctx, d).Await(ctx)
}

// After starts a timer of d and returns at once: await it, or race it against a hook with [Race].
func After(ctx Context, d time.Duration) *Timer {
	x := ctx.scope().x
	return &Timer{x.newTimer(x.clock().Add(d))}
}

// Timer is a sleep that the run has begun.
type Timer struct{ timer *timer }

// Await parks the run until the timer is due. Errors: [ErrCancelled] when the run was cancelled, [ErrTimeout] under
// [WithTimeout].
func (t *Timer) Await(ctx Context) error {
	s := ctx.scope()
	return s.x.await(s, "a sleep", func() bool { return t.ready(s.x) })
}

// Cancel ends the timer: it never fires then. No effect on one that has fired.
func (t *Timer) Cancel(ctx Context) { ctx.scope().x.cancelTimer(t.timer) }

func (t *Timer) ready(*execution) bool { return t.timer.fired || t.timer.cancelled }

// Waitable is what a run can race: a [Pending] hook or a [Timer].
type Waitable interface{ ready(*execution) bool }

// Race parks the run until one of ws is ready and returns its index; which one is settled by the order of the log.
// It takes nothing: a hook that won still has its call, and one that lost keeps what comes later. Code that returns
// without an error has taken the call of the hook that won last.
// Errors: [ErrCancelled] when the run was cancelled, [ErrTimeout] under [WithTimeout].
func Race(ctx Context, ws ...Waitable) (int, error) {
	s := ctx.scope()
	winner := -1
	first := func() bool {
		for i, w := range ws {
			if w.ready(s.x) {
				winner = i
				return true
			}
		}
		return false
	}
	if err := s.x.await(s, "a race", first); err != nil {
		return winner, err
	}
	s.x.won = nil
	if hook, ok := ws[winner].(interface{ next(*execution) *received }); ok {
		s.x.won = hook.next(s.x)
	}
	return winner, nil
}

func (x *execution) newTimer(due time.Time) *timer {
	ev := Event{Type: WaitCreated, ID: x.stableID("wait-"), Due: &due}
	logged := x.do(ev)
	t := &timer{id: ev.ID, due: *logged.Due}
	x.waits[t.id] = t
	return t
}

func (x *execution) cancelTimer(t *timer) {
	if t.fired || t.cancelled {
		return
	}
	t.cancelled = true
	delete(x.waits, t.id)
	x.do(Event{Type: WaitCancelled, ID: t.id})
}
