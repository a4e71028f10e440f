package conformance

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/test/harness"
	"github.com/perdure/perdure/test/objects"
)

// TestAfter makes calls that must not be applied before a send; each must be answered at once all the same.
func TestAfter(t *testing.T) {
	n := harness.Run(t, harness.Config(t), objects.Tallies, objects.Counter)
	nc := n.Dial()
	const calls = 300
	late := 0 // a machine may stall once; a call that waits for something else to happen is late every time
	for i := range calls {
		seq := harness.AskStored(t, nc, "hook.tally.a.add", []byte(`{"n":1}`))
		asked := time.Now()
		r := harness.Ask(t, nc, "call.tally.a.get", nil, "Perdure-After", fmt.Sprint(seq))
		if time.Since(asked) > time.Second {
			late++
		}
		if string(r.Data) != fmt.Sprint(i+1) {
			t.Fatalf("after send %d: got %s, want %d", seq, r.Data, i+1)
		}
	}
	if late > calls/10 {
		t.Errorf("%d of %d calls took more than a second", late, calls)
	}
	last := harness.State(t, nc, "PERDURE_INBOX").LastSeq
	if r := harness.Ask(t, nc, "call.tally.a.get", nil, "Perdure-After", fmt.Sprint(last+5), "Perdure-Timeout", "300ms"); r.Code != 504 {
		t.Errorf("after a send that never comes: got %d %s, want 504", r.Code, r.Data)
	}
}

func TestReplyTo(t *testing.T) {
	cfg := harness.Config(t)
	cfg.ReplyPrefix = []string{"acme.replies"}
	n := harness.Run(t, cfg, objects.Counter, objects.Tallies, objects.Sum)
	nc := n.Dial()
	for _, tc := range []struct {
		name, to, subject, payload string
		code                       int
		data                       string
	}{
		{"run function", nats.NewInbox(), "hook.counter.a.action", `{"type":"increment","amount":3}`, 0, "3"},
		{"method", nats.NewInbox(), "hook.tally.a.add", `{"n":4}`, 0, "4"},
		{"a prefix that the node allows", "acme.replies.7", "hook.tally.a.add", `{"n":1}`, 0, "5"},
		{"invalid payload", nats.NewInbox(), "hook.tally.a.add", `{"n":"x"}`, 400, ""},
		{"unknown hook", nats.NewInbox(), "hook.tally.a.nothing", `{}`, 404, ""},
		{"unknown type", nats.NewInbox(), "hook.nothing.a.add", `{}`, 404, ""},
		{"unknown token", nats.NewInbox(), "hook.$token.nobody.$resume", `{}`, 404, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			sub, err := nc.SubscribeSync(tc.to)
			if err != nil {
				t.Fatal(err)
			}
			harness.AskStored(t, nc, tc.subject, []byte(tc.payload), "Perdure-Reply-To", tc.to)
			m, err := sub.NextMsg(5 * time.Second)
			if err != nil {
				t.Fatalf("no outcome: %v", err)
			}
			if got := m.Header.Get("Nats-Service-Error-Code"); tc.code != 0 && got != fmt.Sprint(tc.code) {
				t.Errorf("got code %q, want %d", got, tc.code)
			}
			if tc.code == 0 && (string(m.Data) != tc.data || m.Header.Get("Perdure-Seq") == "" || m.Header.Get("Perdure-Run") == "") {
				t.Errorf("got %s with %v, want %s", m.Data, m.Header, tc.data)
			}
		})
	}
}

