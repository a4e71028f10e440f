package bench

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/test/harness"
	"github.com/perdure/perdure/test/objects"
)

// BenchmarkResume is the time from the start of a node to the first answer of a run function that has recorded 5,000
// steps and no checkpoint, and of one that has recorded none. The steps share records, as quick ones do, or each has its own.
func BenchmarkResume(b *testing.B) {
	for name, flush := range map[string]time.Duration{"batched": 0, "recorded": time.Nanosecond} {
		b.Run(name, func(b *testing.B) { resume(b, flush) })
	}
}

func resume(b *testing.B, flush time.Duration) {
	b.Helper()
	many := 5000
	if testing.Short() {
		many = 50
	}
	last := actor.NewHook[actor.None, int]("last")
	square := actor.NewStep("square", func(_ context.Context, n int) (int, error) { return n * n, nil })
	flow := actor.NewWorkflow("flow", func(ctx actor.Context, steps int) (actor.None, error) {
		sum := 0
		for i := range steps {
			n, err := square.Run(ctx, i)
			if err != nil {
				return actor.None{}, err
			}
			sum += n
		}
		hook := last.Create(ctx)
		for {
			call, err := hook.Await(ctx)
			if err != nil {
				return actor.None{}, err
			}
			call.Reply(ctx, sum)
		}
	}, last)
	median := func(steps int) (took time.Duration, records uint64) {
		cfg := harness.Config(b)
		cfg.Listen, cfg.Sync, cfg.Flush = "none", perdure.SyncInterval, flush
		n := harness.Run(b, cfg, flow)
		addr := actor.Address{Type: "flow", Key: "k"}
		ask := func(hook, payload string) string {
			o, err := n.Client().Call(b.Context(), addr, hook, []byte(payload), actor.CallHeader{Timeout: time.Minute})
			if err != nil {
				b.Fatal(err)
			}
			return string(o.Result)
		}
		ask(actor.HookStart, fmt.Sprint(steps))
		want := ask("last", "null")
		for _, name := range harness.LogStreams(b, n.Conn()) {
			records += harness.State(b, n.Conn(), name).Msgs
		}
		var all []time.Duration
		for range 5 {
			n.End()
			began := time.Now()
			n.Again(flow)
			if got := ask("last", "null"); got != want {
				b.Fatalf("it answers %s, before %s", got, want)
			}
			all = append(all, time.Since(began))
		}
		n.End()
		slices.Sort(all)
		return all[len(all)/2], records
	}
	for b.Loop() {
		none, _ := median(0)
		long, records := median(many)
		b.ReportMetric(float64(long.Milliseconds()), "ms-long")
		b.ReportMetric(float64(none.Milliseconds()), "ms-none")
		b.ReportMetric(float64(records), "records")
		if flush > 0 && records < uint64(many)*9/10 { // now and then one is done before the turn has looked
			b.Errorf("%d steps share %d records", many, records)
		}
		if long > time.Second && !testing.Short() {
			b.Errorf("a run of %d steps resumes in %s, not within a second", many, long)
		}
	}
}

// BenchmarkScattered activates an object whose last 20 records lie apart in a log of 2 GB: a large state, which its records
// change by deltas, and a small one. Metrics: reads of the log that its state takes, and how long that is on a node that is
// up; the same for the first call of another such object.
func BenchmarkScattered(b *testing.B) {
	between := 100 // records of 1 MB
	if testing.Short() {
		between = 1
	}
	for b.Loop() {
		cfg := harness.Config(b)
		cfg.Listen, cfg.Sync, cfg.LogStreams = "none", perdure.SyncInterval, 1
		n := harness.Run(b, cfg, objects.Notebooks, objects.Tallies, objects.Boxes)
		call := func(addr actor.Address, hook, payload string) {
			if _, err := n.Client().Call(b.Context(), addr, hook, []byte(payload), actor.CallHeader{Timeout: time.Minute}); err != nil {
				b.Fatal(err)
			}
		}
		megabyte := fmt.Sprintf("%q", strings.Repeat("x", 1<<20))
		filler := objects.Boxes.At("filler")
		for i := range 20 {
			for _, key := range []string{"k", "k2"} {
				call(objects.Notebooks.At(key), "write", fmt.Sprintf(`{"line":%d,"text":"line %d"}`, i, i))
				call(objects.Tallies.At(key), "add", `{"n":1}`)
			}
			for range between {
				call(filler, "put", megabyte)
			}
		}
		b.ReportMetric(float64(harness.State(b, n.Conn(), "PERDURE_LOG_0").Bytes)/(1<<30), "GiB")
		n.Again(objects.Notebooks, objects.Tallies, objects.Boxes)
		var requests []*nats.Subscription
		for _, api := range []string{"$JS.API.STREAM.MSG.GET.PERDURE_LOG_0", "$JS.API.DIRECT.GET.PERDURE_LOG_0", "$JS.API.DIRECT.GET.PERDURE_LOG_0.>"} {
			sub, err := n.Conn().SubscribeSync(api)
			if err != nil {
				b.Fatal(err)
			}
			requests = append(requests, sub)
		}
		// reads is how many there were; what is not taken from a subscription stays counted.
		reads := func() (all int) {
			if err := n.Conn().Flush(); err != nil {
				b.Fatal(err)
			}
			for _, sub := range requests {
				pending, _, err := sub.Pending()
				if err != nil {
					b.Fatal(err)
				}
				all += pending
			}
			return all
		}
		for _, tc := range []struct{ what, subject, payload string }{
			{"deltas", "call.notebook.k.$state", ""},
			{"small", "call.tally.k.$state", ""},
			// The first record of a cold object needs the ids of calls since their last table, too.
			{"deltas-call", "call.notebook.k2.write", `{"line":0,"text":"again"}`},
			{"small-call", "call.tally.k2.add", `{"n":1}`},
		} {
			before, began := reads(), time.Now()
			if r := harness.Ask(b, n.Conn(), tc.subject, []byte(tc.payload)); r.Code != 0 {
				b.Fatal(r.Err)
			}
			took := time.Since(began)
			count := reads() - before
			if count > 20 {
				b.Errorf("%s: %d reads, want 20 at most", tc.what, count)
			}
			b.ReportMetric(float64(count), "reads-"+tc.what)
			b.ReportMetric(float64(took.Microseconds()), "µs-"+tc.what)
		}
		n.End()
	}
}
