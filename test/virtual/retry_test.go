//go:build !race

package virtual

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/internal/natstest"
	"github.com/perdure/perdure/test/harness"
	"github.com/perdure/perdure/test/objects"
)

// TestRetry ends the attempts of a step in every way and measures when the next ones start.
func TestRetry(t *testing.T) {
	const s = time.Second
	// gap is the time between two attempts: the backoff with up to a quarter of jitter taken off, and a little.
	backoff := func(d time.Duration) [2]time.Duration { return [2]time.Duration{d * 3 / 4, d + late} }
	exactly := func(d time.Duration) [2]time.Duration { return [2]time.Duration{d, d + late} }
	for _, tc := range []struct {
		ends   string
		policy actor.RetryPolicy
		want   objects.Tried
		gaps   [][2]time.Duration
	}{
		{"ok", actor.RetryPolicy{}, objects.Tried{Result: "done"}, nil},
		{"error ok", actor.RetryPolicy{}, objects.Tried{Result: "done"}, [][2]time.Duration{backoff(s / 2)}},
		{"panic ok", actor.RetryPolicy{}, objects.Tried{Result: "done"}, [][2]time.Duration{backoff(s / 2)}},
		{"error", actor.RetryPolicy{}, objects.Tried{Reason: "exhausted", Attempts: 4, Message: "failed"}, [][2]time.Duration{backoff(s / 2), backoff(s), backoff(2 * s)}},
		{
			"error",
			actor.RetryPolicy{Attempts: 6, Backoff: s, MaxBackoff: 3 * s},
			objects.Tried{Reason: "exhausted", Attempts: 6, Message: "failed"},
			[][2]time.Duration{backoff(s), backoff(2 * s), backoff(3 * s), backoff(3 * s), backoff(3 * s)},
		},
		{"error", actor.RetryPolicy{Attempts: 1}, objects.Tried{Reason: "exhausted", Attempts: 1, Message: "failed"}, nil},
		{"terminal", actor.RetryPolicy{}, objects.Tried{Reason: "terminal", Attempts: 1, Message: "no use"}, nil},
		{"error terminal", actor.RetryPolicy{}, objects.Tried{Reason: "terminal", Attempts: 2, Message: "no use"}, [][2]time.Duration{backoff(s / 2)}},
		{"after_7s ok", actor.RetryPolicy{}, objects.Tried{Result: "done"}, [][2]time.Duration{exactly(7 * s)}},
		{"after_2h ok", actor.RetryPolicy{}, objects.Tried{Result: "done"}, [][2]time.Duration{exactly(7200 * s)}},
		{"hang", actor.RetryPolicy{Attempts: 2, Timeout: 3 * s}, objects.Tried{Reason: "timeout", Attempts: 2}, [][2]time.Duration{{3*s + s*3/8, 3*s + s/2 + late}}},
		{"stuck ok", actor.RetryPolicy{Attempts: 2, Timeout: 3 * s}, objects.Tried{Result: "done"}, [][2]time.Duration{{3*s + s*3/8, 3*s + s/2 + late}}},
		{"panic", actor.RetryPolicy{Attempts: 2}, objects.Tried{Reason: "panic", Attempts: 2}, [][2]time.Duration{backoff(s / 2)}},
	} {
		for _, restart := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s of %d restart %v", tc.ends, tc.policy.Attempts, restart), func(t *testing.T) {
				natstest.InBubble(t, func(t *testing.T) {
					var attempts objects.Attempts
					def := objects.NewTrier(&attempts, tc.policy)
					n := run(t, func(c *perdure.Config) { c.LeaseTTL = time.Minute }, def)
					ends := strings.Fields(tc.ends)
					for i := range ends {
						ends[i] = strings.ReplaceAll(ends[i], "_", " ")
					}
					payload, _ := json.Marshal(objects.Try{Ends: ends})
					addr := actor.Address{Type: "trier", Key: "a"}
					if _, err := n.Client().Send(t.Context(), addr, "try", payload, actor.CallHeader{CallID: "x"}); err != nil {
						t.Fatal(err)
					}
					if restart {
						for len(attempts.Times(fmt.Sprint(ends))) == 0 {
							time.Sleep(time.Millisecond)
						}
						time.Sleep(50 * time.Millisecond)
						n.Again(def)
					}
					o, err := n.Client().Call(t.Context(), addr, "try", payload, actor.CallHeader{CallID: "x", Timeout: 5 * time.Hour})
					if err != nil {
						t.Fatal(err)
					}
					var got objects.Tried
					if err := json.Unmarshal(o.Result, &got); err != nil {
						t.Fatal(err)
					}
					if got.Reason != tc.want.Reason || got.Result != tc.want.Result || got.Attempts != tc.want.Attempts || !strings.Contains(got.Message, tc.want.Message) {
						t.Errorf("got %+v, want %+v", got, tc.want)
					}
					if ends[0] == "stuck" {
						time.Sleep(time.Minute) // the body that was left behind ends
					}
					times := attempts.Times(fmt.Sprint(ends))
					if restart && (ends[0] == "hang" || ends[0] == "stuck") {
						return // its first attempt is interrupted and made again
					}
					if len(times) != len(tc.gaps)+1 {
						t.Fatalf("%d attempts, want %d", len(times), len(tc.gaps)+1)
					}
					for i, want := range tc.gaps {
						if gap := times[i+1].Sub(times[i]); gap < want[0] || gap > want[1] {
							t.Errorf("attempt %d came %s after the one before, want %s to %s", i+2, gap, want[0], want[1])
						}
					}
				})
			})
		}
	}
}

