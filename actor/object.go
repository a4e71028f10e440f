package actor

import (
	"context"
	"encoding/json"
	"reflect"
)

// Object is a type whose objects are a struct S with methods: its fields are the state, committed with every call.
type Object[S any] struct {
	name   string
	hooks  []*methodDecl
	alarms []func(*registry, *typeDef)
	parts  []Declaration
}

// NewObject defines an object type with state S, which starts as S's zero value. Where S has changed since objects were
// stored, declare each change with [Migrate]; without it a state is decoded as it stands, and fields that it has not are zero.
func NewObject[S any](name string, parts ...Declaration) *Object[S] {
	return &Object[S]{name: name, parts: parts}
}

// At returns the address of the object with this key.
func (o *Object[S]) At(key string) Address { return Address{o.name, key} }

// State returns the object's last committed state without waking it; ok is false when it has none yet.
func (o *Object[S]) State(ctx context.Context, c Client, key string, opts ...CallOption) (state S, ok bool, err error) {
	p, err := call[*S](ctx, c, o.At(key), HookState, None{}, header(opts))
	if err != nil || p == nil {
		return state, false, err
	}
	return *p, true, nil
}

// Method is a typed method of an object, and its client.
type Method[In, Out any] struct{ typ, name string }

// NewMethod defines a method: one call at a time runs on an object. An error that fn returns is the call's outcome:
// 422, the state as before, recorded, never tried again. A panic is the same with 500. Migrations are those of the payload:
// calls that wait in the log since before its type changed get it as it is today.
func NewMethod[S, In, Out any](o *Object[S], name string, fn func(*S, Context, In) (Out, error), payload ...*Migration) *Method[In, Out] {
	o.hooks = append(o.hooks, &methodDecl{name: name, make: func(r *registry, t *typeDef) *hookDef {
		h := hookOf[In, Out](r, t, name, payload...)
		h.method = func(state any, ctx Context, payload []byte) ([]byte, error) {
			return invoke(payload, func(in In) (Out, error) { return fn(state.(*S), ctx, in) })
		}
		return h
	}})
	return &Method[In, Out]{o.name, name}
}

// MethodRef is a method's handle without its implementation, for callers.
func MethodRef[In, Out any](typ, name string) *Method[In, Out] { return &Method[In, Out]{typ, name} }

// Call calls the method of the object with this key and waits for its result. Errors: [*Error].
func (m *Method[In, Out]) Call(ctx context.Context, c Client, key string, in In, opts ...CallOption) (Out, error) {
	return call[Out](ctx, c, Address{m.typ, key}, m.name, in, header(opts))
}

// Send puts a call into the object's inbox and returns its sequence there: durable, one way.
func (m *Method[In, Out]) Send(ctx context.Context, c Client, key string, in In, opts ...CallOption) (uint64, error) {
	return send(ctx, c, Address{m.typ, key}, m.name, in, opts)
}

// Query is a typed read of an object, and its client: it sees the last committed state and commits nothing.
type Query[In, Out any] struct{ typ, name string }

// NewQuery defines a query.
func NewQuery[S, In, Out any](o *Object[S], name string, fn func(S, ReadContext, In) (Out, error)) *Query[In, Out] {
	o.hooks = append(o.hooks, &methodDecl{name: name, make: func(r *registry, t *typeDef) *hookDef {
		h := hookOf[In, Out](r, t, name)
		h.query = func(state any, ctx ReadContext, payload []byte) ([]byte, error) {
			return invoke(payload, func(in In) (Out, error) { return fn(*state.(*S), ctx, in) })
		}
		return h
	}})
	return &Query[In, Out]{o.name, name}
}

// QueryRef is a query's handle without its implementation, for callers.
func QueryRef[In, Out any](typ, name string) *Query[In, Out] { return &Query[In, Out]{typ, name} }

// Call reads the object with this key. Errors: [*Error].
func (q *Query[In, Out]) Call(ctx context.Context, c Client, key string, in In, opts ...CallOption) (Out, error) {
	return call[Out](ctx, c, Address{q.typ, key}, q.name, in, header(opts))
}

type (
	methodFunc func(state any, ctx Context, payload []byte) ([]byte, error)
	queryFunc  func(state any, ctx ReadContext, payload []byte) ([]byte, error)
)

type methodDecl struct {
	name string
	make func(*registry, *typeDef) *hookDef
}

func invoke[In, Out any](payload []byte, fn func(In) (Out, error)) ([]byte, error) {
	var in In
	if err := json.Unmarshal(payload, &in); err != nil {
		return nil, Errorf(CodeInvalid, "payload does not decode: %v", err)
	}
	out, err := fn(in)
	if err != nil {
		return nil, userError(err)
	}
	b, failure := encode("the result", out)
	if failure != nil {
		return nil, failure
	}
	return b, nil
}

// objectCode is what the engine knows of a state type.
type objectCode struct {
	schema Schema
	decode func(state []byte) (any, error) // a *S; empty: the zero value
	plain  bool                            // S holds no references: a copy of the value is independent
}

func (o *Object[S]) define(r *registry) {
	t := r.add(o.name)
	t.object = &objectCode{
		schema: schemaOf[S](r, o.name+" state"),
		plain:  plain(reflect.TypeFor[S]()),
		decode: func(state []byte) (any, error) {
			s := new(S)
			if len(state) == 0 {
				return s, nil
			}
			return s, json.Unmarshal(state, s)
		},
	}
	if len(o.hooks) == 0 {
		r.problem("%s: an object needs a method or query", o.name)
	}
	for _, m := range o.hooks {
		r.addHook(t, m.make(r, t))
	}
	for _, define := range o.alarms {
		define(r, t)
	}
	for _, p := range o.parts {
		p.declare(r, t)
	}
	t.migrations.check(r, o.name+" state", reflect.TypeFor[S]())
	if len(t.checkpoints) > 0 {
		r.problem("%s: MigrateCheckpoint is for workflows", o.name)
	}
}

// plain reports whether a copy of a value of type t shares no memory with it.
func plain(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Array:
		return plain(t.Elem())
	case reflect.Struct:
		for f := range t.Fields() {
			if !plain(f.Type) {
				return false
			}
		}
		return true
	case reflect.Chan, reflect.Func, reflect.Interface, reflect.Map, reflect.Pointer, reflect.Slice, reflect.UnsafePointer:
		return false
	default:
		return true
	}
}
