package actor

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Code says in one number what became of a call that failed. The numbers are those of HTTP.
type Code int

// The codes of the protocol.
const (
	CodeInvalid     Code = 400 // payload, key or header is wrong; nothing was written
	CodeNotFound    Code = 404 // no such type, hook, token or run
	CodeConflict    Code = 409 // the token, the run or the call id is taken
	CodeEnded       Code = 410 // the run has ended
	CodeTooLarge    Code = 413 // payload, result or state is over its limit; nothing was written
	CodeUser        Code = 422 // user code returned an error; state is as before the call
	CodeStopped     Code = 423 // the run is parked or paused; sends keep being accepted
	CodeLimit       Code = 429 // a limit is reached; details.limit names it
	CodeCancelled   Code = 499 // cancelled
	CodePanic       Code = 500 // user code panicked
	CodeUnavailable Code = 503 // nobody owns the partition now: repeat with the same call id
	CodeTimeout     Code = 504 // time is up; the outcome is unknown, and the call id finds it
)

// Source says whose failure it is.
type Source string

// The two sources of a failure.
const (
	SourceObject  Source = "object"  // user code's: durable, repeating gives the same
	SourceRuntime Source = "runtime" // the engine's: repeating may help
)

// Error is a call's failure, the same on both sides of the wire.
// Match it with errors.As, or by code with errors.Is and one of the sentinels below.
type Error struct {
	Code    Code            `json:"code"`
	Message string          `json:"message"`
	Source  Source          `json:"source"`
	Details json.RawMessage `json:"details,omitempty"`
}

func (e *Error) Error() string { return fmt.Sprintf("%s (%d, %s)", e.Message, e.Code, e.Source) }

// Is reports whether target is the sentinel of e's code.
func (e *Error) Is(target error) bool {
	var s codeError
	return errors.As(target, &s) && Code(s) == e.Code
}

// Retryable reports whether repeating the call with the same call id may give another outcome.
func (e *Error) Retryable() bool { return e.Source == SourceRuntime && e.Code == CodeUnavailable }

// Doubtful returns e, saying beside it that the call may have been acted on, or still be, by whoever had it before.
func (e *Error) Doubtful() *Error { return e.With(doubt{outcomeUnknown}) }

// InDoubt reports whether the call may have been acted on, or still be, although it has no outcome. Repeating it with the
// same call id is safe, and finds the outcome.
func (e *Error) InDoubt() bool {
	var d doubt
	return e.Code == CodeTimeout || e.Retryable() && json.Unmarshal(e.Details, &d) == nil && d.Outcome == outcomeUnknown
}

// doubt is the details of a failure with which a call is not over.
type doubt struct {
	Outcome string `json:"outcome"`
}

const outcomeUnknown = "unknown"

type codeError Code

func (c codeError) Error() string { return codeText[Code(c)] }

//nolint:gochecknoglobals // a constant table
var codeText = map[Code]string{
	CodeInvalid: "invalid", CodeNotFound: "not found", CodeConflict: "conflict", CodeEnded: "the run has ended",
	CodeTooLarge: "too large", CodeUser: "failed", CodeStopped: "the run is stopped", CodeLimit: "limit reached",
	CodeCancelled: "cancelled", CodePanic: "panicked", CodeUnavailable: "unavailable", CodeTimeout: "timed out",
}

// Sentinels for errors.Is, one a code of the protocol.
var (
	ErrInvalid     error = codeError(CodeInvalid)
	ErrNotFound    error = codeError(CodeNotFound)
	ErrConflict    error = codeError(CodeConflict)
	ErrEnded       error = codeError(CodeEnded)
	ErrTooLarge    error = codeError(CodeTooLarge)
	ErrFailed      error = codeError(CodeUser)
	ErrStopped     error = codeError(CodeStopped)
	ErrLimit       error = codeError(CodeLimit)
	ErrCancelled   error = codeError(CodeCancelled)
	ErrPanicked    error = codeError(CodePanic)
	ErrUnavailable error = codeError(CodeUnavailable)
	ErrTimeout     error = codeError(CodeTimeout)
)

// Errorf makes a failure of the runtime with this code.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...), Source: SourceRuntime}
}

// With returns e with details, which must marshal to JSON.
func (e *Error) With(details any) *Error {
	if b, err := json.Marshal(details); err == nil {
		e.Details = b
	}
	return e
}

// The outcomes of an append that is not committed. Every other error of [EventLog.Append] is a bug of its adapter.
var (
	// ErrAppendConflict: not written; another record took the place. Re-read the log.
	ErrAppendConflict = errors.New("another record was appended first")
	// ErrAppendRefused: not written, and the server said why.
	ErrAppendRefused = errors.New("append refused")
	// ErrAppendUnknown: may be written, now or later. Re-read before anything else.
	ErrAppendUnknown = errors.New("append outcome unknown")
	// ErrNoRecord: the object has no record with that sequence, or none at all.
	ErrNoRecord = errors.New("no record")
)

// StepError is what run code gets from a step that failed for good.
type StepError struct {
	Step     string // its name
	Attempts int    // how often its body ran
	Message  string // the last attempt's error, as recorded
	Reason   string // "terminal", "exhausted", "timeout" or "panic"
}

func (e *StepError) Error() string {
	return fmt.Sprintf("step %s failed after %d attempt(s) (%s): %s", e.Step, e.Attempts, e.Reason, e.Message)
}

// HookConflictError is what run code gets from a hook whose token another run holds.
type HookConflictError struct{ Token, Run string }

func (e *HookConflictError) Error() string {
	return fmt.Sprintf("token %q is held by %s", e.Token, e.Run)
}

// ReplayError says where replayed code does not do what its event log says. The run is parked; nothing is lost.
type ReplayError struct {
	Run      string
	Seq      uint64 // log sequence of the record
	Event    int    // position of the event in the record, from 0
	Expected string // what the log says
	Found    string // what the code did
}

func (e *ReplayError) Error() string {
	return fmt.Sprintf("replay of %s does not match its log at seq %d, event %d: expected %s, found %s",
		e.Run, e.Seq, e.Event, e.Expected, e.Found)
}

type terminalError struct{ err error }

func (e *terminalError) Error() string { return e.err.Error() }
func (e *terminalError) Unwrap() error { return e.err }

// Terminal wraps a step's error so that the step is not tried again.
func Terminal(err error) error { return &terminalError{err} }

type retryAfterError struct {
	err   error
	after time.Duration
}

func (e *retryAfterError) Error() string { return e.err.Error() }
func (e *retryAfterError) Unwrap() error { return e.err }

// RetryAfter wraps a step's error so that the next attempt, if there is one left, starts after d, not after the policy's backoff.
func RetryAfter(err error, d time.Duration) error { return &retryAfterError{err, max(d, 0)} }

// DefinitionError lists what is wrong with the definitions that a node was given.
type DefinitionError struct{ Problems []string }

func (e *DefinitionError) Error() string {
	return "definitions: " + strings.Join(e.Problems, "; ")
}