// TestDeadline replays runs that had a deadline on steps, hooks and sleeps.
func TestDeadline(t *testing.T) {
	natstest.InBubble(t, func(t *testing.T) {
		n := run(t, nil, objects.Hurried)
		for _, tc := range []struct{ millis, want string }{
			{"0", `"done"`}, {"30", `"done"`}, {"5000", `"late"`}, {"0", `"done"`},
		} {
			payload := []byte(`{"millis":` + tc.millis + `}`)
			if r := harness.Ask(t, n.Conn(), "call.hurried.a.hurry", payload); string(r.Data) != tc.want {
				t.Errorf("%s ms: got %d %s, want %s", tc.millis, r.Code, r.Data, tc.want)
			}
			n.Again(objects.Hurried)
		}
		var described struct{ Status string }
		r := harness.Ask(t, n.Conn(), "call.hurried.a.$describe", nil)
		if err := json.Unmarshal(r.Data, &described); err != nil || described.Status != "running" {
			t.Errorf("after the last restart: %s, %v, want running", r.Data, err)
		}
	})
}

// TestRace races a hook against a sleep in a loop, with calls that come before, at and after the time, and restarts.
func TestRace(t *testing.T) {
	for _, restarts := range []int{0, 4} {
		t.Run(fmt.Sprint(restarts, " restarts"), func(t *testing.T) {
			natstest.InBubble(t, func(t *testing.T) {
				n := run(t, nil, objects.Ticker)
				addr := actor.Address{Type: "ticker", Key: "a"}
				began, want := time.Now(), 0
				var last objects.Beat
				for i := range 200 {
					time.Sleep(time.Duration(i%7) * 33 * time.Millisecond)
					if restarts > 0 && i%(200/restarts) == 50/restarts {
						n.Again(objects.Ticker)
					}
					want++
					if i%2 == 0 {
						if _, err := n.Client().Send(t.Context(), addr, "bump", []byte(`{"n":1}`), actor.CallHeader{}); err != nil {
							t.Fatal(err)
						}
						continue
					}
					o, err := n.Client().Call(t.Context(), addr, "bump", []byte(`{"n":1}`), actor.CallHeader{})
					if err != nil {
						t.Fatal(err)
					}
					if err := json.Unmarshal(o.Result, &last); err != nil || last.Sum != want {
						t.Fatalf("after %d calls: %s, %v", want, o.Result, err)
					}
				}
				took := time.Since(began)
				if last.Ticks == 0 || time.Duration(last.Ticks)*objects.Every > took {
					t.Errorf("%d ticks of %s in %s", last.Ticks, objects.Every, took)
				}
				logs, _ := harness.Logs(t, n.Conn())
				harness.CheckLogs(t, logs)
			})
		})
	}
}
