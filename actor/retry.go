package actor

import (
	"errors"
	"math/rand/v2"
	"time"
)

// RetryPolicy says how often a step is tried, and when. Zero fields have defaults. See [NewAlarm] for those of alarms.
type RetryPolicy struct {
	Attempts   int           // how often the body may fail before the step does; default 4
	Backoff    time.Duration // before the second attempt, doubled before each further one; default 500 ms
	MaxBackoff time.Duration // largest backoff; default 1 minute
	Timeout    time.Duration // of one attempt: its context ends then, and it counts as failed; default none
}

func (p RetryPolicy) withDefaults() RetryPolicy {
	if p.Attempts <= 0 {
		p.Attempts = 4
	}
	if p.Backoff <= 0 {
		p.Backoff = 500 * time.Millisecond
	}
	if p.MaxBackoff <= 0 {
		p.MaxBackoff = time.Minute
	}
	return p
}

// Why a step failed for good, in step_failed.reason and [StepError].
const (
	reasonTerminal  = "terminal"
	reasonExhausted = "exhausted"
	reasonTimeout   = "timeout"
	reasonPanic     = "panic"
	reasonCancelled = "cancelled" // by the code: not a failure that the runtime reports
)

// stepAttempt is what became of one attempt.
type stepAttempt struct {
	step    *stepRun
	attempt int
	result  []byte
	err     error
	reason  string // "", reasonTimeout or reasonPanic
	lost    bool   // it ended because the node lost its lease: not an attempt
}

// event decides what an attempt's end means for the step.
func (a *stepAttempt) event(now time.Time, limit int) Event {
	ev := Event{Type: StepCompleted, ID: a.step.id, Name: a.step.name, Result: a.result}
	if a.attempt > 1 {
		ev.Attempt = a.attempt
	}
	if a.err == nil && len(a.result) <= limit {
		return ev
	}
	if a.err == nil {
		a.err = Terminal(Errorf(CodeTooLarge, "the result has %d bytes; at most %d are allowed", len(a.result), limit))
	}
	ev.Result, ev.Attempt = nil, a.attempt
	ev.Error = &Error{Code: CodeUser, Message: a.err.Error(), Source: SourceObject}
	var terminal *terminalError
	switch {
	case errors.As(a.err, &terminal):
		ev.Type, ev.Reason = StepFailed, reasonTerminal
	case a.attempt >= a.step.policy.Attempts:
		ev.Type, ev.Reason = StepFailed, a.reason
		if ev.Reason == "" {
			ev.Reason = reasonExhausted
		}
	default:
		due := now.Add(a.delay())
		ev.Type, ev.Due = StepRetrying, &due
	}
	return ev
}

// delay is what the error asks for, else the policy's backoff with up to a quarter of jitter taken off.
func (a *stepAttempt) delay() time.Duration {
	if after, ok := errors.AsType[*retryAfterError](a.err); ok {
		return after.after
	}
	d := a.step.policy.backoff(a.attempt)
	return d - time.Duration(rand.Int64N(int64(d)/4+1))
}

// backoff is the time after this attempt, from 1.
func (p RetryPolicy) backoff(attempt int) time.Duration {
	d := p.Backoff
	for range attempt - 1 {
		if d = 2 * d; d >= p.MaxBackoff {
			return p.MaxBackoff
		}
	}
	return d
}
