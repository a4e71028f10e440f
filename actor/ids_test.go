package actor

import (
	"fmt"
	"testing"
	"time"
)

// TestIDTable_openCall: a call that nobody answers does not keep the ids behind it.
func TestIDTable_openCall(t *testing.T) {
	now := time.Now()
	old := now.Add(-48 * time.Hour)
	due := old.Add(30 * time.Second)
	ids := newIDTable()
	ids.observe(&Event{Type: HookReceived, ID: "open", Name: "a", At: old, Hash: "h", Due: &due}, 1)
	for i := range 5000 {
		id := fmt.Sprint(i)
		ids.observe(&Event{Type: HookReceived, ID: id, Name: "a", At: old, Hash: "h", Due: &due}, 1)
		ids.observe(&Event{Type: CallCompleted, ID: id}, 1)
	}
	ids.expire(now)
	if n := len(ids.entries); n > 1 {
		t.Errorf("%d ids kept, two days after their calls ended", n)
	}
}
