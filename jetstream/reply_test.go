package jetstream

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"github.com/perdure/perdure/actor"
)

func TestOutcome_RoundTrip(t *testing.T) {
	for name, o := range map[string]*actor.Outcome{
		"result":      {Run: "tally/alice", Seq: 7, Node: "n1", Result: json.RawMessage(`{"n":1}`)},
		"none":        {Run: "tally/alice", Node: "n1", Result: json.RawMessage(`null`)},
		"events":      {Run: "tally/alice", Node: "n1", Result: json.RawMessage(`[]`), Next: 12},
		"awkward key": {Node: "n1", Run: "tally/a\r\nb %2E/c ", Seq: 1, Result: json.RawMessage(`1`)},
		"UTF-8 key":   {Node: "n1", Run: "tally/zoë und söhne", Seq: 1, Result: json.RawMessage(`1`)},
		"percent key": {Node: "n1", Run: "tally/100%", Seq: 1, Result: json.RawMessage(`1`)},
		"object failure": {Run: "tally/alice", Seq: 3, Node: "n1", Err: &actor.Error{
			Code: actor.CodeUser, Message: "line one\nline two", Source: actor.SourceObject, Details: json.RawMessage(`{"a":1}`),
		}},
		"runtime failure": {Err: actor.Errorf(actor.CodeUnavailable, "nobody")},
	} {
		t.Run(name, func(t *testing.T) {
			m := nats.NewMsg("_INBOX.x")
			m.Header, m.Data = EncodeOutcome(o)
			got, err := DecodeOutcome(wire(t, m))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(o, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// wire returns what a receiver reads of m.
func wire(t *testing.T, m *nats.Msg) (nats.Header, []byte) {
	t.Helper()
	raw := []byte("NATS/1.0\r\n")
	for k, vs := range m.Header {
		for _, v := range vs {
			if strings.ContainsAny(v, "\r\n") {
				t.Errorf("header %s has a line break: %q", k, v)
			}
			raw = append(raw, k+": "+v+"\r\n"...)
		}
	}
	h, err := nats.DecodeHeadersMsg(append(raw, "\r\n"...))
	if err != nil {
		t.Fatal(err)
	}
	return h, m.Data
}

func TestEncodeOutcome(t *testing.T) {
	t.Run("headers of a failure", func(t *testing.T) {
		h, body := EncodeOutcome(&actor.Outcome{Run: "tally/a.b", Node: "n1", Err: actor.Errorf(actor.CodeLimit, "too many\r\ncalls").With(map[string]string{"limit": "calls"})})
		want := nats.Header{
			"Perdure-Run": {"tally/a.b"}, "Perdure-Node": {"n1"}, "Perdure-Error-Source": {"runtime"},
			"Nats-Service-Error-Code": {"429"}, "Nats-Service-Error": {"too many calls"},
		}
		if diff := cmp.Diff(want, h); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		if got, want := string(body), `{"code":429,"message":"too many\r\ncalls","source":"runtime","details":{"limit":"calls"}}`; got != want {
			t.Errorf("body %s, want %s", got, want)
		}
	})
	t.Run("no result is null", func(t *testing.T) {
		h, body := EncodeOutcome(&actor.Outcome{Run: "tally/a", Node: "n1"})
		if string(body) != "null" || len(h[HeaderSeq]) != 0 {
			t.Errorf("got %q with headers %v", body, h)
		}
	})
	t.Run("empty message", func(t *testing.T) {
		h, _ := EncodeOutcome(&actor.Outcome{Err: &actor.Error{Code: actor.CodeUser, Source: actor.SourceObject}})
		if h.Get(HeaderError) == "" {
			t.Error("no error header")
		}
	})
	t.Run("details that are no JSON", func(t *testing.T) {
		_, body := EncodeOutcome(&actor.Outcome{Err: &actor.Error{Code: actor.CodeUser, Message: "m", Details: json.RawMessage(`{`)}})
		if !json.Valid(body) {
			t.Errorf("body %q", body)
		}
	})
}

func TestDecodeOutcome_Foreign(t *testing.T) {
	t.Run("micro error", func(t *testing.T) {
		o, err := DecodeOutcome(nats.Header{HeaderErrorCode: {"503"}, HeaderError: {"busy"}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if !errors.Is(o.Err, actor.ErrUnavailable) || !o.Err.Retryable() || o.Err.Message != "busy" {
			t.Errorf("got %+v", o.Err)
		}
	})
	for name, f := range map[string]struct {
		header nats.Header
		body   string
	}{
		"not JSON": {nats.Header{HeaderNode: {"n1"}}, "hello"},
		"a PubAck": {nil, `{"stream":"CALLS","seq":1}`},
		"code":     {nats.Header{HeaderErrorCode: {"many"}}, ""},
		"seq":      {nats.Header{HeaderNode: {"n1"}, HeaderSeq: {"-1"}}, "1"},
		"next":     {nats.Header{HeaderNode: {"n1"}, HeaderNext: {"x"}}, "1"},
		"bytes":    {nats.Header{HeaderNode: {"n1"}, HeaderRun: {"tally/\xeb"}}, "1"},
	} {
		t.Run(name, func(t *testing.T) {
			if o, err := DecodeOutcome(f.header, []byte(f.body)); err == nil {
				t.Errorf("accepted as %+v", o)
			}
		})
	}
}

func FuzzDecodeOutcome(f *testing.F) {
	f.Add("tally/alice", "7", "", "", "object", []byte(`{"n":1}`))
	f.Add("tally/%0A", "", "9", "422", "object", []byte(`{"code":422,"message":"m","source":"object"}`))
	f.Add("", "", "", "503", "", []byte(`{"code":1e99}`))
	f.Fuzz(func(t *testing.T, run, seq, next, code, source string, body []byte) {
		o, err := DecodeOutcome(nats.Header{
			HeaderRun: {run}, HeaderSeq: {seq}, HeaderNext: {next}, HeaderErrorCode: {code}, HeaderErrorSource: {source}, HeaderNode: {"n1"},
		}, body)
		if err != nil {
			return
		}
		again, err := DecodeOutcome(EncodeOutcome(o))
		if err != nil {
			t.Fatalf("decode what was encoded: %v", err)
		}
		if o.Run != again.Run || o.Seq != again.Seq || o.Next != again.Next || !bytes.Equal(o.Result, again.Result) {
			t.Errorf("got %+v, want %+v", again, o)
		}
	})
}
