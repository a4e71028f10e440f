package schema_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/perdure/perdure/actor"
)

func TestSchema_Normalize(t *testing.T) {
	order := func(more string) string { return `{"by":"me","note":"none","lines":[]` + more + `}` }
	const line = `{"sku":"a","count":1,"tags":["new","hot"]}`
	tests := []struct {
		name     string
		typ      reflect.Type
		in, want string
	}{
		{"default", reflect.TypeFor[Action](), `{"type":"increment"}`, `{"type":"increment","amount":1}`},
		{"zero is kept", reflect.TypeFor[Action](), ` {"amount" : 0, "type":"get"} ` + "\n", `{"type":"get","amount":0}`},
		{"unknown", reflect.TypeFor[Action](), `{"Type":1,"type":"get","AMOUNT":2,"x":{"y":[]}}`, `{"type":"get","amount":1}`},
		{"last key wins", reflect.TypeFor[Action](), `{"type":1,"amount":2,"type":"get","amount":3}`, `{"type":"get","amount":3}`},
		{"escaped key", reflect.TypeFor[Action](), `{"t\u0079pe":"\u0067et"}`, `{"type":"get","amount":1}`},
		{"large integer", reflect.TypeFor[Action](), `{"type":"get","amount":123456789012345678901234567890}`, `{"type":"get","amount":123456789012345678901234567890}`},
		{"digits", reflect.TypeFor[Action](), `{"type":"get","amount":1.0e0}`, `{"type":"get","amount":1.0e0}`},

		{"none of nothing", reflect.TypeFor[actor.None](), ``, `null`},
		{"none of null", reflect.TypeFor[actor.None](), ` null`, `null`},
		{"none of {}", reflect.TypeFor[actor.None](), `{ }`, `null`},
		{"pointer of nothing", reflect.TypeFor[*Line](), ``, `null`},
		{"slice of nothing", reflect.TypeFor[[]int](), ``, `null`},
		{"any of nothing", reflect.TypeFor[any](), ``, `null`},
		{"any", reflect.TypeFor[any](), `{"b":[1.50,{"z":null,"a":true}],"a":"<é\u0001\t\ud83d\ude00\"\\"}`, `{"a":"<é\u0001\t😀\"\\","b":[1.50,{"a":true,"z":null}]}`},
		{"raw number of any size", reflect.TypeFor[json.RawMessage](), `1e99999`, `1e99999`},
		{"empty struct", reflect.TypeFor[struct{}](), `{"a":1}`, `{}`},

		{"pointer default", reflect.TypeFor[Audit](), `{"by":"me","note":null}`, `{"by":"me","note":"none"}`},
		{"list default of null", reflect.TypeFor[Line](), `{"sku":"a","tags":null}`, line},
		{"list given", reflect.TypeFor[Line](), `{"sku":"a","tags":[]}`, `{"sku":"a","count":1,"tags":[]}`},
		{"quoted", reflect.TypeFor[Order](), order(``), order(`,"quoted":"7"`)},
		{
			"promoted through pointer", reflect.TypeFor[Order](), order(`,"street":"s"`),
			`{"by":"me","note":"none","street":"s","lines":[],"quoted":"7"}`,
		},
		{"nested", reflect.TypeFor[[]map[string]Line](), `[{"k":{"sku":"a","x":1}},null,{}]`, `[{"k":` + line + `},null,{}]`},
		{"integer keys", reflect.TypeFor[map[int]Line](), `{"-7":{"sku":"a"},"0":{"sku":"a"}}`, `{"-7":` + line + `,"0":` + line + `}`},
		{"kept in free maps", reflect.TypeFor[map[string]any](), `{"x":{"y":1}}`, `{"x":{"y":1}}`},
		{
			"recursive", reflect.TypeFor[Tree](), `{"left":{"x":1},"children":[{"name":"c","left":null}],"index":{"k":{}}}`,
			`{"name":"leaf","left":{"name":"leaf"},"children":[{"name":"c","left":null}],"index":{"k":{"name":"leaf"}}}`,
		},
		{"recursive slice", reflect.TypeFor[Strings](), `[[],[null,[[]]]]`, `[[],[null,[[]]]]`},
		{"default objects", reflect.TypeFor[Rated](), `{"stars":3}`, `{"stars":3,"tree":{"name":"leaf"},"line":` + line + `}`},
		{"nullable", reflect.TypeFor[Choice](), `{"mail":"m","level":null,"kind":null}`, `{"mail":"m","kind":null,"level":null}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := schemaOf(t, tt.typ).Normalize([]byte(tt.in))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(got), tt.want); diff != "" {
				t.Errorf("normalized (-got +want):\n%s", diff)
			}
		})
	}
}

func TestSchema_NormalizeRefuses(t *testing.T) {
	order := func(more string) string { return `{"by":"me","lines":[]` + more + `}` }
	orders := reflect.TypeFor[Order]()
	tests := []struct {
		name           string
		typ            reflect.Type
		in             string
		field, problem string
	}{
		{"nothing", reflect.TypeFor[Action](), ``, "", "must be object, not null"},
		{"not JSON", reflect.TypeFor[Action](), `{"type":get}`, "", "not valid JSON, send exactly one JSON value: invalid character 'g' looking for beginning of value at byte 9"},
		{"truncated", reflect.TypeFor[Action](), `{"type":"ge`, "", "not valid JSON, send exactly one JSON value: it ends too early"},
		{"two values", reflect.TypeFor[Action](), `{"type":"get"} {}`, "", "not valid JSON, send exactly one JSON value: more data after the value, at byte 16"},
		{"trailing brace", reflect.TypeFor[Action](), `{"type":"get"}}`, "", "not valid JSON, send exactly one JSON value: more data after the value, at byte 15"},
		{"type", reflect.TypeFor[Action](), `[]`, "", "must be object, not array"},
		{"missing", reflect.TypeFor[Action](), `{"Type":"get"}`, "/type", "is missing; it is required"},
		{"enum", reflect.TypeFor[Action](), `{"type":"reset","amount":"x"}`, "/type", "value must be one of 'increment', 'decrement', 'get'"},
		{"field type", reflect.TypeFor[Action](), `{"amount":"1","type":"get"}`, "/amount", "must be integer, not string"},
		{"fraction", reflect.TypeFor[Action](), `{"type":"get","amount":1.5}`, "/amount", "must be integer, not number"},
		{"null", reflect.TypeFor[Action](), `{"type":"get","amount":null}`, "/amount", "must be integer, not null"},
		{"long number", reflect.TypeFor[Action](), `{"type":"get","amount":` + strings.Repeat("9", 1001) + `}`, "/amount", "number too large; use at most 1,000 digits and an exponent within ±1,000"},
		{"large exponent", reflect.TypeFor[Line](), `{"sku":"a","count":1e99999999}`, "/count", "number too large; use at most 1,000 digits and an exponent within ±1,000"},
		{"large number in own schema", reflect.TypeFor[Rated](), `{"stars":1e99999999}`, "/stars", "number too large; use at most 1,000 digits and an exponent within ±1,000"},
		{"own schema", reflect.TypeFor[Rated](), `{"stars":6}`, "/stars", "maximum: got 6, want 5"},
		{"own schema behind pointer", reflect.TypeFor[Rated](), `{"stars":1,"maybe":0}`, "/maybe", "minimum: got 0, want 1"},
		{"none", reflect.TypeFor[actor.None](), `{"a":1}`, "", "takes no payload; send null or nothing"},
		{"nested", orders, `{"by":"me","lines":[{"sku":"a"},{"sku":"a","count":100}]}`, "/lines/1/count", "maximum: got 100, want 99"},
		{"missing in list", orders, `{"by":"me","lines":[{}]}`, "/lines/0/sku", "is missing; it is required"},
		{"pattern", orders, `{"by":"me","lines":[{"sku":"A"}]}`, "/lines/0/sku", "'A' does not match pattern '^[a-z]+$'"},
		{"unique", orders, `{"by":"me","lines":[{"sku":"a","tags":["x","x"]}]}`, "/lines/0/tags", "items at 0 and 1 are equal"},
		{"map key", orders, order(`,"by_num":{"1":{"sku":"a"},"+1":{"sku":"a"}}`), "/by_num/+1", "its key must be an integer, without sign or leading zeros"},
		{"escaped pointer", orders, order(`,"named":{"a/b~":{}}`), "/named/a~1b~0/sku", "is missing; it is required"},
		{"base64", orders, order(`,"blob":"!"`), "/blob", "value is not 'base64' encoded: illegal base64 data at input byte 0"},
		{"time", orders, order(`,"at":"today"`), "/at", "'today' is not valid date-time: less than 20 characters long"},
		{"format", orders, order(`,"mail":"me"`), "/mail", "'me' is not valid email: missing @"},
		{"array length", orders, order(`,"pair":[1]`), "/pair", "minItems: got 1, want 2"},
		{"one of", reflect.TypeFor[Choice](), `{"level":1}`, "", "must match one of the allowed forms, such as the first: is missing; it is required"},
		{"first of many", orders, `{"lines":[{"sku":1}],"by":1,"at":1}`, "/by", "must be string, not number"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := schemaOf(t, tt.typ).Normalize([]byte(tt.in))
			var failure *actor.Error
			if !errors.As(err, &failure) {
				t.Fatalf("got %v, want an *actor.Error", err)
			}
			if failure.Code != actor.CodeInvalid || failure.Source != actor.SourceRuntime {
				t.Errorf("got %d from %s", failure.Code, failure.Source)
			}
			var got struct{ Field, Problem string }
			if err := json.Unmarshal(failure.Details, &got); err != nil {
				t.Fatal(err)
			}
			if got.Field != tt.field || got.Problem != tt.problem {
				t.Errorf("got  %q: %q\nwant %q: %q", got.Field, got.Problem, tt.field, tt.problem)
			}
			if !strings.Contains(failure.Message, tt.problem) {
				t.Errorf("message %q lacks the problem", failure.Message)
			}
		})
	}
}

func TestSchema_NormalizeDeep(t *testing.T) {
	tree := schemaOf(t, reflect.TypeFor[Tree]())
	deep := func(open, inner, end string, n int) []byte {
		return []byte(strings.Repeat(open, n) + inner + strings.Repeat(end, n))
	}
	if _, err := tree.Normalize(deep(`{"left":`, `{}`, `}`, 9_000)); err != nil {
		t.Errorf("9,000 levels: %v", err)
	}
	for name, data := range map[string][]byte{
		"bomb":            deep(`{"left":`, `{}`, `}`, 1_000_000),
		"unclosed bomb":   deep(`[`, ``, ``, 1_000_000),
		"error deep down": deep(`{"left":`, `1`, `}`, 9_000),
		"large key":       []byte(`{"index":{"` + strings.Repeat("k", 1<<20) + `":1}}`),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := tree.Normalize(data)
			var failure *actor.Error
			if !errors.As(err, &failure) {
				t.Fatalf("got %v, want an *actor.Error", err)
			}
			if size := len(failure.Message) + len(failure.Details); size > 4096 {
				t.Errorf("error of %d bytes", size)
			}
		})
	}
}

func BenchmarkSchema_Normalize(b *testing.B) {
	r := schemaOf(b, reflect.TypeFor[Action]())
	orders := schemaOf(b, reflect.TypeFor[Order]())
	for _, bb := range []struct {
		name string
		s    actor.Schema
		data string
	}{
		{"action", r, `{"type":"increment","amount":5}`},
		{"action with default", r, `{"type":"increment"}`},
		{"action refused", r, `{"type":"nope"}`},
		{"order of 10 lines", orders, `{"by":"me","lines":[` + strings.TrimSuffix(strings.Repeat(`{"sku":"abc","count":3,"tags":["a","b"]},`, 10), ",") + `]}`},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = bb.s.Normalize([]byte(bb.data))
			}
		})
	}
}
