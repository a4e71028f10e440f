package bench

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/test/harness"
)

// old is an object and a run function that are called often, each answering how often.
type old struct {
	object *actor.Object[struct{ N int }]
	flow   *actor.Workflow[actor.None, actor.None]
}

func newOld() old {
	bump := actor.NewHook[int, int]("bump")
	o := old{object: actor.NewObject[struct{ N int }]("object")}
	actor.NewMethod(o.object, "bump", func(s *struct{ N int }, _ actor.Context, n int) (int, error) { s.N += n; return s.N, nil })
	o.flow = actor.NewWorkflow("flow", func(ctx actor.Context, _ actor.None) (actor.None, error) {
		sum, _ := actor.Continued[int](ctx)
		hook := bump.Create(ctx)
		for range 50 {
			call, err := hook.Await(ctx)
			if err != nil {
				return actor.None{}, err
			}
			sum += call.Payload
			call.Reply(ctx, sum)
		}
		actor.ContinueFrom(ctx, sum)
		return actor.None{}, nil
	}, bump)
	return o
}

// bumped calls bump n times, by 64 callers.
func bumped(b *testing.B, n *harness.Node, addr actor.Address, calls int) {
	b.Helper()
	var left atomic.Int64
	left.Store(int64(calls))
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if _, err := n.Client().Call(b.Context(), addr, "bump", []byte("1"), actor.CallHeader{}); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// oldCalls is how often an old object was called. With -short, which only looks whether it works, it is not old.
func oldCalls() int {
	if testing.Short() {
		return 1000
	}
	return 100_000
}

// BenchmarkRestart is the time from the start of a node to the first answer of an object that was called 100 times, and
// 100,000 times. Its metric old/young is the one over the other.
func BenchmarkRestart(b *testing.B) {
	for _, typ := range []string{"object", "flow"} {
		b.Run(typ, func(b *testing.B) {
			median := func(calls int) time.Duration {
				o := newOld()
				cfg := harness.Config(b)
				cfg.Listen, cfg.Sync = "none", perdure.SyncInterval
				n := harness.Run(b, cfg, o.object, o.flow)
				addr := actor.Address{Type: typ, Key: "k"}
				bumped(b, n, addr, calls)
				var all []time.Duration
				for i := range 5 {
					n.End()
					began := time.Now()
					n.Again(o.object, o.flow)
					got, err := n.Client().Call(b.Context(), addr, "bump", []byte("1"), actor.CallHeader{})
					all = append(all, time.Since(began))
					if err != nil || string(got.Result) != fmt.Sprint(calls+i+1) {
						b.Fatalf("%v, %v after %d calls", got, err, calls)
					}
				}
				slices.Sort(all)
				return all[len(all)/2]
			}
			for b.Loop() {
				young, aged := median(100), median(oldCalls())
				b.ReportMetric(float64(young.Microseconds()), "µs-young")
				b.ReportMetric(float64(aged.Microseconds()), "µs-old")
				ratio := float64(aged) / float64(young)
				b.ReportMetric(ratio, "old/young")
				if ratio > 1.5 && !testing.Short() {
					b.Errorf("an old %s is there after %.2f of the time of a young one, want 1.5 at most", typ, ratio)
				}
			}
		})
	}
}

// BenchmarkStateBytes is what one call writes to the log that changes 40 bytes of a state, whole states included, or all of
// it, and what it costs in time and memory.
func BenchmarkStateBytes(b *testing.B) {
	for _, size := range []int{1 << 10, 100 << 10, 1 << 20, 10 << 20, 64 << 20} {
		if testing.Short() && size > 1<<20 {
			break
		}
		for _, hook := range []string{"line", "all"} {
			b.Run(fmt.Sprintf("%dKiB/%s", size>>10, hook), func(b *testing.B) { stateBytes(b, size, hook) })
		}
	}
}

func stateBytes(b *testing.B, size int, hook string) {
	b.Helper()
	type text struct{ Lines []string }
	o := actor.NewObject[text]("text")
	lines := size / 44 // of 43 bytes each
	actor.NewMethod(o, "line", func(s *text, _ actor.Context, n int) (int, error) {
		s.Lines[n*7919%lines] = fmt.Sprintf("%040x", n)
		return n, nil
	})
	actor.NewMethod(o, "all", func(s *text, _ actor.Context, n int) (int, error) {
		s.Lines = make([]string, lines)
		for i := range s.Lines {
			s.Lines[i] = fmt.Sprintf("%020d%020d", n, i*n)
		}
		return n, nil
	})
	cfg := harness.Config(b)
	cfg.Listen, cfg.Sync = "none", perdure.SyncInterval
	n := harness.Run(b, cfg, o)
	written := func() (sum uint64) {
		for _, name := range append(harness.LogStreams(b, n.Conn()), "PERDURE_BLOBS") {
			sum += harness.State(b, n.Conn(), name).Bytes
		}
		return sum
	}
	call := func(hook string, i int) {
		if _, err := n.Client().Call(b.Context(), o.At("k"), hook, fmt.Append(nil, i), actor.CallHeader{Timeout: time.Minute}); err != nil {
			b.Fatal(err)
		}
	}
	call("all", 0)
	before, i := written(), 0
	b.ReportAllocs()
	for b.Loop() {
		i++
		call(hook, i)
	}
	b.ReportMetric(float64(written()-before)/float64(i), "bytes/call")
}
