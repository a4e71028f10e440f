// Package schema makes payload schemas of Go types: it implements [actor.Schemas].
//
// # Model
//
// A Go type is read by the rules of encoding/json into a tree of nodes, one an occurrence of a type, and
// into a JSON Schema (draft 2020-12). invopop/jsonschema reads the jsonschema struct tags,
// santhosh-tekuri/jsonschema validates. [actor.Schema.Normalize] walks a payload along the tree:
// each node validates its own value, fills in defaults, drops fields that the type does not have and
// writes what is left.
//
//   - A field is required unless it has omitempty or omitzero, is a pointer, is promoted through an embedded
//     pointer, or has a default. The tag jsonschema:"required" makes it required in any case.
//   - default=V: a missing field becomes V, and so does a null where the type allows null. The field must be
//     a pointer or have omitzero, so that Go callers can leave it out. V is text, a number or a boolean by
//     the field's type; it is repeated for the elements of a list; for all other types it is JSON.
//   - Pointers, slices and maps take null, as encoding/json writes their nil.
//   - A type with JSON methods takes any JSON; one with text methods a string; one with a method
//     JSONSchema() *jsonschema.Schema (of invopop/jsonschema) what that says. Their payloads are kept as sent.
//   - Types are written out where they are used; only a type that contains itself goes to $defs.
//
// # Guarantees
//
//   - G1: a normalized payload normalizes to itself.
//   - G2: numbers keep their digits; struct fields come in the order of the type, other keys sorted.
//   - G3: of many problems always the same is reported: the first in that order.
//   - G4: time and memory are linear in the payload's size, save for uniqueItems and for a type's own schema.
//     A number that is validated has at most 1,000 characters and an exponent within ±1,000.
//
// # Concurrency
//
// Everything is safe for concurrent use; a [Reflector] keeps what it made. The package starts no goroutine.
//
// # Failure
//
// [Reflector.For] fails for a type that cannot be a payload; its error names type and field and says what to
// change. Normalize fails with an [*actor.Error]; its details are {"field": JSON pointer, "problem": text}.
package schema

import (
	"errors"
	"fmt"
	"reflect"
	"sync"

	"github.com/perdure/perdure/actor"
)

// Reflector makes schemas of Go types and keeps them. The zero value is ready for use.
type Reflector struct {
	made sync.Map // reflect.Type → *payload
}

var _ actor.Schemas = (*Reflector)(nil)

// New returns a Reflector.
func New() *Reflector { return &Reflector{} }

// For returns the schema of t, always the same for the same t.
// Its error says which field of which type is defined wrongly, and what to do about it.
func (r *Reflector) For(t reflect.Type) (actor.Schema, error) {
	if made, ok := r.made.Load(t); ok {
		return made.(*payload), nil
	}
	p, err := reflectPayload(t)
	if err != nil {
		return nil, fmt.Errorf("make payload schema of %v: %w", t, err)
	}
	made, _ := r.made.LoadOrStore(t, p)
	return made.(*payload), nil
}

// reflectPayload turns a panic into an error: user code is called for types with a JSONSchema or JSON method.
func reflectPayload(t reflect.Type) (p *payload, err error) {
	defer func() {
		if r := recover(); r != nil {
			p, err = nil, fmt.Errorf("panic in a JSON method of the type: %v", r)
		}
	}()
	if t == nil {
		return nil, errors.New("a nil interface has no type; use a concrete type")
	}
	b := &builder{defs: map[reflect.Type]*definition{}, cyclic: map[reflect.Type]bool{}}
	root, s, err := b.typ(t)
	if err != nil {
		return nil, err
	}
	return b.compile(root, complete(s, root))
}
