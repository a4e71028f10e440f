package actor

import (
	"context"
	"encoding/json"
	"iter"
	"slices"
)

// Hook is a named, typed entry point into the runs of a workflow: callers call or send to it, run code awaits it.
// A hook belongs to no type until a workflow declares it; two workflows may declare the same one.
type Hook[In, Out any] struct {
	name       string
	migrations []*Migration
}

// NewHook names a hook whose calls carry an In and are answered with an Out. Migrations are those of the payload: calls
// in the log from before its type changed are replayed, and taken, with the payload as it is today.
func NewHook[In, Out any](name string, payload ...*Migration) *Hook[In, Out] {
	return &Hook[In, Out]{name, payload}
}

func (h *Hook[In, Out]) declare(r *registry, t *typeDef) {
	if t.object != nil {
		r.problem("%s: an object has methods, not hooks: drop hook %s", t.name, h.name)
	}
	r.addHook(t, hookOf[In, Out](r, t, h.name, h.migrations...))
}

// HookOption changes how run code makes a hook.
type HookOption func(*hookHandle)

// Token gives the hook a token of its own, unique among all runs: [Resume] reaches the hook by it.
// Without it the token is "<type>:<key>:<hook>".
func Token(token string) HookOption { return func(h *hookHandle) { h.token = token } }

// hookHandle is a hook that run code made: the same for every Create with the same token.
type hookHandle struct {
	name     string
	token    string
	conflict *HookConflictError
}

// Create makes the hook, or returns the same one when the run made it before with the same token: nothing is lost
// by making it again in a loop. It does not wait: a token that another run holds shows at the next await.
func (h *Hook[In, Out]) Create(ctx Context, opts ...HookOption) *Pending[In, Out] {
	x := ctx.scope().x
	if x.typ.hooks[h.name] == nil {
		x.halt(Errorf(CodePanic, "hook %q is not declared: add it to the definition of %s", h.name, x.typ.name))
	}
	made := &hookHandle{name: h.name, token: defaultToken(x.info.Type, x.info.Key, h.name)}
	for _, o := range opts {
		o(made)
	}
	if err := checkToken(made.token); err != nil {
		x.halt(Errorf(CodePanic, "hook %s: %v", h.name, err))
	}
	key := made.name + " " + made.token
	if x.hooks[key] == nil {
		x.hooks[key] = made
		ev := Event{Type: HookCreated, Name: made.name, Token: made.token}
		x.doMatching(ev, func(logged *Event) bool {
			return logged.Type == HookCreated && logged.Name == ev.Name && logged.Token == ev.Token
		})
	}
	return &Pending[In, Out]{x.hooks[key]}
}

// Pending is a hook that a run has made and can await, any number of times.
type Pending[In, Out any] struct{ handle *hookHandle }

// Await parks the run until the hook's next call and returns it. Calls made earlier are kept and come in order.
// Errors: [*HookConflictError] when another run holds the token, [ErrCancelled] when the run was cancelled, [ErrTimeout]
// under [WithTimeout].
func (p *Pending[In, Out]) Await(ctx Context) (*Call[In, Out], error) {
	x := ctx.scope().x
	if err := x.await(ctx.scope(), "hook "+p.handle.name, func() bool { return p.ready(x) }); err != nil {
		return nil, err
	}
	c := x.take(p.takes)
	if c == nil {
		return nil, p.handle.conflict
	}
	call := &Call[In, Out]{ID: c.id}
	if err := json.Unmarshal(c.payload, &call.Payload); err != nil {
		x.halt(Errorf(CodePanic, "payload of call %s to hook %s does not decode: %v", c.id, c.hook, err))
	}
	return call, nil
}

// All ranges over the hook's calls. It ends after yielding an error of [Pending.Await].
func (p *Pending[In, Out]) All(ctx Context) iter.Seq2[*Call[In, Out], error] {
	return func(yield func(*Call[In, Out], error) bool) {
		for {
			call, err := p.Await(ctx)
			if !yield(call, err) || err != nil {
				return
			}
		}
	}
}

// Token returns the token that resumes the hook.
func (p *Pending[In, Out]) Token() string { return p.handle.token }

func (p *Pending[In, Out]) takes(c *received) bool {
	return c.hook == p.handle.name && (c.token == "" || c.token == p.handle.token)
}

func (p *Pending[In, Out]) ready(x *execution) bool {
	if p.handle.conflict != nil {
		return true
	}
	return p.next(x) != nil
}

// next returns the call that the hook has and that is still to be taken, nil without one.
func (p *Pending[In, Out]) next(x *execution) *received {
	if i := slices.IndexFunc(x.queue, p.takes); i >= 0 {
		return x.queue[i]
	}
	return nil
}

// Call is one call of a hook, taken by run code, to be replied to once.
type Call[In, Out any] struct {
	ID      string
	Payload In
}

// Reply answers the call; its caller sees the answer once it is durable. The first answer stands. A result over
// the size limit answers 413, one that does not encode 500.
func (c *Call[In, Out]) Reply(ctx Context, out Out) {
	b, failure := encode("reply", out)
	ctx.scope().x.outcome(c.ID, b, failure)
}

// Fail answers the call with err: 422 to its caller, with the message and details of an [*Error].
func (c *Call[In, Out]) Fail(ctx Context, err error) {
	ctx.scope().x.outcome(c.ID, nil, userError(err))
}

// Call calls the hook of the object at addr and waits for the reply. See [Client] for what it blocks on.
// Errors: [*Error], matched by [ErrFailed], [ErrTimeout] and so on.
func (h *Hook[In, Out]) Call(ctx context.Context, c Client, addr Address, in In, opts ...CallOption) (Out, error) {
	return call[Out](ctx, c, addr, h.name, in, header(opts))
}

// Send puts a call into the object's inbox and returns its sequence there: durable, one way.
func (h *Hook[In, Out]) Send(ctx context.Context, c Client, addr Address, in In, opts ...CallOption) (uint64, error) {
	return send(ctx, c, addr, h.name, in, opts)
}
