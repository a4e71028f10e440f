package schema_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/schema"
)

func schemaOf(t testing.TB, typ reflect.Type) actor.Schema {
	t.Helper()
	s, err := schema.New().For(typ)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestReflector_JSON(t *testing.T) {
	const draft = `"$schema":"https://json-schema.org/draft/2020-12/schema",`
	tests := []struct {
		typ  reflect.Type
		want string
	}{
		{reflect.TypeFor[actor.None](), `{` + draft + `"type":"null"}`},
		{reflect.TypeFor[any](), `{` + strings.TrimSuffix(draft, ",") + `}`},
		{reflect.TypeFor[Action](), `{` + draft + `
			"properties":{"type":{"type":"string","enum":["increment","decrement","get"]},"amount":{"type":"integer","default":1}},
			"type":"object","required":["type"]}`},
		{reflect.TypeFor[*Line](), `{` + draft + `"properties":{
			"sku":{"type":"string","minLength":1,"maxLength":8,"pattern":"^[a-z]+$"},
			"count":{"type":"integer","minimum":1,"maximum":99,"default":1},
			"tags":{"type":["array","null"],"items":{"type":"string"},"uniqueItems":true,"default":["new","hot"]}},
			"required":["sku"],"type":["object","null"]}`},
		{reflect.TypeFor[map[int][]byte](), `{` + draft + `"type":["object","null"],
			"propertyNames":{"pattern":"^(0|-?[1-9][0-9]*)$"},
			"additionalProperties":{"type":["string","null"],"contentEncoding":"base64"}}`},
		{reflect.TypeFor[Tree](), `{` + draft + `"$ref":"#/$defs/Tree","$defs":{"Tree":{"type":"object","properties":{
			"name":{"type":"string","default":"leaf"},
			"left":{"anyOf":[{"$ref":"#/$defs/Tree"},{"type":"null"}],"description":"the smaller ones"},
			"children":{"type":["array","null"],"items":{"$ref":"#/$defs/Tree"}},
			"index":{"type":["object","null"],"additionalProperties":{"$ref":"#/$defs/Tree"}}}}}}`},
		{reflect.TypeFor[Choice](), `{` + draft + `"type":"object","properties":{
			"mail":{"type":["string","null"]},"phone":{"type":["string","null"]},
			"kind":{"type":["string","null"],"enum":["a","b",null]},"level":{"type":["integer","null"],"maximum":3}},
			"oneOf":[{"required":["mail"],"title":"mail"},{"required":["phone"],"title":"phone"}],
			"required":["level"]}`},
	}
	for _, tt := range tests {
		t.Run(tt.typ.String(), func(t *testing.T) {
			if diff := cmp.Diff(parse(t, schemaOf(t, tt.typ).JSON()), parse(t, []byte(tt.want))); diff != "" {
				t.Errorf("schema (-got +want):\n%s", diff)
			}
		})
	}
}

func parse(t testing.TB, data []byte) any {
	t.Helper()
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatalf("%v in %s", err, data)
	}
	return v
}

// Which fields there are, and in which order, must be what encoding/json writes.
func TestReflector_FieldsOfEncodingJSON(t *testing.T) {
	type Deep struct{ A, B, C int }
	type left struct {
		Deep
		B int
		D int `json:"E"`
	}
	type right struct {
		B int
		E int
	}
	type tagged struct{ X int }
	values := []any{
		struct {
			left
			right
			tagged `json:"tagged"`
			F      int `json:"bad\\name"`
			G      int `json:"good.name-1 ü"`
			h      int
			I      int `json:"-,"`
			J      int `json:",omitzero"`
			Deep   `json:"deep"`
		}{J: 1, h: 1},
		struct {
			Deep
			*left
			A string `json:"a"`
		}{left: &left{}},
	}
	for _, v := range values {
		sent, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(reflect.TypeOf(v).String(), "*schema_test.left") {
			if _, err := schema.New().For(reflect.TypeOf(v)); err == nil {
				t.Error("a pointer to an unexported struct is accepted")
			}
			continue
		}
		got, err := schemaOf(t, reflect.TypeOf(v)).Normalize(sent)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, sent) {
			t.Errorf("got  %s\nwant %s", got, sent)
		}
	}
}

type stringer interface{ String() string }

type endless *endless

type loop struct {
	Next *loop `json:"next" jsonschema:"default={}"`
}

type panics struct{}

func (*panics) UnmarshalJSON([]byte) error { panic("no") }