// TestReplyTo_repeated repeats a send, then asks with its call id for what nobody was told.
func TestReplyTo_repeated(t *testing.T) {
	n := harness.Run(t, harness.Config(t), objects.Tallies, objects.Sum)
	nc := n.Dial()
	told, err := nc.SubscribeSync("_INBOX.told.*") // in the order in which the node sends
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []struct{ hook, payload, id, to string }{
		{"tally.a.add", `{"n":5}`, "x", "first"},
		{"tally.a.add", `{"n":5}`, "x", "second"},
		{"tally.a.add", `{"n":6}`, "x", "refused"},
		{"tally.a.add", `{"n":1}`, "silent", ""},
		{"tally.a.add", `{"n":1}`, "silent", "late"},
		{"sum.a.$start", `{"from":1}`, "", "start"},
		{"sum.a.$start", `{"from":1}`, "", "start-again"},
		{"sum.a.$start", `{"from":2}`, "", "other-start"},
		{"tally.a.add", `{"n":1}`, "", "last"},
	} {
		header := []string{"Perdure-Call-Id", s.id}
		if s.to != "" {
			header = append(header, "Perdure-Reply-To", "_INBOX.told."+s.to)
		}
		harness.AskStored(t, nc, "hook."+s.hook, []byte(s.payload), header...)
	}
	got := map[string]string{}
	for range 5 {
		m, err := told.NextMsg(5 * time.Second)
		if err != nil {
			t.Fatalf("after %v: %v", got, err)
		}
		got[strings.TrimPrefix(m.Subject, "_INBOX.told.")] = m.Header.Get("Nats-Service-Error-Code")
	}
	if diff := cmp.Diff(map[string]string{"first": "", "start": "", "refused": "409", "other-start": "409", "last": ""}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if r := harness.Ask(t, nc, "call.tally.a.add", []byte(`{"n":5}`), "Perdure-Call-Id", "x"); string(r.Data) != "5" {
		t.Errorf("asked again: %s", r.Data)
	}
	if m, err := told.NextMsg(100 * time.Millisecond); err == nil {
		t.Errorf("%s was told too", m.Subject)
	}
}

// dead is a dead letter, as far as these tests look at it.
type dead struct {
	Run     string       `json:"run"`
	Hook    string       `json:"hook"`
	Inbox   uint64       `json:"inbox"`
	Cause   *actor.Error `json:"cause"`
	Payload []byte       `json:"payload"`
}

// TestDead sends what can never be applied.
func TestDead(t *testing.T) {
	n := harness.Run(t, harness.Config(t), objects.Counter, objects.Tallies, objects.Sum)
	nc := n.Dial()
	harness.Ask(t, nc, "call.sum.over.$start", []byte(`{"from":1}`))
	harness.AskStored(t, nc, "hook.sum.over.end", nil)
	harness.Eventually(t, 5*time.Second, func() string {
		if d := describe(t, nc, "sum/over"); d.Status != "completed" {
			return d.Status
		}
		return ""
	})
	cases := []struct {
		name, subject, payload string
		header                 []string
		code                   actor.Code
	}{
		{"unknown type", "hook.nothing.a.x", `{"n":1}`, nil, 404},
		{"unknown hook", "hook.tally.a.nothing", `{"n":1}`, nil, 404},
		{"invalid payload", "hook.tally.a.add", `{"n":"one"}`, nil, 400},
		{"not JSON", "hook.tally.a.add", `{"n":`, nil, 400},
		{"ended run", "hook.sum.over.add", `{"n":1}`, nil, 410},
		{"query", "hook.tally.a.get", `null`, nil, 400},
		{"key that is not canonical", "hook.tally.%61.add", `{"n":1}`, nil, 400},
		{"unknown token", "hook.$token.nobody.$resume", `{"n":1}`, nil, 404},
		{"runtime's hook", "hook.tally.a.$state", `null`, nil, 400},
		{"bad header", "hook.tally.a.add", `{"n":1}`, []string{"Perdure-Timeout", "soon"}, 400},
		{"bad header, by token", "hook.$token.tally:a:add.$resume", `{"n":1}`, []string{"Perdure-Timeout", "soon"}, 400},
		{"bad sequence, by token", "hook.$token.tally:a:add.$resume", `{"n":1}`, []string{"Perdure-After", "x"}, 400},
		{"long call id, by token", "hook.$token.tally:a:add.$resume", `{"n":1}`, []string{"Perdure-Call-Id", strings.Repeat("x", 257)}, 400},
		{"bad reply-to, by token", "hook.$token.tally:a:add.$resume", `{"n":1}`, []string{"Perdure-Reply-To", "_INBOX..x"}, 400},
		{"bad header, unknown token", "hook.$token.nobody.$resume", `{"n":1}`, []string{"Perdure-After", "x"}, 400},
		{"reply-to of ours", "hook.tally.a.add", `{"n":1}`, []string{"Perdure-Reply-To", "$JS.API.STREAM.PURGE.PERDURE_LOG_0"}, 400},
		{"known id, other payload", "hook.tally.a.add", `{"n":2}`, []string{"Perdure-Call-Id", "taken"}, 409},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			harness.Ask(t, nc, "call.tally.a.add", []byte(`{"n":0}`), "Perdure-Call-Id", "taken")
			before := harness.ReadStream(t, nc, "PERDURE_DEAD")
			told, err := nc.SubscribeSync(nc.NewInbox())
			if err != nil {
				t.Fatal(err)
			}
			header := append([]string{"Perdure-Reply-To", told.Subject}, tc.header...)
			silent := slices.Contains(tc.header, "Perdure-Reply-To")
			if silent {
				header = tc.header
			}
			seq := harness.AskStored(t, nc, tc.subject, []byte(tc.payload), header...)
			var letters []harness.Message
			harness.Eventually(t, 5*time.Second, func() string {
				if letters = harness.ReadStream(t, nc, "PERDURE_DEAD"); len(letters) == len(before) {
					return "no dead letter"
				}
				return ""
			})
			if len(letters) != len(before)+1 {
				t.Fatalf("%d dead letters for one send", len(letters)-len(before))
			}
			var d dead
			if err := json.Unmarshal(letters[len(letters)-1].Data, &d); err != nil {
				t.Fatal(err)
			}
			if d.Cause == nil || d.Cause.Code != tc.code || d.Cause.Message == "" || d.Inbox != seq || string(d.Payload) != tc.payload {
				t.Errorf("got %s with cause %v, want code %d of send %d", letters[len(letters)-1].Data, d.Cause, tc.code, seq)
			}
			if silent {
				return
			}
			m, err := told.NextMsg(5 * time.Second)
			if err != nil || m.Header.Get("Nats-Service-Error-Code") != fmt.Sprint(tc.code) {
				t.Errorf("its reply-to got %+v, %v, want code %d", m, err, tc.code)
			}
		})
	}
	if r := harness.Ask(t, nc, "call.tally.a.get", nil); string(r.Data) != "0" {
		t.Errorf("the tally is at %s: something was applied", r.Data)
	}
	n.Again(objects.Counter, objects.Tallies, objects.Sum)
	count := len(harness.ReadStream(t, n.Dial(), "PERDURE_DEAD"))
	if logs, _ := harness.Logs(t, n.Dial()); count != len(cases) || strings.Contains(fmt.Sprint(logs), "nothing") {
		t.Errorf("%d dead letters after a restart, want %d", count, len(cases))
	}
}
