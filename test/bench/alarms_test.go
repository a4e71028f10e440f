package bench

import (
	"bytes"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/test/objects"
)

const alarms = 10_000

// peal counts how often its bell rang: a state whose size does not matter.
type peal struct{ Rang int }

var (
	peals = actor.NewObject[peal]("peal")
	chime = actor.NewAlarm(peals, "bell", func(p *peal, _ actor.Context, _ actor.None) error { p.Rang++; return nil })
	hang  = actor.NewMethod(peals, "hang", func(_ *peal, ctx actor.Context, in objects.Bells) (actor.None, error) {
		for _, b := range in.Set {
			if err := chime.Set(ctx, b.Key, b.Due, actor.None{}); err != nil {
				return actor.None{}, err
			}
		}
		for _, key := range in.Cancel {
			chime.Cancel(ctx, key)
		}
		return actor.None{}, nil
	})
)

// BenchmarkAlarms has 10,000 alarms come due within one second, on as many objects or on few, in memory or not, and half as many
// more that were cancelled. Metrics: ms-late is when the last one's record was stored, after the last was due; ms-raw is how
// long 64 publishers take for as many publishes to one stream, beforehand in the same run.
func BenchmarkAlarms(b *testing.B) {
	for _, tc := range []struct {
		name string
		objs int
		idle time.Duration
		sync perdure.Sync
	}{
		{"objects=1/sync=always", 1, time.Hour, perdure.SyncAlways},
		{"objects=100/sync=always", 100, time.Hour, perdure.SyncAlways},
		{"objects=10000/sync=always", alarms, time.Hour, perdure.SyncAlways},
		{"objects=1/sync=interval", 1, time.Hour, perdure.SyncInterval},
		{"objects=100/sync=interval", 100, time.Hour, perdure.SyncInterval},
		{"objects=10000/sync=interval", alarms, time.Hour, perdure.SyncInterval},
		{"objects=10000/sync=interval/evicted", alarms, time.Second, perdure.SyncInterval},
	} {
		b.Run(tc.name, func(b *testing.B) {
			if testing.Short() && tc.name != "objects=100/sync=interval" {
				b.Skip("-short: it waits for 20 s")
			}
			var late, raw []time.Duration
			for b.Loop() {
				l, r := ringAll(b, tc.objs, perdure.Config{Listen: "none", Store: b.TempDir(), Sync: tc.sync, Idle: tc.idle})
				late, raw = append(late, l), append(raw, r)
			}
			slices.Sort(late)
			slices.Sort(raw)
			latest := late[len(late)-1]
			b.ReportMetric(float64(latest.Milliseconds()), "ms-late")
			if latest > time.Second && !testing.Short() {
				b.Errorf("the last alarm fired %s late, want a second at most", latest)
			}
			b.ReportMetric(float64(raw[len(raw)/2].Milliseconds()), "ms-raw")
		})
	}
}

func ringAll(b *testing.B, objs int, cfg perdure.Config) (late, raw time.Duration) {
	b.Helper()
	n, err := perdure.Start(b.Context(), cfg, peals)
	if err != nil {
		b.Fatal(err)
	}
	defer n.Stop() //nolint:errcheck // a benchmark
	raw = rawPublishes(b, n.Conn())

	var rang atomic.Int64
	var last atomic.Pointer[time.Time]
	sub, err := n.Conn().Subscribe("log.*.peal.*", func(m *nats.Msg) {
		if k := bytes.Count(m.Data, []byte(`"type":"wait_completed"`)); k > 0 {
			now := time.Now()
			last.Store(&now)
			rang.Add(int64(k))
		}
	})
	if err != nil {
		b.Fatal(err)
	}
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		b.Fatal(err)
	}
	each := alarms / objs
	due := time.Now().Add(20 * time.Second)
	g, ctx := errgroup.WithContext(b.Context())
	g.SetLimit(64)
	for o := range objs {
		g.Go(func() error {
			for from := 0; from < each; from += 1000 {
				var in objects.Bells
				for i := from; i < min(from+1000, each); i++ {
					at := due.Add(time.Duration(o+i*objs) * time.Second / alarms)
					in.Set = append(in.Set, objects.Bell{Key: fmt.Sprint(i), Due: at})
					if i <= each/2 {
						in.Set = append(in.Set, objects.Bell{Key: fmt.Sprint("never ", i), Due: at})
						in.Cancel = append(in.Cancel, fmt.Sprint("never ", i))
					}
				}
				if _, err := hang.Call(ctx, n.Client(), fmt.Sprint(o), in, actor.Timeout(time.Minute)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		b.Fatal(err)
	}
	if left := time.Until(due); left < 2*time.Second {
		b.Fatalf("setting the alarms took too long: they are due in %s", left)
	}
	for limit := time.After(2 * time.Minute); rang.Load() < alarms; {
		select {
		case <-limit:
			b.Fatalf("%d of %d alarms fired", rang.Load(), alarms)
		case <-time.After(10 * time.Millisecond):
		}
	}
	<-time.After(time.Second) // for one too many
	if rang.Load() != alarms {
		b.Fatalf("%d alarms fired, %d were set", rang.Load(), alarms)
	}
	return last.Load().Sub(due.Add(time.Second)), raw
}

// rawPublishes is how long 10,000 synchronous publishes by 64 publishers take, each to a subject of its own.
func rawPublishes(b *testing.B, nc *nats.Conn) time.Duration {
	b.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := js.CreateStream(b.Context(), jetstream.StreamConfig{Name: "RAW", Subjects: []string{"raw.*"}}); err != nil {
		b.Fatal(err)
	}
	g, ctx := errgroup.WithContext(b.Context())
	g.SetLimit(64)
	began := time.Now()
	body := bytes.Repeat([]byte("x"), 1000)
	for i := range alarms {
		g.Go(func() error {
			_, err := js.Publish(ctx, fmt.Sprint("raw.", i), body)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		b.Fatal(err)
	}
	return time.Since(began)
}
