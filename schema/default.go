package schema

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

	"github.com/invopop/jsonschema"

	"github.com/perdure/perdure/actor"
)

// defaultValue reads the texts of default= keywords as a value of s.
func defaultValue(s *jsonschema.Schema, texts []string) (any, error) {
	if s.Type == "array" {
		values := make([]any, len(texts))
		for i, text := range texts {
			var err error
			if values[i], err = defaultValue(s.Items, []string{text}); err != nil {
				return nil, err
			}
		}
		return values, nil
	}
	if len(texts) > 1 {
		return nil, errors.New("it has more than one default; keep one, and write a comma in it as \\\\,")
	}
	if s.Type == "string" {
		return texts[0], nil
	}
	v, err := decode([]byte(texts[0]))
	if err != nil {
		kind := s.Type
		if kind == "" {
			kind = "JSON"
		}
		return nil, fmt.Errorf("default=%s is not %s; correct it: %w", texts[0], kind, err)
	}
	return v, nil
}

// resolve normalizes the field's default, and first those that it contains.
func (f *field) resolve() error {
	switch {
	case f.def != nil:
		return nil
	case f.resolving:
		return inField(f.typ, f.goField, errors.New("its default contains itself; give one that ends, such as null"))
	}
	f.resolving = true
	w := walk{}
	if err := w.value(f.node, f.initial); err != nil {
		if invalid, ok := errors.AsType[*actor.Error](err); ok {
			err = errors.New(invalid.Message)
		}
		return inField(f.typ, f.goField, fmt.Errorf("its default is not allowed by its own schema; correct it: %w", err))
	}
	if err := f.decodes(w.out); err != nil {
		return inField(f.typ, f.goField, fmt.Errorf("its default does not fit %v; correct it: %w", f.goField.Type, err))
	}
	f.def = w.out
	return nil
}

// decodes reports why the field cannot hold data.
func (f *field) decodes(data []byte) error {
	tag := reflect.StructTag(`json:"v"`)
	if f.goField.quoted {
		tag = `json:"v,string"`
	}
	holder := reflect.StructOf([]reflect.StructField{{Name: "V", Type: f.goField.Type, Tag: tag}})
	return json.Unmarshal(fmt.Appendf(nil, `{"v":%s}`, data), reflect.New(holder).Interface())
}
