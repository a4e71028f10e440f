package actor

import "encoding/json"

// Future is a step that run code has started and not waited for. It is a [Waitable].
type Future[Out any] struct{ step *stepRun }

// Start starts the step and returns at once: await the future, race it against a hook or a timer, or cancel it. When the
// run was cancelled, the step does not start.
func (s *Step[In, Out]) Start(ctx Context, in In) *Future[Out] {
	sc := ctx.scope()
	x := sc.x
	payload, failure := encode("input of step "+s.name, in)
	x.body.alive()
	x.admitLate()
	if sc.cancelled() {
		return &Future[Out]{&stepRun{name: s.name, done: true, cancelled: true}}
	}
	if failure != nil {
		return &Future[Out]{&stepRun{
			name: s.name, done: true,
			failure: &StepError{Step: s.name, Message: failure.Message, Reason: reasonTerminal},
		}}
	}
	step := x.startFuture(s.name, payload, s.retry.withDefaults(), s.body)
	step.shielded = sc.shielded
	return &Future[Out]{step}
}

// Await parks the run until the step has its result. Errors: [*StepError] when it failed for good, [ErrCancelled] after
// Cancel and when the run was cancelled, [ErrTimeout] under [WithTimeout]: the step goes on then.
func (f *Future[Out]) Await(ctx Context) (out Out, err error) {
	s := ctx.scope()
	if err := s.x.await(s, "step "+f.step.name, func() bool { return f.step.done }); err != nil {
		return out, err
	}
	switch {
	case f.step.cancelled:
		return out, ErrCancelled
	case f.step.failure != nil:
		return out, f.step.failure
	}
	if err := json.Unmarshal(f.step.result, &out); err != nil {
		s.x.halt(Errorf(CodePanic, "recorded result of step %s does not decode: %v", f.step.name, err))
	}
	return out, nil
}

// Cancel ends the step: its body's context is cancelled, and what it may still return is dropped. No effect on one that
// has its result.
func (f *Future[Out]) Cancel(ctx Context) {
	if x := ctx.scope().x; !f.step.done {
		x.cancelStep(f.step)
	}
}

func (f *Future[Out]) ready(*execution) bool { return f.step.done }
