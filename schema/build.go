package schema

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/invopop/jsonschema"
)

// maxNodes bounds the schema of one type. Types are written out at each use, which can grow exponentially.
const maxNodes = 10_000

// builder reads one Go type. Schemas that it passes around lack their null until [complete] adds it:
// struct tags are applied before.
type builder struct {
	defs   map[reflect.Type]*definition
	cyclic map[reflect.Type]bool
	filled []*field // fields with a default
	nodes  int
}

// definition is a type that contains itself.
type definition struct {
	name   string
	node   *node
	schema *jsonschema.Schema
}

// fieldError is an error in the definition of one field.
type fieldError struct {
	typ   reflect.Type
	field string
	err   error
}

func (e *fieldError) Error() string { return fmt.Sprintf("field %s of %v: %v", e.field, e.typ, e.err) }
func (e *fieldError) Unwrap() error { return e.err }

// inField says that err is about field f of t, unless it is about a field further in.
func inField(t reflect.Type, f *goField, err error) error {
	if _, ok := errors.AsType[*fieldError](err); ok {
		return err
	}
	return &fieldError{t, f.Name, err}
}

func (b *builder) typ(t reflect.Type) (*node, *jsonschema.Schema, error) {
	pointers := 0
	for ; t.Kind() == reflect.Pointer; t = t.Elem() {
		if pointers++; pointers > 100 {
			return nil, nil, fmt.Errorf("pointer type %v points to itself; use a struct", t)
		}
	}
	if b.nodes++; b.nodes > maxNodes {
		return nil, nil, fmt.Errorf("the type has more than %d parts; make it smaller, or use json.RawMessage for some", maxNodes)
	}
	var (
		n   *node
		s   *jsonschema.Schema
		err error
	)
	if b.isCyclic(t) {
		n, s, err = b.reference(t)
	} else {
		n, s, err = b.written(t)
	}
	if err != nil {
		return nil, nil, err
	}
	n.nullable = n.nullable || pointers > 0
	return n, s, nil
}

// written returns t written out.
func (b *builder) written(t reflect.Type) (*node, *jsonschema.Schema, error) {
	if n, s := leaf(t); n != nil {
		return n, s, nil
	}
	switch t.Kind() {
	case reflect.Struct:
		return b.object(t)
	case reflect.Slice, reflect.Array:
		return b.list(t)
	case reflect.Map:
		return b.dict(t)
	case reflect.Interface:
		return nil, nil, fmt.Errorf("JSON cannot be decoded into interface %v, which has methods; use a concrete type, any or json.RawMessage", t)
	default:
		return nil, nil, fmt.Errorf("JSON cannot carry %v; remove it, or keep it out with the tag json:\"-\"", t)
	}
}

func (b *builder) list(t reflect.Type) (*node, *jsonschema.Schema, error) {
	elem, items, err := b.typ(t.Elem())
	if err != nil {
		return nil, nil, err
	}
	s := &jsonschema.Schema{Type: "array", Items: items}
	if t.Kind() == reflect.Array {
		length := uint64(t.Len())
		s.MinItems, s.MaxItems = &length, &length
	}
	return &node{shape: list, elem: elem, nullable: t.Kind() == reflect.Slice}, s, nil
}

func (b *builder) dict(t reflect.Type) (*node, *jsonschema.Schema, error) {
	pattern, err := keyPattern(t.Key())
	if err != nil {
		return nil, nil, err
	}
	elem, values, err := b.typ(t.Elem())
	if err != nil {
		return nil, nil, err
	}
	s := &jsonschema.Schema{Type: "object", AdditionalProperties: values}
	if pattern != "" {
		s.PropertyNames = &jsonschema.Schema{Pattern: pattern}
	}
	return &node{shape: dict, elem: elem, nullable: true}, s, nil
}

// reference returns a $ref to the definition of t, which it makes on first use.
func (b *builder) reference(t reflect.Type) (*node, *jsonschema.Schema, error) {
	def := b.defs[t]
	if def == nil {
		def = &definition{name: b.name(t), node: &node{}}
		b.defs[t] = def
		n, s, err := b.written(t)
		if err != nil {
			return nil, nil, err
		}
		*def.node = *n
		def.node.nullable = false // each reference says it for itself
		def.schema = complete(s, def.node)
	}
	nullable := t.Kind() == reflect.Slice || t.Kind() == reflect.Map
	return &node{shape: ref, target: def.node, nullable: nullable}, &jsonschema.Schema{Ref: "#/$defs/" + def.name}, nil
}

// name returns a name for t in $defs that needs no escaping and that no other type has.
func (b *builder) name(t reflect.Type) string {
	base := strings.Map(func(c rune) rune {
		if c < 0x80 && (c == '_' || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z') {
			return c
		}
		return '_'
	}, t.Name())
	taken := map[string]bool{}
	for _, d := range b.defs {
		taken[d.name] = true
	}
	name := base
	for i := 2; taken[name]; i++ {
		name = base + "_" + strconv.Itoa(i)
	}
	return name
}

// isCyclic reports whether t contains itself.
func (b *builder) isCyclic(t reflect.Type) bool {
	if t.Name() == "" {
		return false
	}
	known, ok := b.cyclic[t]
	if !ok {
		known = reaches(t, t, map[reflect.Type]bool{})
		b.cyclic[t] = known
	}
	return known
}

func reaches(from, to reflect.Type, visited map[reflect.Type]bool) bool {
	for _, part := range parts(from) {
		if part == to {
			return true
		}
		if !visited[part] {
			visited[part] = true
			if reaches(part, to, visited) {
				return true
			}
		}
	}
	return false
}

func parts(t reflect.Type) []reflect.Type {
	if t.Kind() == reflect.Pointer {
		return []reflect.Type{t.Elem()}
	}
	if n, _ := leaf(t); n != nil {
		return nil
	}
	switch t.Kind() {
	case reflect.Slice, reflect.Array, reflect.Map:
		return []reflect.Type{t.Elem()}
	case reflect.Struct:
		var types []reflect.Type
		for _, f := range goFields(t) {
			types = append(types, f.Type)
		}
		return types
	default:
		return nil
	}
}
