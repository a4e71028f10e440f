package actor

import (
	"encoding/json"
	"testing"
	"time"
)

func FuzzDecodeKey(f *testing.F) {
	for _, s := range []string{"alice", "a%2Eb", "%", "%2", "%2e", "a%20b", "%C3%A9", "%00", "a.b", "~:@=-_", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, token string) {
		key, err := DecodeKey(token)
		if err == nil && EncodeKey(key) != token {
			t.Errorf("DecodeKey(%q) = %q, which encodes as %q", token, key, EncodeKey(key))
		}
		if checkKey(token) == nil {
			if back, err := DecodeKey(EncodeKey(token)); err != nil || back != token {
				t.Errorf("key %q comes back as %q, %v", token, back, err)
			}
		}
	})
}

func FuzzParseAddress(f *testing.F) {
	for _, s := range []string{"counter/alice", "a/b/c", "/", "x/", "X/y", "counter"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if a, err := ParseAddress(s); err == nil && a.String() != s {
			t.Errorf("ParseAddress(%q) = %v", s, a)
		}
	})
}

func FuzzParseDefaultToken(f *testing.F) {
	for _, s := range []string{"counter:alice:action", "counter:a:b:action", "counter:counter/alice", "::", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if a, hook, ok := parseDefaultToken(s); ok && defaultToken(a.Type, a.Key, hook) != s {
			t.Errorf("parseDefaultToken(%q) = %v, %q", s, a, hook)
		}
	})
}

func FuzzDecodeRecord(f *testing.F) {
	b, err := json.Marshal(Record{V: 1, Run: "counter/alice", Incarnation: "i", Epoch: 3, Events: []Event{
		{Type: RunStarted, At: time.Unix(1, 2).UTC(), Payload: json.RawMessage(`null`)},
		{Type: CallFailed, At: time.Unix(1, 3).UTC(), ID: "a", Error: Errorf(CodeInvalid, "no")},
	}, IDs: []IDEntry{{ID: "x", Payload: "y", Seq: 4}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"v":2,"run":"a/b","incarnation":"i"}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := DecodeRecord(body)
		if err != nil {
			return
		}
		again, err := json.Marshal(r)
		if err != nil {
			t.Fatalf("a decoded record does not encode: %v", err)
		}
		if _, err := DecodeRecord(again); err != nil {
			t.Errorf("a record that was written is not read: %v", err)
		}
	})
}

// FuzzReplay feeds whatever a log may hold to run code: it may be refused, and nothing else.
func FuzzReplay(f *testing.F) {
	f.Add([]byte(`[{"type":"run_started","at":"2026-01-01T00:00:00Z","payload":null},{"type":"hook_created","name":"action","token":"counter:counter/k"},{"type":"hook_received","id":"a","name":"action","payload":{"type":"get","amount":1}}]`))
	f.Add([]byte(`[{"type":"step_completed","id":"x"},{"type":"run_parked"},{"type":"hook_received"}]`))
	f.Add([]byte(`[{"type":"run_started"},{"type":"run_started"}]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var events []Event
		if json.Unmarshal(data, &events) != nil {
			return
		}
		b := newBench(t, counterNamed("recordState", false))
		b.log = []entryRecord{{seq: 1, Record: &Record{Events: events}}}
		b.cold(counterNamed("recordState", false))
	})
}
