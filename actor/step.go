package actor

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// Step is a side effect whose result is recorded once. Its body gets a plain context and may do any I/O; it runs at
// least once, and never again after its result is in the event log.
type Step[In, Out any] struct {
	name  string
	fn    func(context.Context, In) (Out, error)
	retry RetryPolicy
}

// StepOption changes how a step or an alarm is tried.
type StepOption func(*RetryPolicy)

func (o StepOption) ofAlarm(a *alarmDef) { o(&a.retry) }

// Retry sets the policy; zero fields keep their defaults.
func Retry(p RetryPolicy) StepOption { return func(r *RetryPolicy) { *r = p } }

// NewStep names a step: a letter, then up to 63 letters, digits, _ or -. Code that starts a step with another name parks
// its run. Without options the step is tried as [RetryPolicy] says by default.
func NewStep[In, Out any](name string, fn func(context.Context, In) (Out, error), opts ...StepOption) *Step[In, Out] {
	s := &Step[In, Out]{name: name, fn: fn}
	for _, o := range opts {
		o(&s.retry)
	}
	return s
}

// Run runs the step, or returns its recorded result. It parks the run until the result is there.
// Errors: [*StepError] when the step failed for good, [ErrCancelled] when the run was cancelled, [ErrTimeout] under
// [WithTimeout]: the attempt in progress is cancelled then, and its result dropped.
func (s *Step[In, Out]) Run(ctx Context, in In) (out Out, err error) {
	sc := ctx.scope()
	payload, failure := encode("input of step "+s.name, in)
	if failure != nil {
		return out, &StepError{Step: s.name, Message: failure.Message, Reason: reasonTerminal}
	}
	sc.x.body.alive()
	sc.x.admitLate() // before the step: none starts when the run was cancelled while it was parked
	if sc.cancelled() {
		return out, ErrCancelled
	}
	deadline := sc.x.deadline(sc) // before the step: in the log, what a step leaves follows its start
	step := sc.x.startStep(s.name, payload, s.retry.withDefaults(), s.body)
	step.shielded = sc.shielded
	if err := sc.x.awaitOr(sc, deadline, "step "+s.name, func() bool { return step.done }); err != nil {
		sc.x.abandonStep(step)
		return out, err
	}
	switch {
	case step.cancelled:
		return out, ErrCancelled
	case step.failure != nil:
		return out, step.failure
	}
	if err := json.Unmarshal(step.result, &out); err != nil {
		sc.x.halt(Errorf(CodePanic, "recorded result of step %s does not decode: %v", s.name, err))
	}
	return out, nil
}

// body runs the step's function on the encoded input: what it gets shares no memory with run code.
func (s *Step[In, Out]) body(ctx context.Context, payload []byte) ([]byte, error) {
	var in In
	if err := json.Unmarshal(payload, &in); err != nil {
		return nil, Terminal(fmt.Errorf("decode input: %w", err))
	}
	out, err := s.fn(ctx, in)
	if err != nil {
		return nil, err
	}
	b, err := json.Marshal(out)
	if err != nil {
		return nil, Terminal(fmt.Errorf("encode result: %w", err))
	}
	return b, nil
}

// StepInfo tells a step's body who it is.
type StepInfo struct {
	ID      string // the same for every attempt, also after a crash, and for no other step: an idempotency key
	Name    string
	Attempt int // from 1
	Run     Info
}

type stepInfoKey struct{}

// StepMetadata returns what step the context belongs to; ok is false outside a step.
func StepMetadata(ctx context.Context) (info StepInfo, ok bool) {
	info, ok = ctx.Value(stepInfoKey{}).(StepInfo)
	return info, ok
}

// stepRun is a step in progress: of the execution, and read by its owner between inputs.
type stepRun struct {
	id      string
	name    string
	payload []byte
	policy  RetryPolicy
	body    func(context.Context, []byte) ([]byte, error)

	attempt   int       // the attempt in progress or due next, from 1
	due       time.Time // when it may start; zero: at once
	logged    bool      // a step_started of the attempt is in the log
	future    bool      // code did not wait for it when it started it
	ran       bool      // a body may have run before
	shielded  bool      // it goes on when the run is cancelled
	done      bool
	cancelled bool // by code, or with the run
	result    json.RawMessage
	failure   *StepError
}

// startStep begins a step, or takes up what the log says of it. Called by the code.
func (x *execution) startStep(name string, payload []byte, policy RetryPolicy, body func(context.Context, []byte) ([]byte, error)) *stepRun {
	x.body.alive()
	s := &stepRun{id: x.stableID("step-"), name: name, payload: payload, policy: policy, body: body, attempt: 1}
	x.admitLate()
	past := x.journal.peek()
	if past != nil && (past.ID != s.id || past.Name != name || !isStepEvent(past.Type)) {
		x.halt(x.journal.mismatch(describeCommand("step", name, s.id)))
	}
	if past == nil {
		x.checkStep(name)
		x.steps[s.id] = s
		x.started = append(x.started, s)
		return s
	}
	x.steps[s.id] = s
	for past = x.journal.peek(); past != nil && past.ID == s.id && !s.done; past = x.journal.peek() {
		x.applyStep(s, x.journal.take())
	}
	return s
}

// startFuture begins a step that the code does not wait for at once: its start is in the log at once. Called by the code.
func (x *execution) startFuture(name string, payload []byte, policy RetryPolicy, body func(context.Context, []byte) ([]byte, error)) *stepRun {
	x.body.alive()
	s := &stepRun{id: x.stableID("step-"), name: name, payload: payload, policy: policy, body: body, attempt: 1, future: true, logged: true}
	x.admitLate()
	live := x.journal.live()
	if live {
		x.checkStep(name)
	}
	x.do(Event{Type: StepStarted, ID: s.id, Name: name, Attempt: 1})
	x.steps[s.id] = s
	if live {
		x.started = append(x.started, s)
	}
	return s
}

// checkStep parks the run when its code starts a step with a name that is none. One that the log has is not asked.
func (x *execution) checkStep(name string) {
	if err := checkName(name); err != nil {
		x.halt(Errorf(CodePanic, "step %v", err))
	}
}

func isStepEvent(t EventType) bool {
	return t == StepStarted || t == StepRetrying || t == StepCompleted || t == StepFailed
}

// applyStep takes up an event of a step in progress.
func (x *execution) applyStep(s *stepRun, ev *Event) {
	switch ev.Type {
	case StepStarted:
		s.logged, s.attempt = true, ev.Attempt
	case StepRetrying:
		s.logged, s.attempt, s.due = false, ev.Attempt+1, *ev.Due
	case StepCompleted:
		s.done, s.result = true, ev.Result
	case StepFailed:
		s.done = true
		s.failure = &StepError{Step: s.name, Attempts: ev.Attempt, Message: ev.Error.Message, Reason: ev.Reason}
	default:
		return
	}
	if s.done {
		delete(x.steps, s.id)
		x.delivered(s.id)
	}
}

// cancelStep ends a step for good; the log says so. Called by the code.
func (x *execution) cancelStep(s *stepRun) {
	s.done, s.cancelled = true, true
	x.do(Event{
		Type: StepFailed, ID: s.id, Name: s.name, Attempt: s.attempt, Reason: reasonCancelled,
		Error: &Error{Code: CodeCancelled, Message: "cancelled", Source: SourceObject},
	})
	x.abandonStep(s)
}

// abandonStep forgets a step that the code no longer waits for: its body's context ends, a late result is dropped.
func (x *execution) abandonStep(s *stepRun) {
	delete(x.steps, s.id)
	x.cancelled = append(x.cancelled, s.id)
}
