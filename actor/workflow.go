package actor

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
)

// Workflow is a type whose objects are written as a run function: a loop that awaits hooks, runs steps and keeps its
// state in local variables. It is replayed from its event log, so it must be deterministic: everything that is not
// goes into steps, or through [Now], [Rand] and [UUID].
type Workflow[In, Out any] struct {
	name  string
	run   func(Context, In) (Out, error)
	parts []Declaration
}

// NewWorkflow defines a workflow type with the hooks that its run function makes. A run whose input is [None] starts
// with its first call or send; others need [Workflow.Start]. A [Migrate] among the parts is one of the input.
func NewWorkflow[In, Out any](name string, run func(Context, In) (Out, error), parts ...Declaration) *Workflow[In, Out] {
	return &Workflow[In, Out]{name, run, parts}
}

// WorkflowRef is a workflow's handle without its implementation, for callers.
func WorkflowRef[In, Out any](name string) *Workflow[In, Out] { return &Workflow[In, Out]{name: name} }

// At returns the address of the object with this key.
func (w *Workflow[In, Out]) At(key string) Address { return Address{w.name, key} }

// Start starts the run with its input. Starting it again with the same input changes nothing.
// Errors: [ErrConflict] when it was started with another input.
func (w *Workflow[In, Out]) Start(ctx context.Context, c Client, key string, in In, opts ...CallOption) error {
	_, err := call[None](ctx, c, w.At(key), HookStart, in, header(opts))
	return err
}

// Execute starts the run and waits for its end and result, as long as the call's timeout allows.
// Errors: those of Start; [ErrFailed] when the run function returned an error.
func (w *Workflow[In, Out]) Execute(ctx context.Context, c Client, key string, in In, opts ...CallOption) (Out, error) {
	h := header(opts)
	h.Wait = WaitEnd
	return call[Out](ctx, c, w.At(key), HookStart, in, h)
}

// workflowCode is a run function without its type parameters.
type workflowCode struct {
	in, out      Schema
	decode       func([]byte) error
	startsItself bool
	call         func(ctx Context, input []byte) (result []byte, err error)
}

func (w *Workflow[In, Out]) define(r *registry) {
	t := r.add(w.name)
	if w.run == nil {
		r.problem("%s: no run function: a WorkflowRef cannot be hosted", w.name)
	}
	t.run = &workflowCode{
		in: schemaOf[In](r, w.name+" input"), out: schemaOf[Out](r, w.name+" result"), decode: decodes[In],
		startsItself: reflect.TypeFor[In]() == reflect.TypeFor[None](),
		call:         w.call,
	}
	for _, p := range w.parts {
		p.declare(r, t)
	}
	t.migrations.check(r, w.name+" input", reflect.TypeFor[In]())
	t.checkpoints.check(r, w.name+" checkpoint", t.checkpoints.made())
}

func (w *Workflow[In, Out]) call(ctx Context, input []byte) ([]byte, error) {
	var in In
	if err := json.Unmarshal(input, &in); err != nil {
		ctx.scope().x.halt(Errorf(CodePanic, "recorded input does not decode: %v", err))
	}
	out, err := w.run(ctx, in)
	if err != nil {
		return nil, err
	}
	b, failure := encode("the run's result", out)
	if failure != nil {
		return nil, failure
	}
	return b, nil
}

// start begins a workflow's run function.
func (x *execution) start(input []byte) {
	if x.typ.run == nil {
		return
	}
	x.body = newCoroutine(func() {
		result, err := x.typ.run.call(&scope{x: x}, input)
		x.end(result, err)
	})
	x.ready = func() bool { return true }
}

// asFailure is a run function's error as the log keeps it.
func asFailure(err error) *Error {
	e := userError(err)
	if ended := (*StepError)(nil); errors.As(err, &ended) {
		return e.With(ended)
	}
	return e
}
