//go:build !race

package virtual

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/internal/natstest"
	"github.com/perdure/perdure/test/harness"
	"github.com/perdure/perdure/test/objects"
)

// TestAlarm sets alarms on the server's own schedules: resident, evicted, over restarts, and while no node runs.
func TestAlarm(t *testing.T) {
	for _, tc := range []struct {
		name string
		idle time.Duration
		down [2]time.Duration // when the node ends and starts again
	}{
		{"resident", time.Hour, [2]time.Duration{}},
		{"evicted", time.Second, [2]time.Duration{}},
		{"restarted", time.Second, [2]time.Duration{5 * time.Second, 5 * time.Second}},
		{"down", time.Second, [2]time.Duration{500 * time.Millisecond, 2 * time.Minute}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			natstest.InBubble(t, func(t *testing.T) {
				n := run(t, func(c *perdure.Config) { c.Idle = tc.idle }, objects.Towers)
				began := time.Now()
				const towers = 5
				want := []string{"700ms", "1s", "3s", "30s", "1m30s"}
				bells := objects.Bells{Cancel: []string{"1.1s", "1m31s"}}
				for _, d := range []time.Duration{
					3 * time.Second, 1100 * time.Millisecond, time.Second, 700 * time.Millisecond, 30 * time.Second, 91 * time.Second, 90 * time.Second,
				} {
					bells.Set = append(bells.Set, objects.Bell{Key: d.String(), Due: began.Add(d)})
				}
				for i := range towers {
					if left, err := objects.TowerHang.Call(t.Context(), n.Client(), fmt.Sprint(i), bells); err != nil || left != len(want) {
						t.Fatal(left, err)
					}
				}
				back := began
				if tc.down[1] > 0 {
					time.Sleep(tc.down[0])
					n.End()
					time.Sleep(tc.down[1] - tc.down[0])
					n.Again(objects.Towers)
					back = time.Now()
				}
				time.Sleep(time.Until(began.Add(3 * time.Minute)))
				for i := range towers {
					s, _, err := objects.Towers.State(t.Context(), n.Client(), fmt.Sprint(i))
					if err != nil {
						t.Fatal(err)
					}
					var rang []string
					for _, r := range s.Rang {
						rang = append(rang, r.Key)
						due := r.Due
						if due.Before(back) && due.After(began.Add(tc.down[0])) {
							due = back
						}
						if over := r.At.Sub(due); over < 0 || over > late {
							t.Errorf("%s rang %s after it was due", r.Key, over)
						}
					}
					if !slices.Equal(rang, want) {
						t.Errorf("rang %v, want %v", rang, want)
					}
				}
				logs, _ := harness.Logs(t, n.Conn())
				harness.CheckLogs(t, logs)
				if left := stored(t, n, "PERDURE_TIMERS"); left != 0 {
					t.Errorf("%d messages are left in TIMERS", left)
				}
			})
		})
	}
}

// TestParked parks a run, lists it, and lets it go on with mended code, without any outside event.
func TestParked(t *testing.T) {
	natstest.InBubble(t, func(t *testing.T) {
		hook := actor.NewHook[int, int]("go")
		flow := func(broken bool) *actor.Workflow[actor.None, actor.None] {
			return actor.NewWorkflow("flow", func(ctx actor.Context, _ actor.None) (actor.None, error) {
				for call, err := range hook.Create(ctx).All(ctx) {
					if err != nil {
						return actor.None{}, err
					}
					if broken && call.Payload == 13 {
						panic("unlucky")
					}
					call.Reply(ctx, call.Payload)
				}
				return actor.None{}, nil
			}, hook)
		}
		n := run(t, func(c *perdure.Config) { c.Idle = time.Second }, flow(true))
		addr := func(i int) actor.Address { return actor.Address{Type: "flow", Key: fmt.Sprint(i)} }
		for i := range 20 {
			payload := []byte("1")
			if i%2 == 0 {
				payload = []byte("13")
			}
			_, _ = n.Client().Call(t.Context(), addr(i), "go", payload, actor.CallHeader{})
		}
		time.Sleep(time.Minute)
		parked := func() (keys []string) {
			runs, err := n.Client().Runs(t.Context(), "flow", actor.StatusParked, 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range runs {
				keys = append(keys, r.Address.Key)
			}
			return keys
		}
		if got := parked(); !slices.Equal(got, []string{"0", "10", "12", "14", "16", "18", "2", "4", "6", "8"}) {
			t.Errorf("parked: %v", got)
		}
		n.Again(flow(false))
		time.Sleep(10 * time.Second)
		if got := parked(); len(got) > 0 {
			t.Errorf("still parked: %v", got)
		}
	})
}

// stored is how many messages a stream has.
func stored(t *testing.T, n *harness.Node, stream string) uint64 {
	t.Helper()
	js, err := jetstream.New(n.Conn())
	if err != nil {
		t.Fatal(err)
	}
	s, err := js.Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	return s.CachedInfo().State.Msgs
}