func TestReflector_DefinitionErrors(t *testing.T) {
	type inner struct {
		Notify chan int `json:"notify"`
	}
	tests := []struct {
		name string
		typ  reflect.Type
		want []string
	}{
		{"nil", nil, []string{"concrete type"}},
		{"chan", reflect.TypeFor[chan int](), []string{"JSON cannot carry chan int"}},
		{"deep chan", reflect.TypeFor[struct{ A []inner }](), []string{"field Notify of schema_test.inner", "chan int", `json:"-"`}},
		{"func", reflect.TypeFor[struct{ F func() }](), []string{"field F of", "func()"}},
		{"complex", reflect.TypeFor[struct{ C complex128 }](), []string{"field C of", "complex128"}},
		{"map key", reflect.TypeFor[map[float64]int](), []string{"keys of type float64", "use a string"}},
		{"interface", reflect.TypeFor[struct{ S stringer }](), []string{"field S", "concrete type"}},
		{"endless pointer", reflect.TypeFor[endless](), []string{"points to itself"}},
		{"default without omitzero", reflect.TypeFor[struct {
			N int `json:"n" jsonschema:"default=1"`
		}](), []string{"field N of struct", "add omitzero", "pointer"}},
		{"default with omitempty", reflect.TypeFor[struct {
			N int `json:"n,omitempty" jsonschema:"default=1"`
		}](), []string{"field N of struct", "add omitzero"}},
		{"default not a number", reflect.TypeFor[struct {
			N int `json:"n,omitzero" jsonschema:"default=one"`
		}](), []string{"field N", "default=one is not integer"}},
		{"default of another type", reflect.TypeFor[struct {
			N int `json:"n,omitzero" jsonschema:"default=true"`
		}](), []string{"field N", "must be integer, not boolean"}},
		{"default out of bounds", reflect.TypeFor[struct {
			N *int `jsonschema:"default=9,maximum=5"`
		}](), []string{"field N", "default is not allowed by its own schema", "maximum"}},
		{"default not in enum", reflect.TypeFor[struct {
			S *string `jsonschema:"default=c,enum=a,enum=b"`
		}](), []string{"field S", "'a', 'b'"}},
		{"default too large for Go", reflect.TypeFor[struct {
			N int8 `json:",omitzero" jsonschema:"default=300"`
		}](), []string{"field N", "does not fit int8"}},
		{"default and required", reflect.TypeFor[struct {
			N *int `jsonschema:"default=1,required"`
		}](), []string{"field N", "drop one"}},
		{"two defaults", reflect.TypeFor[struct {
			N *int `jsonschema:"default=1,default=2"`
		}](), []string{"field N", "more than one default"}},
		{"default behind embedded pointer", reflect.TypeFor[struct{ *Line }](), []string{"field Count", "embed the struct itself"}},
		{"endless default", reflect.TypeFor[loop](), []string{"field Next", "contains itself"}},
		{"hidden in schema", reflect.TypeFor[struct {
			N int `jsonschema:"-"`
		}](), []string{"field N", `json:"-"`}},
		{"bad pattern", reflect.TypeFor[struct {
			S string `jsonschema:"pattern=("`
		}](), []string{"check the jsonschema tags"}},
		{"panic", reflect.TypeFor[struct {
			P *panics `jsonschema:"default={}"`
		}](), []string{"panic", "no"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := schema.New().For(tt.typ)
			if err == nil {
				t.Fatal("accepted")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q lacks %q", err, want)
				}
			}
		})
	}
}

func TestReflector_Concurrent(t *testing.T) {
	r := schema.New()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for _, typ := range types() {
				s, err := r.For(typ)
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = s.Normalize([]byte(`{"type":"get","name":"x"}`))
			}
		})
	}
	wg.Wait()
	first, _ := r.For(reflect.TypeFor[Action]())
	if again, _ := r.For(reflect.TypeFor[Action]()); first != again {
		t.Error("the schema was made again")
	}
}

// A dense graph of types that contain each other must not be written out path by path.
func TestReflector_DenseTypes(t *testing.T) {
	if got := len(schemaOf(t, reflect.TypeFor[D0]()).JSON()); got > 10_000 {
		t.Errorf("schema of %d bytes", got)
	}
}

type (
	D0 struct {
		A *D1
		B *D2
		C *D3
		D []D4
	}
	D1 struct {
		A *D0
		B *D2
		C *D3
		D []D4
	}
	D2 struct {
		A *D1
		B *D0
		C *D3
		D []D4
	}
	D3 struct {
		A *D1
		B *D2
		C *D0
		D []D4
	}
	D4 struct {
		A *D1
		B *D2
		C *D3
		D []D0
	}
)
