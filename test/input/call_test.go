// Package input sends a real node what it should refuse, over plain NATS: each has its documented answer, and nothing
// is written.
package input

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/perdure/perdure/test/harness"
	"github.com/perdure/perdure/test/objects"
)

// TestCall makes calls that are answered by their form alone.
func TestCall(t *testing.T) {
	n := harness.Run(t, harness.Config(t), objects.Counter, objects.Tallies, objects.Echoes, objects.Boxes, objects.Sum)
	nc := n.Dial()
	long := strings.Repeat("k", 256)
	for _, tc := range []struct {
		name, subject, payload string
		header                 []string
		code                   int
		detail                 string // in the body
	}{
		{name: "empty payload", subject: "call.tally.a.add", payload: "", code: 400},
		{name: "null", subject: "call.tally.a.add", payload: "null", code: 400},
		{name: "not JSON", subject: "call.tally.a.add", payload: "{n:1}", code: 400},
		{name: "half JSON", subject: "call.tally.a.add", payload: `{"n":1`, code: 400},
		{name: "two values", subject: "call.tally.a.add", payload: `{"n":1}{"n":2}`, code: 400},
		{name: "trailing text", subject: "call.tally.a.add", payload: `{"n":1} x`, code: 400},
		{name: "not UTF-8", subject: "call.echo.a.echo", payload: "{\"text\":\"\xff\xfe\"}", code: 400},
		{name: "array", subject: "call.tally.a.add", payload: `[1]`, code: 400},
		{name: "wrong type", subject: "call.tally.a.add", payload: `{"n":"1"}`, code: 400, detail: "/n"},
		{name: "fraction", subject: "call.tally.a.add", payload: `{"n":1.5}`, code: 400, detail: "/n"},
		{name: "null field", subject: "call.tally.a.add", payload: `{"n":null}`, code: 400, detail: "/n"},
		{name: "missing field", subject: "call.tally.a.add", payload: `{}`, code: 400, detail: "n"},
		{name: "not in enum", subject: "call.counter.a.action", payload: `{"type":"double"}`, code: 400, detail: "/type"},
		{name: "beyond int64", subject: "call.echo.a.echo", payload: `{"text":"","big":9223372036854775808}`, code: 400, detail: "/big"},
		{name: "far beyond", subject: "call.echo.a.echo", payload: `{"text":"","big":1e400}`, code: 400, detail: "/big"},
		{name: "300 in an int8", subject: "call.echo.a.echo", payload: `{"text":"","small":300}`, code: 400, detail: "must be an integer from -128 to 127"},
		{name: "integer written as a float, which Go does not take", subject: "call.tally.a.add", payload: `{"n":2.0}`, code: 400, detail: "/n"},
		{name: "integer with an exponent, which Go does not take", subject: "call.tally.a.add", payload: `{"n":1e2}`, code: 400, detail: "/n"},
		{name: "payload where none is taken", subject: "call.tally.a.get", payload: `{"x":1}`, code: 400},
		{name: "negative unsigned", subject: "call.echo.a.echo", payload: `{"text":"","plain":-1}`, code: 400, detail: "/plain"},
		{name: "float too large", subject: "call.echo.a.echo", payload: `{"text":"","float":1e999}`, code: 400, detail: "/float"},
		{name: "deep nesting", subject: "call.tally.a.add", payload: strings.Repeat("[", 100_000), code: 400},
		{name: "payload for None", subject: "call.tally.a.get", payload: `{"x":`, code: 400},

		{name: "unknown type", subject: "call.nothing.a.add", payload: `{"n":1}`, code: 404},
		{name: "unknown hook", subject: "call.tally.a.nothing", payload: `{"n":1}`, code: 404},
		{name: "unknown token", subject: "call.$token.nobody.$resume", payload: `{"n":1}`, code: 404},
		{name: "unknown run of a known type by token", subject: "call.$token.sum:x:nothing.$resume", payload: `{}`, code: 404},
		{name: "run not started", subject: "call.sum.new.add", payload: `{"n":1}`, code: 404},
		{name: "unknown runtime hook", subject: "call.tally.a.$nothing", code: 404},
		{name: "cancel of an object with methods", subject: "call.tally.a.$cancel", code: 400},
		{name: "pause of what is not there", subject: "call.tally.a.$pause", code: 404},
		{name: "start of an object", subject: "call.tally.a.$start", code: 404},
		{name: "hook of a type", subject: "call.tally.$type.add", payload: `{"n":1}`, code: 404},
		{name: "hook of a token", subject: "call.$token.x.add", payload: `{"n":1}`, code: 404},

		{name: "type in capitals", subject: "call.Tally.a.add", payload: `{"n":1}`, code: 400},
		{name: "type with a space encoded", subject: "call.ta%20lly.a.add", payload: `{"n":1}`, code: 400},
		{name: "hook with percent", subject: "call.tally.a.ad%64", payload: `{"n":1}`, code: 400},
		{name: "hook too long", subject: "call.tally.a." + strings.Repeat("h", 65), payload: `{"n":1}`, code: 400},
		{name: "type too long", subject: "call." + strings.Repeat("t", 65) + ".a.add", payload: `{"n":1}`, code: 400},
		{name: "hook begins with digit", subject: "call.tally.a.1add", payload: `{"n":1}`, code: 400},
		{name: "unneeded escape", subject: "call.tally.%61.add", payload: `{"n":1}`, code: 400},
		{name: "lower case hex", subject: "call.tally.%2e.add", payload: `{"n":1}`, code: 400},
		{name: "half an escape", subject: "call.tally.a%2.add", payload: `{"n":1}`, code: 400},
		{name: "bare percent", subject: "call.tally.%.add", payload: `{"n":1}`, code: 400},
		{name: "no hex", subject: "call.tally.%ZZ.add", payload: `{"n":1}`, code: 400},
		{name: "raw UTF-8", subject: "call.tally.ü.add", payload: `{"n":1}`, code: 400},
		{name: "escaped, not UTF-8", subject: "call.tally.%FF.add", payload: `{"n":1}`, code: 400},
		{name: "comma", subject: "call.tally.a,b.add", payload: `{"n":1}`, code: 400},
		{name: "dollar", subject: "call.tally.$a.add", payload: `{"n":1}`, code: 400},
		{name: "257 bytes", subject: "call.tally." + long + "k.add", payload: `{"n":1}`, code: 400},
		{name: "257 bytes, escaped", subject: "call.tally." + strings.Repeat("%2E", 257) + ".add", payload: `{"n":1}`, code: 400},

		{name: "bad timeout", subject: "call.tally.a.add", payload: `{"n":1}`, header: []string{"Perdure-Timeout", "5"}, code: 400},
		{name: "negative timeout", subject: "call.tally.a.add", payload: `{"n":1}`, header: []string{"Perdure-Timeout", "-5s"}, code: 400},
		{name: "bad after", subject: "call.tally.a.add", payload: `{"n":1}`, header: []string{"Perdure-After", "soon"}, code: 400},
		{name: "call id too long", subject: "call.tally.a.add", payload: `{"n":1}`, header: []string{"Perdure-Call-Id", strings.Repeat("i", 300)}, code: 400},
		{name: "reply-to a stream of ours", subject: "call.tally.a.add", payload: `{"n":1}`, header: []string{"Perdure-Reply-To", "log.1.tally.a"}, code: 400},
		{name: "reply-to JetStream", subject: "call.tally.a.add", payload: `{"n":1}`, header: []string{"Perdure-Reply-To", "$JS.API.STREAM.PURGE.PERDURE_LOG_0"}, code: 400},
		{name: "events with a bad range", subject: "call.tally.a.$events", payload: `{"from":-1}`, code: 400, detail: `"field":"/from"`},
		{name: "events with a bad limit", subject: "call.tally.a.$events", payload: `{"limit":-1}`, code: 400, detail: `"field":"/limit"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := harness.Counts(t, nc)
			r := harness.Ask(t, nc, tc.subject, []byte(tc.payload), tc.header...)
			if r.Code != tc.code {
				t.Errorf("got code %d %.300s, want %d", r.Code, r.Data, tc.code)
			}
			if r.Header.Get("Perdure-Error-Source") != "runtime" || r.Header.Get("Perdure-Seq") != "" {
				t.Errorf("headers %v: want source runtime and no seq", r.Header)
			}
			if !strings.Contains(string(r.Data), tc.detail) {
				t.Errorf("body %.300s does not name %s", r.Data, tc.detail)
			}
			if d := cmp.Diff(before, harness.Counts(t, nc)); d != "" {
				t.Errorf("something was written:\n%s", d)
			}
		})
	}
	if r := harness.Ask(t, nc, "call.tally.a.add", []byte(`{"n":7}`)); string(r.Data) != "7" {
		t.Errorf("a good call after all of that: got %d %s", r.Code, r.Data)
	}
}

// TestCall_Good makes calls that look odd and are right.
func TestCall_Good(t *testing.T) {
	n := harness.Run(t, harness.Config(t), objects.Tallies, objects.Echoes, objects.Boxes)
	nc := n.Dial()
	long := strings.Repeat("k", 256)
	for _, tc := range []struct{ name, subject, payload, want, run string }{
		{"unknown fields", "call.tally.a.add", `{"n":1,"more":{"x":[]}}`, "1", "tally/a"},
		{"a field twice", "call.tally.two.add", `{"n":1,"n":2}`, "2", "tally/two"},
		{"white space", "call.tally.ws.add", " \n{ \"n\" : 1 }\t ", "1", "tally/ws"},
		{"defaults", "call.echo.a.echo", `{"text":"t"}`, `{"text":"t","flag":true,"level":3}`, "echo/a"},
		{"defaults given", "call.echo.a.echo", `{"text":"","flag":false,"level":4}`, `{"text":"","flag":false,"level":4}`, "echo/a"},
		{"largest int64", "call.echo.a.echo", `{"text":"","big":9223372036854775807,"level":1}`, `{"text":"","big":9223372036854775807,"flag":true,"level":1}`, "echo/a"},
		{"dots", "call.tally.a%2Eb%2Ec.add", `{"n":1}`, "1", "tally/a.b.c"},
		{"space and wildcards", "call.tally.%20%2A%3E.add", `{"n":1}`, "1", "tally/ *>"},
		{"percent", "call.tally.100%25.add", `{"n":1}`, "1", "tally/100%"},
		{"slash", "call.tally.a%2Fb.add", `{"n":1}`, "1", "tally/a/b"},
		{"UTF-8", "call.tally.%C3%BC%E2%82%AC.add", `{"n":1}`, "1", "tally/ü€"},
		{"escaped dollar", "call.tally.%24type.add", `{"n":1}`, "1", "tally/$type"},
		{"control", "call.tally.%0A%00.add", `{"n":1}`, "1", "tally/%0A%00"},
		{"256 bytes", "call.tally." + long + ".add", `{"n":1}`, "1", "tally/" + long},
		{"256 bytes, escaped", "call.tally." + strings.Repeat("%2E", 256) + ".add", `{"n":1}`, "1", "tally/" + strings.Repeat(".", 256)},
		{"all plain bytes", "call.tally.aZ09_:@=~-.add", `{"n":1}`, "1", "tally/aZ09_:@=~-"},
		{"query with empty payload", "call.tally.a.get", "", "1", "tally/a"},
		{"state of nobody", "call.tally.nobody.$state", "", "null", "tally/nobody"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := harness.Ask(t, nc, tc.subject, []byte(tc.payload))
			if r.Code != 0 || string(r.Data) != tc.want {
				t.Errorf("got %d %s, want %s", r.Code, r.Data, tc.want)
			}
			if run := r.Header.Get("Perdure-Run"); run != tc.run {
				t.Errorf("Perdure-Run is %q, want %q", run, tc.run)
			}
			if r.Header.Get("Perdure-Node") == "" {
				t.Errorf("no Perdure-Node in %v", r.Header)
			}
		})
	}
	n.Again(objects.Tallies, objects.Echoes, objects.Boxes)
	for _, key := range []string{"a%2Eb%2Ec", "%20%2A%3E", "%C3%BC%E2%82%AC", long, strings.Repeat("%2E", 256)} {
		if r := harness.Ask(t, n.Dial(), "call.tally."+key+".get", nil); string(r.Data) != "1" {
			t.Errorf("%.20s after a restart: got %d %s", key, r.Code, r.Data)
		}
	}
}

// TestCall_UserFailure has user code fail: the state is as before, the outcome durable and the same when repeated.
func TestCall_UserFailure(t *testing.T) {
	n := harness.Run(t, harness.Config(t), objects.Boxes)
	nc := n.Dial()
	harness.Ask(t, nc, "call.box.a.fill", []byte(`{"bytes":5}`))
	for hook, code := range map[string]int{"fail": 422, "crash": 500} {
		r := harness.Ask(t, nc, "call.box.a."+hook, []byte(`"no\nway"`), "Perdure-Call-Id", hook)
		if r.Code != code || r.Header.Get("Perdure-Error-Source") != "object" || !strings.Contains(r.Err.Message, "no\nway") || r.Header.Get("Perdure-Seq") == "" {
			t.Errorf("%s: got %d %s with %v, want %d", hook, r.Code, r.Data, r.Header, code)
		}
		again := harness.Ask(t, nc, "call.box.a."+hook, []byte(`"no\nway"`), "Perdure-Call-Id", hook)
		if string(again.Data) != string(r.Data) || again.Header.Get("Perdure-Seq") != r.Header.Get("Perdure-Seq") {
			t.Errorf("%s repeated: got %s, first %s", hook, again.Data, r.Data)
		}
		if got := harness.Ask(t, nc, "call.box.a.look", nil); string(got.Data) != "5" {
			t.Errorf("%s: the state has changed to %s bytes", hook, got.Data)
		}
	}
}

// TestDescribeType reads the schemas that calls are checked against.
func TestDescribeType(t *testing.T) {
	n := harness.Run(t, harness.Config(t), objects.Counter, objects.Tallies, objects.Sum)
	for _, typ := range []string{"counter", "tally", "sum"} {
		r := harness.Ask(t, n.Conn(), fmt.Sprintf("call.%s.$type.$describe", typ), nil)
		var d struct {
			Type  string
			Kind  string
			Hooks []struct {
				Name          string
				Input, Output map[string]any
			}
		}
		if err := json.Unmarshal(r.Data, &d); err != nil || d.Type != typ || d.Kind == "" || len(d.Hooks) == 0 || d.Hooks[0].Input == nil {
			t.Errorf("%s: %v %s", typ, err, r.Data)
		}
	}
	if r := harness.Ask(t, n.Conn(), "call.nothing.$type.$describe", nil); r.Code != 404 {
		t.Errorf("unknown type: got %d, want 404", r.Code)
	}
}
