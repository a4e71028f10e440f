package schema

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/invopop/jsonschema"
)

func (b *builder) object(t reflect.Type) (*node, *jsonschema.Schema, error) {
	if has[interface{ JSONSchemaExtend(*jsonschema.Schema) }](t) || has[interface{ JSONSchemaAlias() any }](t) ||
		has[interface{ JSONSchemaProperty(string) any }](t) {
		return nil, nil, fmt.Errorf("of the methods of invopop/jsonschema %v can only have JSONSchema; use that, or struct tags", t)
	}
	fields := goFields(t)
	nodes, schemas := make([]*node, len(fields)), make([]*jsonschema.Schema, len(fields))
	for i, f := range fields {
		var err error
		if nodes[i], schemas[i], err = b.typ(f.Type); err != nil {
			return nil, nil, inField(t, f, err)
		}
	}
	s := tagged(fields, schemas)
	explicit := s.Required
	s.Required = nil
	n := &node{shape: object}
	for i, gf := range fields {
		f, err := b.field(gf, nodes[i], s, slices.Contains(explicit, gf.name))
		if err != nil {
			return nil, nil, inField(t, gf, err)
		}
		f.typ = t
		n.fields = append(n.fields, f)
	}
	return n, s, nil
}

// tagged lets invopop/jsonschema apply the struct tags to the schemas of the fields' types and returns the
// schema of the struct. The fields are handed over in a stand-in struct: which fields there are, and under
// which names, follows encoding/json in every corner only here.
func tagged(fields []*goField, schemas []*jsonschema.Schema) *jsonschema.Schema {
	type slot struct{}
	standIn, names := make([]reflect.StructField, len(fields)), map[string]string{}
	for i, f := range fields {
		key := "f" + strconv.Itoa(i)
		names[key] = f.name
		if f.quoted {
			key += ",string"
		}
		standIn[i] = reflect.StructField{
			Name: "F" + strconv.Itoa(i),
			Type: reflect.TypeFor[slot](),
			Tag: reflect.StructTag(fmt.Sprintf("json:%q jsonschema:%q jsonschema_description:%q jsonschema_extras:%q", key,
				f.Tag.Get("jsonschema"), f.Tag.Get("jsonschema_description"), f.Tag.Get("jsonschema_extras"))),
		}
	}
	next := 0
	r := jsonschema.Reflector{
		Anonymous:                  true,
		DoNotReference:             true,
		AllowAdditionalProperties:  true,
		RequiredFromJSONSchemaTags: true,
		KeyNamer:                   func(key string) string { return names[key] },
		Mapper: func(t reflect.Type) *jsonschema.Schema {
			if t != reflect.TypeFor[slot]() {
				return nil
			}
			next++
			return schemas[next-1]
		},
	}
	s := r.ReflectFromType(reflect.StructOf(standIn))
	s.Version = ""
	return s
}

// field finishes a field of object schema s.
func (b *builder) field(gf *goField, n *node, s *jsonschema.Schema, required bool) (*field, error) {
	prop, ok := s.Properties.Get(gf.name)
	keywords := splitTag(gf.Tag.Get("jsonschema"))
	switch {
	case !ok:
		return nil, errors.New("the tag jsonschema:\"-\" would lose the field on its way; use json:\"-\"")
	case gf.unsettled:
		return nil, errors.New("it is promoted through a pointer to an unexported struct, which JSON cannot set; embed the struct itself, or export it")
	case slices.Contains(keywords, "nullable"):
		prop, n.nullable = prop.OneOf[0], true
	}
	f := &field{name: gf.name, node: n, label: appendString(nil, gf.name), goField: gf}
	f.label = append(f.label, ':')

	var texts []string
	for _, k := range keywords {
		if text, ok := strings.CutPrefix(k, "default="); ok {
			texts = append(texts, text)
		}
	}
	prop.Default = nil
	if texts != nil {
		switch {
		case gf.Type.Kind() != reflect.Pointer && !gf.omitZero:
			return nil, fmt.Errorf("default=%s never applies to Go callers, who send the zero value; add omitzero to the json tag, or make the field a pointer", texts[0])
		case gf.viaPtr:
			return nil, errors.New("its default would fill in the embedded pointer of every payload; embed the struct itself")
		case required:
			return nil, errors.New("it is required and has a default; drop one of them")
		}
		v, err := defaultValue(prop, texts)
		if err != nil {
			return nil, err
		}
		prop.Default, f.initial, f.hasDefault = v, v, true
		b.filled = append(b.filled, f)
	}
	if required || !gf.optional && !f.hasDefault {
		s.Required = append(s.Required, gf.name)
	}
	s.Properties.Set(gf.name, complete(prop, n))
	return f, nil
}

// splitTag splits a jsonschema tag at its commas; \, is a comma in a value.
func splitTag(tag string) []string {
	var keywords []string
	for part := range strings.SplitSeq(tag, ",") {
		if last := len(keywords) - 1; last >= 0 && strings.HasSuffix(keywords[last], `\`) {
			keywords[last] = strings.TrimSuffix(keywords[last], `\`) + "," + part
			continue
		}
		keywords = append(keywords, part)
	}
	return keywords
}
