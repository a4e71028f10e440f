package conformance

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/perdure/perdure/test/harness"
	"github.com/perdure/perdure/test/objects"
)

func TestCallID(t *testing.T) {
	n := harness.Run(t, harness.Config(t), objects.Counter, objects.Tallies, objects.Slow)
	nc := n.Dial()
	payload := map[string][2]string{"counter": {"action", `{"type":"increment","amount":%d}`}, "tally": {"add", `{"n":%d}`}}
	ask := func(t *testing.T, typ, key, id string, amount int) harness.Reply {
		t.Helper()
		return harness.Ask(t, nc, "call."+typ+"."+key+"."+payload[typ][0], fmt.Appendf(nil, payload[typ][1], amount), "Perdure-Call-Id", id)
	}
	same := func(t *testing.T, got, want harness.Reply) {
		t.Helper()
		if string(got.Data) != string(want.Data) || got.Header.Get("Perdure-Seq") != want.Header.Get("Perdure-Seq") || got.Code != want.Code {
			t.Errorf("got %s at seq %s, first time %s at seq %s", got.Data, got.Header.Get("Perdure-Seq"), want.Data, want.Header.Get("Perdure-Seq"))
		}
	}
	first := map[string]harness.Reply{}
	for typ := range payload {
		t.Run(typ, func(t *testing.T) {
			first[typ] = ask(t, typ, "a", "one", 5)
			same(t, ask(t, typ, "a", "one", 5), first[typ])
			if r := ask(t, typ, "a", "one", 6); r.Code != 409 {
				t.Errorf("the id with another payload: got code %d, want 409", r.Code)
			}
			if r := ask(t, typ, "b", "one", 6); string(r.Data) != "6" {
				t.Errorf("the id on another object: got %s, want 6", r.Data)
			}
			seq := harness.AskStored(t, nc, "hook."+typ+".a."+payload[typ][0], fmt.Appendf(nil, payload[typ][1], 5), "Perdure-Call-Id", "one")
			r := harness.Ask(t, nc, "call."+typ+".a."+payload[typ][0], fmt.Appendf(nil, payload[typ][1], 1), "Perdure-After", fmt.Sprint(seq))
			if string(r.Data) != "6" {
				t.Errorf("after a send with a known id: got %s, want 6", r.Data)
			}
			for i := range 998 { // with the call before: 999 others
				ask(t, typ, "a", fmt.Sprint("other-", i), 1)
			}
			same(t, ask(t, typ, "a", "one", 5), first[typ])
		})
	}
	n.Again(objects.Counter, objects.Tallies, objects.Slow)
	nc = n.Dial()
	for typ := range payload {
		t.Run(typ+" after a restart", func(t *testing.T) {
			same(t, ask(t, typ, "a", "one", 5), first[typ])
			if r := ask(t, typ, "a", "one", 6); r.Code != 409 {
				t.Errorf("the id with another payload: got code %d, want 409", r.Code)
			}
		})
	}
}

// TestCallID_InFlight repeats a call that has no outcome yet: all get the one outcome.
func TestCallID_InFlight(t *testing.T) {
	n := harness.Run(t, harness.Config(t), objects.Slow)
	var wg sync.WaitGroup
	var mu sync.Mutex
	got := map[string]int{}
	for range 5 {
		nc := n.Dial()
		wg.Go(func() {
			r, err := harness.TryAsk(t.Context(), nc, "call.slow.a.wait", []byte(`{"millis":300}`), 5*time.Second, "Perdure-Call-Id", "x")
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			got[string(r.Data)+r.Header.Get("Perdure-Seq")]++
		})
	}
	wg.Wait()
	if len(got) != 1 {
		t.Errorf("one call has %d outcomes: %v", len(got), got)
	}
	if r := harness.Ask(t, n.Conn(), "call.slow.a.wait", []byte(`{"millis":0}`)); string(r.Data) != "2" {
		t.Errorf("the next call is number %s, want 2", r.Data)
	}
}

// TestCallID_EngineNames uses call ids that look like those which the engine gives itself.
func TestCallID_EngineNames(t *testing.T) {
	n := harness.Run(t, harness.Config(t), objects.Counter, objects.Tallies)
	nc := n.Dial()
	for _, typ := range []string{"counter", "tally"} {
		hook, payload := "add", `{"n":1}`
		if typ == "counter" {
			hook, payload = "action", `{"type":"increment"}`
		}
		want := 0
		for range 3 {
			next := harness.State(t, nc, "PERDURE_INBOX").LastSeq + 1
			for _, id := range []string{fmt.Sprintf("send-%d", next), fmt.Sprintf("token-%d", next)} {
				want++
				if r := harness.Ask(t, nc, "call."+typ+".a."+hook, []byte(payload), "Perdure-Call-Id", id); r.Code != 0 {
					t.Errorf("%s: %v", id, r.Err)
				}
			}
			want++
			harness.AskStored(t, nc, "hook."+typ+".a."+hook, []byte(payload))
		}
		seq := harness.State(t, nc, "PERDURE_INBOX").LastSeq
		if r := harness.Ask(t, nc, "call."+typ+".a."+hook, []byte(payload), "Perdure-After", fmt.Sprint(seq)); string(r.Data) != fmt.Sprint(want+1) {
			t.Errorf("%s: got %s, want %d", typ, r.Data, want+1)
		}
	}
	logs, _ := harness.Logs(t, nc)
	harness.CheckLogs(t, logs)
}
