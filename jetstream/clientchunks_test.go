package jetstream

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/nats-io/nats.go"
	"golang.org/x/sync/errgroup"

	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/internal/natstest"
	"github.com/perdure/perdure/internal/race"
)

var (
	ignoreSeq = cmpopts.IgnoreFields(actor.Chunk{}, "Seq")
	errEarly  = errors.New("the stream ended early")
)

func (r *rig) client(t testing.TB, opts ...nats.Option) *Client {
	t.Helper()
	c := NewClient(natstest.Connect(t, r.server, opts...), ClientConfig{Names: r.store.names})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// checkRead reads what is there now.
func checkRead(t *testing.T, r *rig, addr actor.Address, from int64, want ...*actor.Chunk) {
	t.Helper()
	var got []*actor.Chunk
	for c, err := range r.client(t).Chunks(t.Context(), addr, "default", from, false) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, c)
	}
	if diff := cmp.Diff(got, want, ignoreSeq); diff != "" {
		t.Errorf("from %d (-got +want):\n%s", from, diff)
	}
}

// read follows a stream to its end and returns the texts that remain, with each index checked to be the next one.
func read(ctx context.Context, c *Client, addr actor.Address, from int64) (texts []string, err error) {
	next := uint64(from)
	for c, err := range c.Chunks(ctx, addr, "default", from, true) {
		switch {
		case err != nil:
			return texts, err
		case c.Kind == actor.ChunkEnd:
			return texts, nil
		case c.Kind == actor.ChunkRewind:
			if i := max(int64(c.Index), from); uint64(i) < next {
				next = uint64(i)
				texts = texts[:i-from]
			}
		case c.Index != next:
			return texts, fmt.Errorf("chunk %d came instead of %d", c.Index, next)
		default:
			texts = append(texts, string(c.Data))
			next++
		}
	}
	return texts, errEarly
}

func numbers(from, to int) (all []string) {
	for i := from; i < to; i++ {
		all = append(all, fmt.Sprint(i))
	}
	return all
}

func chunks(addr actor.Address, from, to uint64) (all []*actor.Chunk) {
	for i := from; i < to; i++ {
		all = append(all, chunk(addr, i))
	}
	return all
}

func testChunks(t *testing.T, r *rig) {
	addr := actor.Address{Type: "chunks", Key: "a b"}
	checkRead(t, r, addr, 0)
	checkRead(t, r, addr, -5)
	o := r.outputs(t)
	last := mustEmit(t, o, 0, chunks(addr, 0, 5)...)
	checkRead(t, r, addr, 0, chunks(addr, 0, 5)...)
	checkRead(t, r, addr, 3, chunks(addr, 3, 5)...)
	checkRead(t, r, addr, -2, chunks(addr, 3, 5)...)
	checkRead(t, r, addr, -9, chunks(addr, 0, 5)...)
	checkRead(t, r, addr, 7)
	last = mustEmit(t, o, last, rewind(addr, 2), chunk(addr, 2))
	checkRead(t, r, addr, -2, chunk(addr, 1), chunk(addr, 2), chunk(addr, 3), chunk(addr, 4), rewind(addr, 2), chunk(addr, 2))
	mustEmit(t, o, last, ending(addr, 3))
	if got, err := read(short(t), r.client(t), addr, 2); err != nil || cmp.Diff(got, numbers(2, 3)) != "" {
		t.Errorf("from 2: %v, %v", got, err)
	}
	checkRead(t, r, addr, 9, ending(addr, 3))
	for _, bad := range []func() (actor.Address, string){
		func() (actor.Address, string) { return actor.Address{Type: "Bad", Key: "x"}, "default" },
		func() (actor.Address, string) { return addr, "no.name" },
	} {
		addr, stream := bad()
		for _, err := range r.client(t).Chunks(t.Context(), addr, stream, 0, true) {
			if !errors.Is(err, actor.ErrInvalid) {
				t.Errorf("%s %s: %v", addr, stream, err)
			}
		}
	}
}

