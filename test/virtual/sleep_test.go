//go:build !race

package virtual

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

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

// TestSleep_ForeignFiring fires a sleep before its time.
func TestSleep_ForeignFiring(t *testing.T) {
	natstest.InBubble(t, func(t *testing.T) {
		n := run(t, nil, objects.Sleeper)
		nc := n.Conn()
		const d = 3 * time.Second
		answer := make(chan time.Time, 1)
		began := time.Now()
		go func() {
			if r, err := harness.TryAsk(t.Context(), nc, "call.sleeper.a.nap", fmt.Appendf(nil, `{"nanos":%d}`, d), 10*time.Second); err != nil || r.Code != 0 {
				t.Errorf("nap: %d %v", r.Code, err)
			}
			answer <- time.Now()
		}()
		var described struct{ Waits []struct{ ID string } }
		harness.Eventually(t, time.Second, func() string {
			r := harness.Ask(t, nc, "call.sleeper.a.$describe", nil)
			if err := json.Unmarshal(r.Data, &described); err != nil || len(described.Waits) == 0 {
				return fmt.Sprint("no wait: ", err)
			}
			return ""
		})
		logs, _ := harness.Logs(t, nc)
		if len(logs) != 1 {
			t.Fatalf("%d logs, want that of the sleeper", len(logs))
		}
		for subject := range logs {
			partition := strings.Split(subject, ".")[1]
			for _, header := range []nats.Header{nil, {"Perdure-Timer": {described.Waits[0].ID}}, {"Perdure-Timer": {"wait-nothing"}}, {"Perdure-Timer": {"%"}}} {
				for _, fire := range []string{"fire." + partition + ".sleeper.a", "fire." + partition + ".sleeper.nobody", "fire." + partition + ".nothing.a"} {
					if err := nc.PublishMsg(&nats.Msg{Subject: fire, Header: header}); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		if fired := time.Since(began); fired >= d {
			t.Fatalf("fired after %s: the test shows nothing", fired)
		}
		if took := (<-answer).Sub(began); took < d || took > d+late {
			t.Errorf("a sleep of %s took %s", d, took)
		}
	})
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
