package schema

import (
	"reflect"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// shape says how a node treats its value.
type shape int

const (
	single shape = iota // a string, number or boolean
	object              // a struct
	list                // a slice or array
	dict                // a map
	free                // any JSON, kept as sent
	none                // actor.None
	ref                 // a type that contains itself
)

// node is one occurrence of a type. It does not change once its schema is made.
type node struct {
	shape     shape
	nullable  bool
	unchecked bool // nothing to validate
	wrapped   bool // its schema is anyOf this or null
	deep      bool // validation looks into the parts of the value too
	local     *jsonschema.Schema
	fields    []*field           // object
	elem      *node              // list, dict
	keys      *jsonschema.Schema // dict; nil: any
	target    *node              // ref
}

// field is a field of an object.
type field struct {
	name    string
	label   []byte // `"name":`
	node    *node
	typ     reflect.Type // the struct
	goField *goField

	hasDefault bool
	initial    any    // the default as defined
	def        []byte // and normalized
	resolving  bool
}
