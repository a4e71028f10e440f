package main

import (
	"context"
	"slices"
	"sync"
	"time"
)

// sample is what a load did.
type sample struct {
	took    []time.Duration // of each that succeeded
	elapsed time.Duration
	errors  int
	err     error // the first one
}

// drive runs callers for d, each of which does the load again when it is done, and waits for all of them.
func drive(ctx context.Context, callers int, d time.Duration, load func(context.Context) error) *sample {
	var wg sync.WaitGroup
	parts := make([]sample, callers)
	begin := time.Now()
	for i := range parts {
		wg.Go(func() {
			part := &parts[i]
			for ctx.Err() == nil {
				at := time.Now()
				if at.Sub(begin) >= d {
					return
				}
				err := load(ctx)
				switch {
				case err == nil:
					part.took = append(part.took, time.Since(at))
				case ctx.Err() == nil:
					part.errors++
					part.err = err
				}
			}
		})
	}
	wg.Wait()
	all := &sample{elapsed: time.Since(begin)}
	for i := range parts {
		parts[i].elapsed = 0
		all.add(&parts[i])
	}
	return all
}

func (s *sample) add(other *sample) {
	s.took = append(s.took, other.took...)
	s.elapsed += other.elapsed
	s.errors += other.errors
	if s.err == nil {
		s.err = other.err
	}
}

func (s *sample) count() int { return len(s.took) }

// summary is a sample in figures; times are in microseconds.
type summary struct {
	Count   int     `json:"count"`
	Errors  int     `json:"errors"`
	Rate    float64 `json:"rate"` // a second
	P50     float64 `json:"p50_us"`
	P99     float64 `json:"p99_us"`
	Max     float64 `json:"max_us"`
	Seconds float64 `json:"seconds"`
}

func (s *sample) summary() summary {
	slices.Sort(s.took)
	return summary{
		Count: s.count(), Errors: s.errors, Rate: float64(s.count()) / s.elapsed.Seconds(), Seconds: s.elapsed.Seconds(),
		P50: s.quantile(0.50), P99: s.quantile(0.99), Max: s.quantile(1),
	}
}

// quantile returns the smallest of the sorted times that a share q of them does not exceed.
func (s *sample) quantile(q float64) float64 {
	if len(s.took) == 0 {
		return 0
	}
	i := int(q*float64(len(s.took))+0.999999) - 1
	return float64(s.took[min(max(i, 0), len(s.took)-1)].Nanoseconds()) / 1e3
}
