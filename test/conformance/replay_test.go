package conformance

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure/test/harness"
	"github.com/perdure/perdure/test/objects"
)

// TestReplay_ChangedCode changes the code of a run between restarts: it parks, says why, keeps sends, and goes on with
// the old code.
func TestReplay_ChangedCode(t *testing.T) {
	for _, tc := range []struct {
		name    string
		changed []string
		want    []string // in the reason
	}{
		{"renamed", []string{"one", "zwei", "three"}, []string{`"two"`, `"zwei"`, "event 6"}},
		{"removed", []string{"one", "three"}, []string{`"two"`, `"three"`, "event 6"}},
		{"reordered", []string{"two", "one", "three"}, []string{`"one"`, `"two"`, "event 5"}},
		{"added", []string{"one", "two", "three", "four"}, []string{"call_completed", `"four"`, "event 8"}},
		{"last removed", []string{"one", "two"}, []string{`"three"`, "call_completed", "event 7"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := harness.Config(t)
			cfg.Flush = time.Minute // all of a call is one record, so that events can be counted
			n := harness.Run(t, cfg, objects.NewStory("one", "two", "three"))
			if r := harness.Ask(t, n.Dial(), "call.story.a.tell", nil); string(r.Data) != `["one","two","three"]` {
				t.Fatalf("got %s", r.Data)
			}
			n.Again(objects.NewStory(tc.changed...))
			nc := n.Dial()
			r := harness.Ask(t, nc, "call.story.a.tell", nil)
			if r.Code != 423 {
				t.Fatalf("call with changed code: got %d %s, want 423", r.Code, r.Data)
			}
			var details struct{ Reason string }
			if err := json.Unmarshal(r.Err.Details, &details); err != nil {
				t.Fatal(err)
			}
			for _, want := range append(tc.want, "expected", "found") {
				if !strings.Contains(details.Reason, want) {
					t.Errorf("reason %q does not name %s", details.Reason, want)
				}
			}
			harness.AskStored(t, nc, "hook.story.a.tell", nil)
			harness.AskStored(t, nc, "hook.story.a.tell", nil)
			describes(t, nc, "story/a", "parked")
			n.Again(objects.NewStory(tc.changed...)) // still the wrong code
			describes(t, n.Dial(), "story/a", "parked")
			harness.AskStored(t, n.Conn(), "hook.story.a.tell", nil)

			n.Again(objects.NewStory("one", "two", "three"))
			nc = n.Dial()
			if r := harness.Ask(t, nc, "call.story.a.tell", nil); string(r.Data) != `["one","two","three"]` {
				t.Errorf("with the old code: got %d %s", r.Code, r.Data)
			}
			describes(t, nc, "story/a", "running")
			harness.Eventually(t, 10*time.Second, func() string { // the last send may be received after the call
				logs, _ := harness.Logs(t, nc)
				harness.CheckLogs(t, logs)
				if got := outcomes(logs); got != 5 {
					return fmt.Sprintf("%d outcomes in the log, want 5: 2 calls and 3 sends", got)
				}
				return ""
			})
			n.Again(objects.NewStory("one", "two", "three"))
			if r := harness.Ask(t, n.Dial(), "call.story.a.tell", nil); r.Code != 0 {
				t.Errorf("after another restart: %v", r.Err)
			}
		})
	}
}

func outcomes(logs map[string][]harness.Logged) (count int) {
	for _, records := range logs {
		for _, r := range records {
			for _, ev := range r.Events {
				if ev.Type == "call_completed" || ev.Type == "call_failed" {
					count++
				}
			}
		}
	}
	return count
}

// TestReplay_Panic panics in a run function: the run parks, its callers are told at once, and mended code goes on.
func TestReplay_Panic(t *testing.T) {
	cfg := harness.Config(t)
	n := harness.Run(t, cfg, objects.NewFragile(true))
	nc := n.Dial()
	if r := harness.Ask(t, nc, "call.fragile.a.poke", []byte(`{"n":1}`)); string(r.Data) != "1" {
		t.Fatalf("got %s", r.Data)
	}
	r := harness.Ask(t, nc, "call.fragile.a.poke", []byte(`{"n":13}`), "Perdure-Timeout", "5s", "Perdure-Call-Id", "unlucky")
	if r.Code != 423 { // 504 would say that it waited for its time to be up
		t.Errorf("the call that made it panic: got %d %s, want 423", r.Code, r.Data)
	}
	if r := harness.Ask(t, nc, "call.fragile.a.poke", []byte(`{"n":1}`)); r.Code != 423 {
		t.Errorf("call while parked: got %d, want 423", r.Code)
	}
	sent := harness.AskStored(t, nc, "hook.fragile.a.poke", []byte(`{"n":1}`))
	n.Again(objects.NewFragile(true))
	describes(t, n.Dial(), "fragile/a", "parked")
	n.Again(objects.NewFragile(false))
	nc = n.Dial()
	if r := harness.Ask(t, nc, "call.fragile.a.poke", []byte(`{"n":13}`), "Perdure-Call-Id", "unlucky"); string(r.Data) != "14" {
		t.Errorf("the call that made it panic, with mended code: got %d %s, want 14", r.Code, r.Data)
	}
	if r := harness.Ask(t, nc, "call.fragile.a.poke", []byte(`{"n":1}`), "Perdure-After", fmt.Sprint(sent)); string(r.Data) != "16" {
		t.Errorf("with mended code: got %d %s, want 16", r.Code, r.Data)
	}
	n.Again(objects.NewFragile(false))
	if r := harness.Ask(t, n.Dial(), "call.fragile.a.poke", []byte(`{"n":1}`)); string(r.Data) != "17" {
		t.Errorf("after another restart: got %d %s, want 17", r.Code, r.Data)
	}
}

// TestReplay_PanicAmongMany panics in the middle of many sends, most of them in one turn: none is lost.
func TestReplay_PanicAmongMany(t *testing.T) {
	n := harness.Run(t, harness.Config(t), objects.NewFragile(true))
	js := jetStream(t, n.Dial())
	want := 0
	for i := range 100 {
		amount := 1
		if i == 40 {
			amount = 13
		}
		want += amount
		if _, err := js.PublishAsync("hook.fragile.a.poke", fmt.Appendf(nil, `{"n":%d}`, amount)); err != nil {
			t.Fatal(err)
		}
	}
	<-js.PublishAsyncComplete()
	harness.Eventually(t, 5*time.Second, func() string {
		if d := describe(t, n.Conn(), "fragile/a"); d.Status != "parked" {
			return d.Status
		}
		return ""
	})
	n.Again(objects.NewFragile(false))
	for range 2 {
		r := harness.Ask(t, n.Dial(), "call.fragile.a.poke", []byte(`{"n":0}`), "Perdure-After", "100")
		if string(r.Data) != fmt.Sprint(want) {
			t.Errorf("with mended code: got %d %s, want %d", r.Code, r.Data, want)
		}
		n.Again(objects.NewFragile(false))
	}
	logs, _ := harness.Logs(t, n.Dial())
	harness.CheckLogs(t, logs)
}
