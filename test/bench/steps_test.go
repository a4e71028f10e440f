package bench

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/actor"
)

const steps = 1000

// stamps is when each step's body ran, from outside the run.
type stamps struct {
	mu sync.Mutex
	at []time.Time
}

func (s *stamps) add() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at = append(s.at, time.Now())
}

// medianGap is the median time from one step's body to the next, over bodies from..to.
func (s *stamps) medianGap(from, to int) time.Duration {
	gaps := make([]time.Duration, 0, to-from)
	for i := from; i < to; i++ {
		gaps = append(gaps, s.at[i+1].Sub(s.at[i]))
	}
	slices.Sort(gaps)
	return gaps[len(gaps)/2]
}

// BenchmarkSteps runs 1,000 steps of one run. Its metric late/early is the median time from step to step of steps
// 900 to 999 over that of steps 10 to 109: history must not make steps slower.
func BenchmarkSteps(b *testing.B) {
	for name, cfg := range map[string]perdure.Config{
		"batched":  {},                       // quick steps share records
		"recorded": {Flush: time.Nanosecond}, // each step is a record of its own
	} {
		b.Run(name, func(b *testing.B) {
			var early, late []time.Duration
			for b.Loop() {
				s := runSteps(b, cfg)
				early = append(early, s.medianGap(10, 110))
				late = append(late, s.medianGap(900, 999))
			}
			slices.Sort(early)
			slices.Sort(late)
			e, l := early[len(early)/2], late[len(late)/2]
			b.ReportMetric(float64(e.Microseconds()), "µs-early/step")
			b.ReportMetric(float64(l.Microseconds()), "µs-late/step")
			b.ReportMetric(float64(l)/float64(e), "late/early")
		})
	}
}

func runSteps(b *testing.B, cfg perdure.Config) *stamps {
	b.Helper()
	s := &stamps{}
	one := actor.NewStep("one", func(_ context.Context, i int) (int, error) { s.add(); return i, nil })
	def := actor.NewWorkflow("stepper", func(ctx actor.Context, _ actor.None) (int, error) {
		sum := 0
		for i := range steps {
			n, err := one.Run(ctx, i)
			if err != nil {
				return 0, err
			}
			sum += n
		}
		return sum, nil
	})
	cfg.Listen, cfg.Store = "none", b.TempDir()
	n, err := perdure.Start(b.Context(), cfg, def)
	if err != nil {
		b.Fatal(err)
	}
	defer n.Stop() //nolint:errcheck // a benchmark
	sum, err := def.Execute(b.Context(), n.Client(), "a", actor.None{})
	if err != nil || sum != steps*(steps-1)/2 {
		b.Fatal(sum, err)
	}
	return s
}
