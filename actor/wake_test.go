package actor

import (
	"fmt"
	"testing"
	"time"

	"github.com/perdure/perdure/internal/bubble"
)

// TestWake_early: objects that left memory are read again before they are due, not all at one time, and act on time although
// schedules fire late.
func TestWake_early(t *testing.T) {
	bubble.Run(t, func(t *testing.T) {
		const objects = 1000
		w, s, h := ringer(t, func(c *Config) { c.Idle = time.Second })
		for i := range objects {
			w.result(ask(h, Address{"chime", fmt.Sprint(i)}, "do", "", ops(chimeOp{Key: "a", In: 60_000})))
		}
		due := time.Now().Add(time.Minute) // that of the last one
		time.Sleep(10 * time.Second)
		if n := h.resident.Load(); n != 0 {
			t.Fatalf("%d objects in memory", n)
		}
		began := map[time.Duration]int{} // schedules, by whole seconds before they are due
		for _, at := range s.armed {
			began[due.Sub(at).Truncate(time.Second)]++
		}
		for lead, n := range began {
			if lead < leastLead || lead >= leastLead+leadSpread || n > 2*objects/int(leadSpread/time.Second) {
				t.Errorf("%d schedules fire %v before they are due", n, lead)
			}
		}
		time.Sleep(time.Until(due) - 800*time.Millisecond) // the last schedule has fired
		if n := h.resident.Load(); n != objects {
			t.Errorf("%d objects in memory before they are due, want %d", n, objects)
		}
		time.Sleep(2 * time.Second)
		rang := 0
		for _, e := range w.log {
			rec, _ := DecodeRecord(e.Body)
			for _, ev := range rec.Events {
				if ev.Type != WaitCompleted {
					continue
				}
				if rang++; ev.At.Before(*ev.Due) || ev.At.After(ev.Due.Add(50*time.Millisecond)) {
					t.Errorf("rang %v after it was due", ev.At.Sub(*ev.Due))
				}
			}
		}
		if rang != objects {
			t.Errorf("%d rang, want %d", rang, objects)
		}
		time.Sleep(10 * time.Second)
		if armed, firings := s.left(); armed+firings > 0 || h.resident.Load() != 0 {
			t.Errorf("%d schedules and %d firings are left, %d objects in memory", armed, firings, h.resident.Load())
		}
	})
}
