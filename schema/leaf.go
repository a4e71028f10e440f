package schema

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"time"

	"github.com/invopop/jsonschema"

	"github.com/perdure/perdure/actor"
)

// leaf returns node and schema of a type that has no parts of its own on the wire; nil for one that has.
func leaf(t reflect.Type) (*node, *jsonschema.Schema) {
	switch {
	case t == reflect.TypeFor[actor.None]():
		return &node{shape: none}, &jsonschema.Schema{Type: "null"}
	case t == reflect.TypeFor[time.Time]():
		return &node{shape: single}, &jsonschema.Schema{Type: "string", Format: "date-time"}
	case t == reflect.TypeFor[json.Number]():
		return &node{shape: single}, &jsonschema.Schema{Type: "number"}
	case has[interface{ JSONSchema() *jsonschema.Schema }](t):
		own := reflect.New(t).Interface().(interface{ JSONSchema() *jsonschema.Schema })
		s := *own.JSONSchema() // a copy: tags of the field are written into it
		return &node{shape: free}, &s
	case has[json.Marshaler](t) || has[json.Unmarshaler](t):
		return &node{shape: free}, &jsonschema.Schema{}
	case has[encoding.TextMarshaler](t) || has[encoding.TextUnmarshaler](t):
		return &node{shape: single}, &jsonschema.Schema{Type: "string"}
	case t.Kind() == reflect.Interface && t.NumMethod() == 0:
		return &node{shape: free}, &jsonschema.Schema{}
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8 && !hasMethods(t.Elem()):
		return &node{shape: single, nullable: true}, &jsonschema.Schema{Type: "string", ContentEncoding: "base64"}
	}
	if name := scalarName(t.Kind()); name != "" {
		return &node{shape: single}, &jsonschema.Schema{Type: name}
	}
	return nil, nil
}

func scalarName(k reflect.Kind) string {
	switch {
	case k == reflect.String:
		return "string"
	case k == reflect.Bool:
		return "boolean"
	case k >= reflect.Int && k <= reflect.Uintptr:
		return "integer"
	case k == reflect.Float32 || k == reflect.Float64:
		return "number"
	default:
		return ""
	}
}

// has reports whether t or *t has the methods of I.
func has[I any](t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(reflect.TypeFor[I]())
}

func hasMethods(t reflect.Type) bool {
	return has[json.Marshaler](t) || has[json.Unmarshaler](t) ||
		has[encoding.TextMarshaler](t) || has[encoding.TextUnmarshaler](t)
}

// keyPattern returns what the keys of a map with keys of type t look like; empty: anything.
func keyPattern(t reflect.Type) (string, error) {
	k := t.Kind()
	switch {
	case k == reflect.String, has[encoding.TextUnmarshaler](t) && t.Implements(reflect.TypeFor[encoding.TextMarshaler]()):
		return "", nil
	case k >= reflect.Int && k <= reflect.Int64:
		return "^(0|-?[1-9][0-9]*)$", nil
	case k >= reflect.Uint && k <= reflect.Uintptr:
		return "^(0|[1-9][0-9]*)$", nil
	default:
		return "", fmt.Errorf("JSON cannot carry a map with keys of type %v; use a string, an integer or a type with MarshalText and UnmarshalText", t)
	}
}
