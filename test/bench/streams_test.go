package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/test/harness"
)

// token is a chunk that says when it was written; it is about as long as one of a model.
type token struct {
	I    int       `json:"i"`
	At   time.Time `json:"at"`
	Text string    `json:"text"`
}

func newToken(i int) token { return token{i, time.Now(), " durable"} }

var (
	tokens = actor.NewStream[token]("default")
	raced  = actor.WorkflowRef[int, int]("raced")
)

// rig is a node, and connections to it as other processes have them.
type rig struct {
	*perdure.Node
	js jetstream.JetStream
}

// newRig has a node with a workflow that writes as many chunks as its input says, and does beside what else does.
func newRig(b *testing.B, sync perdure.Sync, beside func(ctx context.Context, i int) error) *rig {
	b.Helper()
	write := actor.NewStep("write", func(ctx context.Context, n int) (int, error) {
		for i := range n {
			if err := tokens.Write(ctx, newToken(i)); err != nil {
				return 0, err
			}
			if err := beside(ctx, i); err != nil {
				return 0, actor.Terminal(err)
			}
		}
		return n, nil
	})
	def := actor.NewWorkflow("raced", func(ctx actor.Context, n int) (int, error) { return write.Run(ctx, n) }, tokens)
	n, err := perdure.Start(b.Context(), perdure.Config{Listen: "127.0.0.1:0", Store: b.TempDir(), Sync: sync}, def)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = n.Stop() })
	r := &rig{Node: n}
	if r.js, err = jetstream.New(r.dial(b)); err != nil {
		b.Fatal(err)
	}
	return r
}

func (r *rig) dial(b *testing.B) *nats.Conn {
	b.Helper()
	nc, err := nats.Connect(r.URL())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(nc.Close)
	return nc
}

// raw publishes a token as anyone does, into the same stream of the same server.
func (r *rig) raw(ctx context.Context, key string, i int) error {
	data, err := json.Marshal(newToken(i))
	if err != nil {
		return err
	}
	_, err = r.js.Publish(ctx, "emit.raw."+key+".default", data)
	return err
}

// latencies is how long tokens took.
type latencies struct {
	mu  sync.Mutex
	all []time.Duration
}

func (l *latencies) add(data []byte) {
	var v token
	if json.Unmarshal(data, &v) == nil {
		d := time.Since(v.At)
		l.mu.Lock()
		l.all = append(l.all, d)
		l.mu.Unlock()
	}
}

func (l *latencies) quantiles() (p50, p99 float64) {
	slices.Sort(l.all)
	return float64(l.all[len(l.all)/2]), float64(l.all[len(l.all)*99/100])
}

func report(b *testing.B, ours, raw *latencies) {
	b.Helper()
	p50, p99 := ours.quantiles()
	raw50, raw99 := raw.quantiles()
	b.ReportMetric(p50/1e3, "µs-p50")
	b.ReportMetric(p99/1e3, "µs-p99")
	b.ReportMetric(raw50/1e3, "µs-raw-p50")
	b.ReportMetric(raw99/1e3, "µs-raw-p99")
	b.ReportMetric(p50/raw50, "p50/raw")
	b.ReportMetric(p99/raw99, "p99/raw")
}

// follow reads key's stream to its end and reports that all n chunks came in order.
func follow(ctx context.Context, client *perdure.Client, key string, n int, seen func(data []byte)) error {
	next := 0
	for c, err := range client.Chunks(ctx, raced.At(key), "default", 0, true) {
		switch {
		case err != nil:
			return err
		case c.Index != uint64(next):
			return fmt.Errorf("%s: chunk %d, want %d", key, c.Index, next)
		case c.Kind == actor.ChunkData:
			seen(c.Data)
			next++
		}
	}
	if next != n {
		return fmt.Errorf("%s: %d chunks, want %d", key, next, n)
	}
	return nil
}

// BenchmarkStream_latency measures from before a step's Write until a reader on another connection has the chunk.
// Beside it, in turns: from before a JetStream publish into the same stream until a core subscriber has the message.
func BenchmarkStream_latency(b *testing.B) {
	for _, sync := range []perdure.Sync{perdure.SyncInterval, perdure.SyncAlways} {
		for _, readers := range []int{1, 500} {
			b.Run(fmt.Sprintf("sync=%s/readers=%d", sync, readers), func(b *testing.B) { latency(b, sync, readers) })
		}
	}
}

