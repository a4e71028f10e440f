package schema_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/schema"
)

// FuzzNormalize checks for payloads of all kinds of types that
//   - Normalize accepts exactly what the JSON Schema as published accepts,
//   - a normalized payload normalizes to itself, and is still valid,
//   - what Go decodes from it and writes again is accepted.
func FuzzNormalize(f *testing.F) {
	for i, data := range []string{
		`{"type":"increment"}`,
		`{"by":"a","lines":[{"sku":"a","count":2}],"by_num":{"-1":{"sku":"b"}},"blob":"aGk=","pair":[1,2e3],"at":"2026-01-02T03:04:05Z","addr":"::1","hosts":{"1.2.3.4":5},"quoted":"9"}`,
		`{"left":{"name":"x"},"children":[{}],"index":{"a":{}}}`,
		`[[],[[]],null]`,
		`{"stars":5,"maybe":null}`,
		`{"mail":"m","kind":"a","level":null}`,
		`{}`, `{"a":[1.50,"\ud800",{"b":null}]}`, `{"sku":"abc","tags":["x"]}`, `{"1":[{"sku":"a"}]}`, `"aGk="`, `-1.5e3`,
		`1e99999`, `"\u2028<"`, `"2016-12-31T23:59:60Z"`, `{"a":1}`,
	} {
		f.Add(uint8(i), []byte(data))
		f.Add(uint8(i), []byte("null"))
	}
	type subject struct {
		typ       reflect.Type
		schema    actor.Schema
		published *jsonschema.Schema
	}
	r := schema.New()
	subjects := make([]subject, 0, len(types()))
	for _, typ := range types() {
		s, err := r.For(typ)
		if err != nil {
			f.Fatal(err)
		}
		subjects = append(subjects, subject{typ, s, published(f, s.JSON())})
	}
	f.Fuzz(func(t *testing.T, which uint8, data []byte) {
		s := subjects[int(which)%len(subjects)]
		got, err := s.schema.Normalize(data)
		var failure *actor.Error
		if err != nil && (!errors.As(err, &failure) || !json.Valid(failure.Details)) {
			t.Fatalf("not a proper *actor.Error: %v", err)
		}
		if valid, known := accepts(s.published, data); known && valid != (err == nil) && s.typ != reflect.TypeFor[actor.None]() {
			t.Fatalf("published schema accepts: %v; Normalize of %q: %v", valid, data, err)
		}
		if err != nil {
			return
		}
		again, err := s.schema.Normalize(got)
		if err != nil || !bytes.Equal(again, got) {
			t.Fatalf("%s normalizes to %s, %v", got, again, err)
		}
		v := reflect.New(s.typ)
		if json.Unmarshal(got, v.Interface()) != nil {
			return // for example 1.0 for an int
		}
		sent, err := json.Marshal(v.Interface())
		if err != nil {
			return
		}
		if _, err := s.schema.Normalize(sent); err != nil {
			t.Fatalf("Go writes %s: %v", sent, err)
		}
	})
}

func published(f *testing.F, text []byte) *jsonschema.Schema {
	f.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		f.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	c.AssertContent()
	if err := c.AddResource("test:///schema", doc); err != nil {
		f.Fatal(err)
	}
	return c.MustCompile("test:///schema")
}

// accepts reports what the schema says about data; known is false where only Normalize has rules.
func accepts(s *jsonschema.Schema, data []byte) (valid, known bool) {
	if len(data) == 0 {
		data = []byte("null")
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		return false, true
	}
	if large(v) {
		return false, false
	}
	return s.Validate(v) == nil, true
}

// large reports whether v has a number that can be too large for Normalize.
func large(v any) bool {
	switch v := v.(type) {
	case json.Number:
		_, exponent, _ := strings.Cut(strings.ToLower(string(v)), "e")
		return len(exponent) > 3 || len(v) > 1000
	case []any:
		return slices.ContainsFunc(v, large)
	case map[string]any:
		for _, part := range v {
			if large(part) {
				return true
			}
		}
	}
	return false
}
