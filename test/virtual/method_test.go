//go:build !race

package virtual

import (
	"fmt"
	"testing"
	"time"

	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/internal/natstest"
	"github.com/perdure/perdure/test/harness"
	"github.com/perdure/perdure/test/objects"
)

// TestMethod_Restart restarts the node while a method waits for a step or a sleep and other calls queue behind it.
func TestMethod_Restart(t *testing.T) {
	for _, at := range []time.Duration{0, 500 * time.Millisecond, 1500 * time.Millisecond, 2500 * time.Millisecond, 3500 * time.Millisecond} {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			natstest.InBubble(t, func(t *testing.T) {
				n := run(t, nil, objects.Forges)
				began := time.Now()
				const calls = 3
				for i := range calls { // each takes a second in a step and a second asleep
					if _, err := objects.ForgeMake.Send(t.Context(), n.Client(), "a", objects.Wait{Millis: 1000}, actor.CallID(fmt.Sprint(i))); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(at)
				count, err := objects.ForgeCount.Call(t.Context(), n.Client(), "a", actor.None{})
				if want := int(at / (2 * time.Second)); err != nil || count != want {
					t.Errorf("after %s: %d things, %v, want %d: a query sees no half-done call", at, count, err, want)
				}
				n.Again(objects.Forges)
				var all []objects.Made
				for i := range calls {
					m, err := objects.ForgeMake.Call(t.Context(), n.Client(), "a", objects.Wait{Millis: 1000}, actor.CallID(fmt.Sprint(i)))
					if err != nil {
						t.Fatal(err)
					}
					all = append(all, m)
				}
				for i, m := range all {
					if m.ID != i+1 || m.Begun.Before(began) || m.Done.Sub(m.Begun) < 2*time.Second || i > 0 && m.Begun.Before(all[i-1].Done) {
						t.Errorf("call %d made %+v", i, m)
					}
				}
				if took := all[calls-1].Done.Sub(began); took > (2*calls+1)*time.Second+calls*late {
					t.Errorf("%d calls took %s", calls, took)
				}
				state, _, err := objects.Forges.State(t.Context(), n.Client(), "a")
				if err != nil || fmt.Sprint(state.Made) != fmt.Sprint(all) {
					t.Errorf("state %v, %v, outcomes %v", state.Made, err, all)
				}
				logs, _ := harness.Logs(t, n.Conn())
				harness.CheckLogs(t, logs)
			})
		})
	}
}
