package actor

import (
	"encoding/json"
	"fmt"
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
