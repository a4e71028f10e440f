package schema

import (
	"cmp"
	"reflect"
	"slices"
	"strings"
	"unicode"
)

// goField is a struct field that encoding/json reads and writes.
type goField struct {
	reflect.StructField
	name      string // on the wire
	tagged    bool   // the name comes from a tag
	path      []int  // index of each struct field that leads to it
	optional  bool   // Go callers may leave it out
	omitZero  bool
	quoted    bool // tag option string: a scalar wrapped in a string
	viaPtr    bool // promoted through an embedded pointer
	unsettled bool // promoted through an embedded pointer that encoding/json cannot set
}

// embedded is a struct whose fields are promoted.
type embedded struct {
	typ     reflect.Type
	path    []int
	pointer bool // reached through a pointer: all of its fields can be absent
	hidden  bool // reached through a pointer to an unexported struct
}

// goFields returns the fields of struct t by the rules of encoding/json, in the order in which it writes them.
func goFields(t reflect.Type) []*goField {
	var found []*goField
	visited := map[reflect.Type]bool{}
	for level := []embedded{{typ: t}}; len(level) > 0; {
		count := map[reflect.Type]int{}
		for _, e := range level {
			count[e.typ]++
		}
		var next []embedded
		for _, e := range level {
			if visited[e.typ] {
				continue
			}
			visited[e.typ] = true
			for i := range e.typ.NumField() {
				f, inner := readField(e, i)
				if inner != nil {
					next = append(next, *inner)
				}
				if f != nil {
					found = append(found, f)
					if count[e.typ] > 1 { // the same struct twice at one depth: its fields hide each other
						found = append(found, f)
					}
				}
			}
		}
		level = next
	}
	return dominant(found)
}

// readField reads field i of e: a field, a struct to promote fields from, or neither.
func readField(e embedded, i int) (*goField, *embedded) {
	sf := e.typ.Field(i)
	typ := sf.Type
	pointer := typ.Kind() == reflect.Pointer && typ.Name() == ""
	if pointer {
		typ = typ.Elem()
	}
	tag := sf.Tag.Get("json")
	if tag == "-" || !sf.IsExported() && (!sf.Anonymous || typ.Kind() != reflect.Struct) {
		return nil, nil
	}
	name, list, _ := strings.Cut(tag, ",")
	options := strings.Split(list, ",")
	if !validName(name) {
		name = ""
	}
	path := append(slices.Clone(e.path), i)
	if name == "" && sf.Anonymous && typ.Kind() == reflect.Struct {
		return nil, &embedded{typ, path, e.pointer || pointer, e.hidden || pointer && !sf.IsExported()}
	}
	omitZero := slices.Contains(options, "omitzero")
	return &goField{
		StructField: sf,
		name:        cmp.Or(name, sf.Name),
		tagged:      name != "",
		path:        path,
		optional:    e.pointer || sf.Type.Kind() == reflect.Pointer || omitZero || slices.Contains(options, "omitempty"),
		omitZero:    omitZero,
		quoted:      slices.Contains(options, "string") && scalar(typ.Kind()),
		viaPtr:      e.pointer,
		unsettled:   e.hidden,
	}, nil
}

// dominant drops fields that others of the same name hide: the shallowest wins, then the tagged one;
// if that leaves two, none does.
func dominant(found []*goField) []*goField {
	byName := map[string][]*goField{}
	for _, f := range found {
		byName[f.name] = append(byName[f.name], f)
	}
	var fields []*goField
	for _, same := range byName {
		rank := func(a, b *goField) int {
			return cmp.Or(cmp.Compare(len(a.path), len(b.path)), cmp.Compare(order(a.tagged), order(b.tagged)))
		}
		slices.SortStableFunc(same, rank)
		if len(same) == 1 || rank(same[0], same[1]) != 0 {
			fields = append(fields, same[0])
		}
	}
	slices.SortFunc(fields, func(a, b *goField) int { return slices.Compare(a.path, b.path) })
	return fields
}

func order(first bool) int {
	if first {
		return 0
	}
	return 1
}

func scalar(k reflect.Kind) bool {
	return k == reflect.String || k >= reflect.Bool && k <= reflect.Float64
}

// validName reports whether encoding/json takes name from a tag.
func validName(name string) bool {
	for _, c := range name {
		if !strings.ContainsRune("!#$%&()*+-./:;<=>?@[]^_{|}~ ", c) && !unicode.IsLetter(c) && !unicode.IsDigit(c) {
			return false
		}
	}
	return true
}
