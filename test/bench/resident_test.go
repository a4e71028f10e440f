package bench

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/internal/natstest"
	"github.com/perdure/perdure/test/harness"
	"github.com/perdure/perdure/test/objects"
)

// BenchmarkEvicted is what idle objects and sleeping runs cost a node that has put them out of memory: goroutines and
// bytes of heap each, in a process of its own; the server is another one, a node with another prefix. Sleepers are due in
// an hour, and one of them is asked for its state in the end, one object for its sum.
func BenchmarkEvicted(b *testing.B) {
	many := 100_000
	if testing.Short() {
		many = 1000
	}
	server := harness.Program{
		Binary: harness.Build(b, "github.com/perdure/perdure/test/node"), Store: b.TempDir(),
		Listen: fmt.Sprintf("127.0.0.1:%d", natstest.FreePort(b)),
		Args:   []string{"--prefix", "other", "--sync", "interval", "--http", "off"},
	}
	for b.Loop() {
		p := server.Start(b)
		p.AwaitUp(b, 30*time.Second)
		cfg := harness.Config(b)
		cfg.Store, cfg.Listen, cfg.NATS, cfg.Idle = "", "", []string{"nats://" + server.Listen}, time.Second
		n := harness.Run(b, cfg, objects.Tallies, objects.Patient)
		goroutines, heap := settled(b, 0)
		for typ, do := range map[string]func(key string) error{
			"tally": func(key string) error {
				_, err := objects.TallyAdd.Call(b.Context(), n.Client(), key, objects.Amount{N: 1})
				return err
			},
			"patient": func(key string) error {
				_, err := n.Client().Call(b.Context(), actor.Address{Type: "patient", Key: key}, actor.HookStart, []byte(`{"millis":3600000}`), actor.CallHeader{})
				return err
			},
		} {
			inParallel(b, many, do)
			g, h := settled(b, goroutines)
			if g > goroutines+spare {
				b.Errorf("%d evicted objects of type %s have left %d goroutines", many, typ, g-goroutines)
			}
			b.ReportMetric(float64(g-goroutines)/float64(many), "goroutines/"+typ)
			b.ReportMetric(float64(h-heap)/float64(many), "B/"+typ)
			heap = h
		}
		if got, err := objects.TallyGet.Call(b.Context(), n.Client(), "7", actor.None{}); err != nil || got != 1 {
			b.Errorf("an evicted tally is %d, %v", got, err)
		}
		n.End()
		p.Kill()
		p.ExitCode(b, 10*time.Second)
	}
}

// inParallel calls do for as many keys, by 64 callers.
func inParallel(b *testing.B, many int, do func(key string) error) {
	b.Helper()
	var next atomic.Int64
	var callers sync.WaitGroup
	for range 64 {
		callers.Go(func() {
			for i := next.Add(1); i <= int64(many); i = next.Add(1) {
				if err := do(fmt.Sprint(i)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	callers.Wait()
}

// spare is how many goroutines more than before may be there, whatever the number of objects: of the node, the server and the
// runtime.
const spare = 50

// settled waits until there are no more than about as many goroutines as before, and the heap is as small as it gets; not for
// longer than two minutes.
func settled(b *testing.B, before int) (goroutines, heap int) {
	b.Helper()
	smallest := 1 << 62
	for same, limit := 0, time.Now().Add(2*time.Minute); same < 4 && time.Now().Before(limit); {
		<-time.After(time.Second)
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		goroutines, heap = runtime.NumGoroutine(), int(m.HeapAlloc)
		if heap < smallest-smallest/100 || before > 0 && goroutines > before+spare {
			same = 0
		} else {
			same++
		}
		smallest = min(smallest, heap)
	}
	return goroutines, heap
}
