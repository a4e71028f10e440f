package actor

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// hold sets an object's state as a record of this version of it has it, for records to come. No code sees it.
func (x *execution) hold(state []byte, version int) {
	x.encoded, x.version, x.status = state, version, StatusRunning
}

// restore sets an object's state from a record of this version of it; empty is the zero value. One that is not of today is
// migrated; the object's next record has it so.
func (x *execution) restore(state []byte, version int) error {
	ms := x.typ.migrations
	if len(state) == 0 {
		version = ms.version()
	}
	x.hold(state, version) // also when it does not migrate
	migrated, err := ms.migrate(state, version)
	if err == nil && max(version, 1) != ms.version() && len(migrated) > x.stateLimit {
		err = fmt.Errorf("%w: it has %d bytes then; at most %d are allowed", errMigration, len(migrated), x.stateLimit)
	}
	if err != nil {
		return err
	}
	x.version = ms.version()
	return x.load(migrated)
}

// load sets an object's state of today's version; empty is the zero value.
func (x *execution) load(state []byte) error {
	x.encoded, x.status = state, StatusRunning // kept also when this code cannot read it
	s, err := x.typ.object.decode(state)
	if err == nil {
		x.state = s
	}
	return err
}

// startMethod takes the oldest call and runs its method.
func (x *execution) startMethod() {
	c := x.take(func(*received) bool { return true })
	x.current, x.rng, x.outputs, x.changes = c, nil, nil, alarmChanges{}
	method := x.methodOf(c)
	x.body = newCoroutine(func() {
		if method == nil {
			x.endMethod(nil, Errorf(CodeNotFound, "%s has no method %s", x.typ.name, c.hook))
			return
		}
		result, err := method(x.state, &scope{x: x}, c.payload)
		x.endMethod(result, err)
	})
	x.ready = nil
	x.step()
}

// methodOf is the method that a call runs; nil: the type has none.
func (x *execution) methodOf(c *received) methodFunc {
	if c.alarm != nil {
		if a := x.typ.alarms[c.hook]; a != nil {
			return a.method
		}
		return nil
	}
	if h := x.typ.hooks[c.hook]; h != nil {
		return h.method
	}
	return nil
}

// endMethod records the call's outcome. On success the state is the new one, on failure the one before.
func (x *execution) endMethod(result []byte, err error) {
	c := x.current
	state, failure := x.encoded, failureOf(err)
	if failure == nil {
		state, failure = encode("the state", x.state)
	}
	if failure == nil && len(state) > x.stateLimit {
		failure = Errorf(CodeTooLarge, "the state has %d bytes; at most %d are allowed", len(state), x.stateLimit)
	}
	if failure == nil && len(result) > x.limit {
		failure = Errorf(CodeTooLarge, "the result has %d bytes; at most %d are allowed", len(result), x.limit)
	}
	if emitted := x.emitted(); failure == nil && emitted > maxEmitted {
		failure = Errorf(CodeTooLarge, "the method emits %d bytes; at most %d are allowed", emitted, maxEmitted)
	}
	if failure != nil {
		x.outputs, x.changes = nil, alarmChanges{}
	}
	if failure == nil {
		x.encoded = state
		x.flushOutputs()
		x.flushAlarms()
	} else if err := x.load(x.encoded); err != nil {
		x.halt(Errorf(CodePanic, "the state before the call does not decode: %v", err))
		return
	}
	if failure != nil && c.alarm != nil {
		if err == nil {
			err = failure
		}
		x.alarmFailed(c, err)
	}
	x.outcome(c.id, result, failure)
	x.current = nil
}

// maxEmitted is how many bytes one method may emit to its streams: it is all in one record with its outcome.
const maxEmitted = 32 << 20

// emitted is how much the method that runs has put out, in bytes.
func (x *execution) emitted() (n int) {
	for i := range x.outputs {
		n += len(x.outputs[i].Payload)
	}
	return n
}

func failureOf(err error) *Error {
	if err == nil {
		return nil
	}
	if e := (*Error)(nil); errors.As(err, &e) {
		return e
	}
	return userError(err)
}

// query answers a read from the last complete state.
func (x *execution) query(h *hookDef, ctx ReadContext, payload []byte) (result []byte, failure *Error) {
	defer func() {
		if r := recover(); r != nil {
			result, failure = nil, Errorf(CodePanic, "panic: %v", r).asObject()
		}
	}()
	state := x.state
	if !x.typ.object.plain || x.current != nil {
		fresh, err := x.typ.object.decode(x.encoded)
		if err != nil {
			return nil, Errorf(CodePanic, "the state does not decode: %v", err)
		}
		state = fresh
	}
	out, err := h.query(state, ctx, payload)
	if err == nil && len(out) > x.limit {
		err = Errorf(CodeTooLarge, "the result has %d bytes; at most %d are allowed", len(out), x.limit)
	}
	return out, failureOf(err)
}

// unanswered returns the calls without outcome, oldest first.
func (x *execution) unanswered() []*received {
	all := make([]*received, 0, len(x.open))
	for _, c := range x.open {
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b *received) int {
		if d := a.at.Compare(b.at); d != 0 {
			return d
		}
		return cmp.Compare(a.id, b.id)
	})
	return all
}
