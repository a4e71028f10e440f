package jetstream

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/sync/errgroup"

	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/internal/natstest"
)

// BenchmarkChunks_latency measures from before a chunk is written until a reader on another connection has it, beside
// a plain publish to the same stream and a plain subscription.
func BenchmarkChunks_latency(b *testing.B) {
	srv := natstest.Server(b)
	r := &rig{server: srv, store: provision(b, natstest.Connect(b, srv), Config{})}
	data := []byte(`{"text":"about as long as one token"}`)
	for _, readers := range []int{1, 100} {
		b.Run(fmt.Sprintf("chunks/readers=%d", readers), func(b *testing.B) {
			o, c := r.outputs(b), r.client(b)
			addr := actor.Address{Type: "bench", Key: fmt.Sprint(readers, b.N)}
			latency(b, readers, func(seen func() bool) error {
				for c, err := range c.Chunks(b.Context(), addr, "default", 0, true) {
					if err != nil {
						return err
					}
					if c.Index > 0 && !seen() { // the first one says that the reader is there
						return nil
					} else if c.Index == 0 {
						seen()
					}
				}
				return errEarly
			}, func(ctx context.Context, i int, last uint64) (uint64, error) {
				m := chunk(addr, uint64(i))
				m.Data = data
				return o.Append(ctx, m, last)
			})
		})
		b.Run(fmt.Sprintf("raw/readers=%d", readers), func(b *testing.B) {
			w, nc := newJS(b, natstest.Connect(b, srv)), natstest.Connect(b, srv)
			key := fmt.Sprintf("raw.%d-%d.default", readers, b.N)
			latency(b, readers, func(seen func() bool) error {
				sub, err := nc.SubscribeSync("out." + key)
				if err != nil {
					return err
				}
				if err := nc.Flush(); err != nil {
					return err
				}
				seen() // what is written from here on reaches it
				for {
					if m, err := sub.NextMsgWithContext(b.Context()); err != nil {
						return err
					} else if m.Header.Get(nats.JSLastSequence) != "0" && !seen() {
						return nil
					}
				}
			}, func(ctx context.Context, _ int, _ uint64) (uint64, error) {
				a, err := w.Publish(ctx, "emit."+key, data)
				if err != nil {
					return 0, err
				}
				return a.Sequence, nil
			})
		})
	}
}

// latency writes b.N messages, each when all readers have seen the one before. A reader calls seen for each message;
// false: it was the last.
func latency(b *testing.B, readers int, read func(seen func() bool) error, write func(context.Context, int, uint64) (uint64, error)) {
	b.Helper()
	var g errgroup.Group
	arrived := make(chan time.Time, readers)
	for range readers {
		g.Go(func() error {
			n := 0
			return read(func() bool {
				arrived <- time.Now()
				n++
				return n <= b.N
			})
		})
	}
	last, err := write(b.Context(), 0, 0)
	if err != nil {
		b.Fatal(err)
	}
	for range readers {
		<-arrived
	}
	b.ResetTimer()
	all := make([]time.Duration, 0, b.N*readers)
	for i := range b.N {
		start := time.Now()
		if last, err = write(b.Context(), i+1, last); err != nil {
			b.Fatal(err)
		}
		for range readers {
			at := <-arrived
			all = append(all, at.Sub(start))
		}
	}
	b.StopTimer()
	if err := g.Wait(); err != nil {
		b.Fatal(err)
	}
	slices.Sort(all)
	b.ReportMetric(float64(all[len(all)/2])/1e3, "p50-µs")
	b.ReportMetric(float64(all[len(all)*99/100])/1e3, "p99-µs")
}
