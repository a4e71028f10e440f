package actor

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
)

// TestOutbox_Bound: while the stream takes nothing, a run takes calls until so many effects wait. What it took is not
// lost.
func TestOutbox_Bound(t *testing.T) {
	const most = 20
	w := newWorld(t)
	out := &memoryOutputs{world: w}
	out.fail = func(*Chunk) (bool, error) { return false, ErrAppendRefused }
	def := crier(NewStream[string]("default"))
	h := w.host("a", func(c *Config) { c.Outputs, c.MaxEffects = out, most }, def)
	w.own(h, 1, Checkpoint{})
	w.run(h)
	for i := range most {
		if got := w.result(ask(h, def.At("k"), "say", "", fmt.Sprintf(`"%d"`, i))); got != `"ok"` {
			t.Fatalf("call %d: %s", i, got)
		}
	}
	refused := w.answer(ask(h, def.At("k"), "say", "", `"too many"`)).Err
	var details struct{ Limit string }
	if refused == nil || refused.Code != CodeLimit || json.Unmarshal(refused.Details, &details) != nil || details.Limit != "effects of one run" {
		t.Errorf("call %d: %v", most, refused)
	}
	w.send(def.At("k"), "say", `"too many"`, CallHeader{})
	w.until("the dead letter", func() bool { return len(w.dead) == 1 && w.dead[0].Cause.Code == CodeLimit })
	out.mu.Lock()
	out.fail = nil
	out.mu.Unlock()
	w.until("all chunks", func() bool { got, _ := out.read(); return len(got) == most })
	if got := w.result(ask(h, def.At("k"), "say", "", `"more"`)); got != `"ok"` {
		t.Errorf("afterwards: %s", got)
	}
	w.until("one more chunk", func() bool { got, _ := out.read(); return len(got) == most+1 })
}

// TestHost_deadLetterOfUntaken: a send that nobody took keeps in its dead letter what it takes to send it again, also when
// a checkpoint came between.
func TestHost_deadLetterOfUntaken(t *testing.T) {
	for _, rounds := range []int{0, 2} {
		t.Run(fmt.Sprint(rounds), func(t *testing.T) {
			w := newWorld(t)
			addr := Address{"meter", "k"}
			def := meters(2)
			def.parts = append(def.parts, KeepNeeded())
			h := w.host("a", nil, def)
			w.run(h)
			w.own(h, 1, Checkpoint{})
			w.result(ask(h, addr, HookStart, "", "null"))
			w.send(addr, "held", "7", CallHeader{CallID: "mine", Token: "held:k", Trace: []string{"tp", "ts"}, ReplyTo: "_INBOX.x"})
			w.until("received", func() bool { return w.count(HookReceived) == 1 })
			for range 2 * rounds {
				w.result(ask(h, addr, "add", "", "1"))
			}
			if n := w.count(Snapshot); n != rounds {
				t.Fatalf("%d checkpoints", n)
			}
			if got := w.result(ask(h, addr, HookTerminate, "", "")); got != "null" {
				t.Fatal(got)
			}
			w.until("dead letter", func() bool { return len(w.dead) == 1 })
			d := w.dead[0]
			if d.CallID != "mine" || d.Token != "held:k" || !slices.Equal(d.Trace, []string{"tp", "ts"}) || d.ReplyTo != "_INBOX.x" || string(d.Payload) != "7" {
				t.Errorf("dead letter %+v", d)
			}
		})
	}
}