func latency(b *testing.B, syn perdure.Sync, readers int) {
	b.Helper()
	var r *rig
	ours, raw := &latencies{}, &latencies{}
	var arrived sync.WaitGroup // a chunk is written when everybody has the one before
	r = newRig(b, syn, func(ctx context.Context, i int) error {
		arrived.Wait()
		arrived.Add(readers)
		err := r.raw(ctx, "a", i)
		arrived.Wait()
		arrived.Add(readers)
		return err
	})
	conns := make([]*nats.Conn, min(readers, 10))
	for i := range conns {
		conns[i] = r.dial(b)
	}
	arrived.Add(readers)
	n := max(b.N, 100)
	var readings sync.WaitGroup
	for i := range readers {
		client := perdure.NewClient(conns[i%len(conns)])
		readings.Go(func() {
			if err := follow(b.Context(), client, "a", n, func(data []byte) { ours.add(data); arrived.Done() }); err != nil {
				b.Error(err)
			}
		})
		if _, err := conns[i%len(conns)].Subscribe("out.raw.a.default", func(m *nats.Msg) { raw.add(m.Data); arrived.Done() }); err != nil {
			b.Fatal(err)
		}
	}
	for _, nc := range conns {
		if err := nc.Flush(); err != nil {
			b.Fatal(err)
		}
	}
	b.ResetTimer()
	if got, err := raced.Execute(b.Context(), r.Client(), "a", n, actor.Timeout(10*time.Minute)); err != nil || got != n {
		b.Fatal(got, err)
	}
	readings.Wait()
	b.StopTimer()
	report(b, ours, raw)
	b.ReportMetric(float64(harness.Consumers(b, r.Conn(), "PERDURE_OUT")), "consumers")
}

// BenchmarkStream_many has 1,000 runs write at once, each to a reader of its own; then as many plain publishers to as
// many plain subscribers.
func BenchmarkStream_many(b *testing.B) {
	const streams, each = 1000, 20
	for b.Loop() {
		r := newRig(b, perdure.SyncInterval, func(context.Context, int) error { return nil })
		conns := make([]*nats.Conn, 10)
		for i := range conns {
			conns[i] = r.dial(b)
		}
		ours, raw := &latencies{}, &latencies{}
		began := time.Now()
		var wg sync.WaitGroup
		for i := range streams {
			key, client := fmt.Sprint(i), perdure.NewClient(conns[i%len(conns)])
			wg.Go(func() {
				if err := follow(b.Context(), client, key, each, ours.add); err != nil {
					b.Error(err)
				}
			})
			wg.Go(func() {
				if err := raced.Start(b.Context(), client, key, each); err != nil {
					b.Error(err)
				}
			})
		}
		wg.Wait()
		took := time.Since(began)
		consumers := harness.Consumers(b, r.Conn(), "PERDURE_OUT")

		began = time.Now()
		for i := range streams {
			key := fmt.Sprint(i)
			wg.Add(each)
			if _, err := conns[i%len(conns)].Subscribe("out.raw."+key+".default", func(m *nats.Msg) { raw.add(m.Data); wg.Done() }); err != nil {
				b.Fatal(err)
			}
		}
		for _, nc := range conns {
			if err := nc.Flush(); err != nil {
				b.Fatal(err)
			}
		}
		for i := range streams {
			wg.Go(func() {
				for j := range each {
					if err := r.raw(b.Context(), fmt.Sprint(i), j); err != nil {
						b.Error(err)
					}
				}
			})
		}
		wg.Wait()
		rawTook := time.Since(began)
		report(b, ours, raw)
		b.ReportMetric(streams*each/took.Seconds(), "chunks/s")
		b.ReportMetric(streams*each/rawTook.Seconds(), "raw/s")
		b.ReportMetric(rawTook.Seconds()/took.Seconds(), "rate/raw")
		b.ReportMetric(float64(consumers), "consumers")
	}
}

// BenchmarkStream_first measures the first chunk of a step, which waits for the record with the step's start, beside
// the second one.
func BenchmarkStream_first(b *testing.B) {
	for _, sync := range []perdure.Sync{perdure.SyncInterval, perdure.SyncAlways} {
		b.Run("sync="+string(sync), func(b *testing.B) {
			r := newRig(b, sync, func(context.Context, int) error { return nil })
			client := perdure.NewClient(r.dial(b))
			of := [2]*latencies{{}, {}}
			n := 0
			for b.Loop() {
				key := fmt.Sprint(n)
				n++
				if err := raced.Start(b.Context(), client, key, 2); err != nil {
					b.Fatal(err)
				}
				i := 0
				if err := follow(b.Context(), client, key, 2, func(data []byte) { of[i].add(data); i++ }); err != nil {
					b.Fatal(err)
				}
			}
			first, _ := of[0].quantiles()
			second, _ := of[1].quantiles()
			b.ReportMetric(first/1e3, "µs-first")
			b.ReportMetric(second/1e3, "µs-second")
			b.ReportMetric(first/second, "first/second")
		})
	}
}