// testChunksLive has readers that were there before the first chunk, that come in the middle and that come after, of
// a stream that is rewound twice, beside others that are written at once.
func testChunksLive(t *testing.T, r *rig) {
	const n = 300
	ctx := short(t)
	addr := actor.Address{Type: "live", Key: "x"}
	froms := []int64{0, 1, n / 2, n - 1}
	var g errgroup.Group
	check := func(c *Client, from int64) func() error {
		return func() error {
			got, err := read(ctx, c, addr, from)
			if err != nil {
				return fmt.Errorf("from %d: %w", from, err)
			}
			if diff := cmp.Diff(got, numbers(int(from), n)); diff != "" {
				return fmt.Errorf("from %d (-got +want):\n%s", from, diff)
			}
			return nil
		}
	}
	shared := r.client(t)
	for _, from := range froms {
		g.Go(check(shared, from))
	}
	o := r.outputs(t)
	g.Go(func() error {
		other := actor.Address{Type: "live", Key: "other"}
		_, err := emitAll(ctx, r.outputs(t), 0, append(chunks(other, 0, n), ending(other, n))...)
		return err
	})
	last := mustEmit(t, o, 0, chunks(addr, 0, n/3)...)
	last = mustEmit(t, o, last, rewind(addr, 10))
	last = mustEmit(t, o, last, chunks(addr, 10, 2*n/3)...)
	for _, from := range froms {
		g.Go(check(r.client(t), from))
	}
	last = mustEmit(t, o, last, rewind(addr, n/2-5))
	mustEmit(t, o, last, append(chunks(addr, n/2-5, n), ending(addr, n))...)
	for _, from := range froms {
		g.Go(check(shared, from))
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
}

// testChunksSlow has a reader that takes its time: it loses nothing, and little is kept for it.
func testChunksSlow(t *testing.T, r *rig) {
	const n = 4 * queueMessages
	addr := actor.Address{Type: "slow", Key: "x"}
	o := r.outputs(t)
	mustEmit(t, o, 0, chunk(addr, 0))
	var got []string
	for c, err := range r.client(t).Chunks(short(t), addr, "default", 0, true) {
		if err != nil {
			t.Fatal(err)
		}
		if c.Kind == actor.ChunkEnd {
			break
		}
		if got = append(got, string(c.Data)); len(got) == 1 {
			mustEmit(t, o, c.Seq, append(chunks(addr, 1, n), ending(addr, n))...) // while the reader is in its hands
		}
	}
	if diff := cmp.Diff(got, numbers(0, n)); diff != "" {
		t.Errorf("(-got +want):\n%s", diff)
	}
}

// TestChunks_cut cuts and mends the reader's connection while a stream is written, at random moments.
func TestChunks_cut(t *testing.T) {
	const n = 1500
	srv := natstest.Server(t)
	r := &rig{server: srv, store: provision(t, natstest.Connect(t, srv), Config{Partitions: 1, LogStreams: 1})}
	addr := actor.Address{Type: "cut", Key: "x"}
	wire := natstest.NewWire(srv)
	c := r.client(t, nats.InProcessServer(wire))
	ctx := short(t)
	var g errgroup.Group
	g.Go(func() error {
		got, err := read(ctx, c, addr, 0)
		if err == nil && cmp.Diff(got, numbers(0, n)) != "" {
			err = fmt.Errorf("(-got +want):\n%s", cmp.Diff(got, numbers(0, n)))
		}
		return err
	})
	o, last := r.outputs(t), uint64(0)
	for i := uint64(0); i < n; i += 100 {
		last = mustEmit(t, o, last, chunks(addr, i, i+50)...)
		wire.Cut()
		last = mustEmit(t, o, last, chunks(addr, i+50, i+70)...)
		wire.Mend()
		last = mustEmit(t, o, last, chunks(addr, i+70, i+100)...)
	}
	wire.Cut()
	mustEmit(t, o, last, ending(addr, n))
	wire.Mend()
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
}

// TestChunks_silence loses what the server sends, without the connection noticing: a look finds it.
func TestChunks_silence(t *testing.T) {
	natstest.InBubble(t, func(t *testing.T) {
		srv := natstest.Bubble(t)
		r := &rig{server: srv, store: provision(t, natstest.Connect(t, srv), Config{Partitions: 1, LogStreams: 1})}
		addr := actor.Address{Type: "silence", Key: "x"}
		wire := natstest.NewWire(srv)
		c := r.client(t, nats.InProcessServer(wire))
		o := r.outputs(t)
		last := mustEmit(t, o, 0, chunks(addr, 0, 5)...)
		var g errgroup.Group
		g.Go(func() error {
			got, err := read(t.Context(), c, addr, 0)
			if err == nil && len(got) != 7 {
				err = fmt.Errorf("got %v", got)
			}
			return err
		})
		time.Sleep(30 * time.Second)
		wire.Mute()
		start := time.Now()
		last = mustEmit(t, o, last, chunk(addr, 5), chunk(addr, 6))
		mustEmit(t, o, last, ending(addr, 7))
		time.Sleep(time.Second)
		wire.Mend()
		if err := g.Wait(); err != nil {
			t.Error(err)
		}
		if d := time.Since(start); d > 2*lastLook {
			t.Errorf("noticed after %v", d)
		}
	})
}

// TestChunks_restart stops the server under its readers and starts it again on the same store.
func TestChunks_restart(t *testing.T) {
	opts := natstest.Options(t.TempDir())
	srv := natstest.Start(t, opts)
	r := &rig{server: srv, store: provision(t, natstest.Connect(t, srv), Config{Partitions: 1, LogStreams: 1})}
	addr := actor.Address{Type: "restart", Key: "x"}
	wire := natstest.NewWire(srv)
	c := r.client(t, nats.InProcessServer(wire))
	ctx := short(t)
	last := mustEmit(t, r.outputs(t), 0, chunks(addr, 0, 10)...)
	var g errgroup.Group
	reading := make(chan struct{})
	for i := range 3 {
		g.Go(func() error {
			n := 0
			for c, err := range c.Chunks(ctx, addr, "default", 0, true) {
				if err != nil {
					return err
				}
				if n++; n == 10 && i == 0 {
					close(reading)
				}
				if c.Kind == actor.ChunkEnd && n == 21 {
					return nil
				}
			}
			return fmt.Errorf("%d chunks: %w", n, errEarly)
		})
	}
	<-reading
	wire.Cut()
	natstest.Stop(srv)
	again := *opts
	r.server = natstest.Start(t, &again)
	wire.Reroute(r.server)
	wire.Mend()
	r.store = provision(t, natstest.Connect(t, r.server), Config{}) // the other one's connection leads to the server that was stopped
	mustEmit(t, r.outputs(t), last, append(chunks(addr, 10, 20), ending(addr, 20))...)
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
}

// TestChunks_many: one stream with many readers, then many streams with a reader each, without any consumer.
func TestChunks_many(t *testing.T) {
	readers, streams, n := 500, 1000, uint64(20)
	if testing.Short() || race.Enabled {
		readers, streams = 100, 200
	}
	opts := natstest.Options(t.TempDir())
	opts.JetStreamLimits.DefaultMaxConsumers = 1
	srv := natstest.Start(t, opts)
	r := &rig{server: srv, store: provision(t, natstest.Connect(t, srv), Config{Partitions: 1, LogStreams: 1})}
	ctx, cancel := context.WithTimeout(t.Context(), guard)
	defer cancel()
	c, o := r.client(t), r.outputs(t)
	var g errgroup.Group
	follow := func(addr actor.Address) {
		g.Go(func() error {
			got, err := read(ctx, c, addr, 0)
			if err == nil && uint64(len(got)) != n {
				err = fmt.Errorf("%s: %d chunks", addr, len(got))
			}
			return err
		})
	}
	one := actor.Address{Type: "many", Key: "readers"}
	for range readers {
		follow(one)
	}
	start := time.Now()
	mustEmit(t, o, 0, append(chunks(one, 0, n), ending(one, n))...)
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d readers of %d chunks: %v", readers, n, time.Since(start))
	start = time.Now()
	var w errgroup.Group
	w.SetLimit(16)
	for i := range streams {
		addr := actor.Address{Type: "many", Key: fmt.Sprint(i)}
		follow(addr)
		w.Go(func() error {
			_, err := emitAll(ctx, o, 0, append(chunks(addr, 0, n), ending(addr, n))...)
			return err
		})
	}
	if err := errors.Join(w.Wait(), g.Wait()); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d streams of %d chunks: %v", streams, n, time.Since(start))
}

// TestChunks_vanish: a reader that stops leaves nothing behind, and one without store or servers says so.
func TestChunks_vanish(t *testing.T) {
	natstest.InBubble(t, func(t *testing.T) {
		srv := natstest.Bubble(t)
		nc := natstest.Connect(t, srv)
		empty := NewClient(nc, ClientConfig{})
		addr := actor.Address{Type: "a", Key: "b"}
		for _, follow := range []bool{false, true} {
			for _, err := range empty.Chunks(t.Context(), addr, "default", 0, follow) {
				if !errors.Is(err, actor.ErrUnavailable) {
					t.Errorf("without a store: %v", err)
				}
			}
		}
		r := &rig{server: srv, store: provision(t, nc, Config{Partitions: 1, LogStreams: 1})}
		mustEmit(t, r.outputs(t), 0, chunks(addr, 0, 3)...)
		c := r.client(t)
		for _, err := range c.Chunks(t.Context(), addr, "default", 0, true) {
			if err != nil {
				t.Error(err)
			}
			break
		}
		before := c.nc.NumSubscriptions()
		for _, err := range c.Chunks(t.Context(), addr, "default", 0, true) {
			if err != nil {
				t.Error(err)
			}
			break
		}
		if n := c.nc.NumSubscriptions(); n != before {
			t.Errorf("%d subscriptions, then %d", before, n)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		var last error
		for _, err := range c.Chunks(ctx, addr, "default", 0, true) {
			last = err
		}
		if !errors.Is(last, context.DeadlineExceeded) || !errors.Is(last, actor.ErrTimeout) {
			t.Errorf("time up: %v", last)
		}
		var g errgroup.Group
		g.Go(func() error {
			for _, err := range c.Chunks(t.Context(), addr, "default", 2, true) {
				if err != nil {
					return err
				}
				c.nc.Close()
			}
			return errEarly
		})
		if err := g.Wait(); !errors.Is(err, actor.ErrUnavailable) {
			t.Errorf("connection closed: %v", err)
		}
	})
}
