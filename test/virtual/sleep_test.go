//go:build !race

package virtual

import (
	"fmt"
	"testing"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/internal/natstest"
	"github.com/perdure/perdure/test/harness"
	"github.com/perdure/perdure/test/objects"
)

// TestSleep measures sleeps from their call to their answer, resident and evicted.
func TestSleep(t *testing.T) {
	for _, idle := range []time.Duration{5 * time.Minute, 3 * time.Second} {
		for _, d := range []time.Duration{
			time.Millisecond, 50 * time.Millisecond, 999 * time.Millisecond, 1999 * time.Millisecond, 2 * time.Second, 2001 * time.Millisecond,
			10*time.Second + 123456789, time.Minute, 3 * time.Hour,
		} {
			t.Run(fmt.Sprintf("%s idle %s", d, idle), func(t *testing.T) {
				natstest.InBubble(t, func(t *testing.T) {
					n := run(t, func(c *perdure.Config) { c.Idle, c.LeaseTTL = idle, calm(d) }, objects.Sleeper)
					began := time.Now()
					nap(t, n, "a", d)
					awaitNap(t, n, "a", began.Add(d))
				})
			})
		}
	}
}

// TestSleep_Down lets sleeps come due while no node runs, and others go on over restarts.
func TestSleep_Down(t *testing.T) {
	for _, tc := range []struct{ sleep, down time.Duration }{
		{time.Second, 10 * time.Second},
		{1900 * time.Millisecond, time.Hour},
		{time.Minute, time.Hour},
		{time.Hour, 30 * time.Minute},
		{3 * time.Second, time.Second},
		{48 * time.Hour, 48*time.Hour - time.Second},
		{48 * time.Hour, 96 * time.Hour},
	} {
		t.Run(fmt.Sprintf("%s down %s", tc.sleep, tc.down), func(t *testing.T) {
			natstest.InBubble(t, func(t *testing.T) {
				n := run(t, func(c *perdure.Config) { c.LeaseTTL = calm(tc.sleep) }, objects.Sleeper)
				began := time.Now()
				nap(t, n, "a", tc.sleep)
				n.End()
				time.Sleep(time.Until(began.Add(tc.down)))
				n.Again(objects.Sleeper)
				due := began.Add(tc.sleep)
				if now := time.Now(); now.After(due) {
					due = now // it ended on restart
				}
				awaitNap(t, n, "a", due)
			})
		})
	}
}

// TestSleep_Many has many runs sleep for different times at once, some of them resident and some not.
func TestSleep_Many(t *testing.T) {
	natstest.InBubble(t, func(t *testing.T) {
		n := run(t, func(c *perdure.Config) { c.Idle = 10 * time.Second }, objects.Sleeper)
		began := time.Now()
		const runs = 200
		for i := range runs {
			nap(t, n, fmt.Sprint(i), time.Duration(i*i)*time.Millisecond)
		}
		time.Sleep(time.Until(began.Add(runs * runs * time.Millisecond).Add(late)))
		logs, _ := harness.Logs(t, n.Conn())
		harness.CheckLogs(t, logs)
		ended := 0
		for subject, records := range logs {
			var due time.Time
			for _, r := range records {
				for _, ev := range r.Events {
					switch ev.Type {
					case actor.WaitCreated:
						due = *ev.Due
					case actor.WaitCompleted:
						ended++
						if ev.At.Before(due) || ev.At.After(due.Add(late)) {
							t.Errorf("%s: due at %s, ended %s later", subject, due, ev.At.Sub(due))
						}
					default:
					}
				}
			}
		}
		if ended != runs-1 { // a sleep of nothing is none
			t.Errorf("%d sleeps ended, want %d", ended, runs-1)
		}
	})
}

// calm is a lease's time for a test that lasts d: a day of renewals each second costs real time.
func calm(d time.Duration) time.Duration { return max(5*time.Second, d/20) }

func nap(t *testing.T, n *harness.Node, key string, d time.Duration) {
	t.Helper()
	payload := fmt.Appendf(nil, `{"nanos":%d}`, d)
	if _, err := n.Client().Send(t.Context(), actor.Address{Type: "sleeper", Key: key}, "nap", payload, actor.CallHeader{}); err != nil {
		t.Fatal(err)
	}
	o, err := n.Client().Call(t.Context(), actor.Address{Type: "sleeper", Key: key}, actor.HookDescribe, nil, actor.CallHeader{})
	if err != nil || string(o.Result) == "" {
		t.Fatal(err)
	}
}

// awaitNap calls with a nap of nothing, which is answered when the naps before it have ended, and checks the time.
func awaitNap(t *testing.T, n *harness.Node, key string, due time.Time) {
	t.Helper()
	time.Sleep(time.Until(due.Add(-time.Second))) // asking wakes the run
	left := time.Until(due)
	_, err := n.Client().Call(t.Context(), actor.Address{Type: "sleeper", Key: key}, "nap", []byte(`{"nanos":0}`), actor.CallHeader{Timeout: left + 30*time.Second})
	if err != nil {
		t.Fatalf("after a sleep: %v", err)
	}
	over := time.Since(due)
	if over < 0 || over > late {
		t.Errorf("ended %s after it was due", over)
	}
}
