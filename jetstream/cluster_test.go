package jetstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	js "github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/internal/natstest"
)

// testInFlight looks for the answer that only replicated streams give: 10164, for a message whose
// predecessor is still on its way. It is a conflict.
func testInFlight(t *testing.T, r *rig) {
	ctx := short(t)
	for i := range 200 {
		addr := actor.Address{Type: "inflight", Key: fmt.Sprint(i)}
		subject := r.store.names.Log(r.store.Partition(addr), addr)
		var futures []js.PubAckFuture
		for range 4 {
			f, err := r.store.js.PublishMsgAsync(&nats.Msg{Subject: subject}, js.WithExpectLastSequencePerSubject(0))
			if err != nil {
				t.Fatal(err)
			}
			futures = append(futures, f)
		}
		for _, f := range futures {
			select {
			case <-f.Ok():
			case err := <-f.Err():
				var api *js.APIError
				if errors.As(err, &api) && api.ErrorCode == js.JSErrCodeStreamWrongLastSequenceConstant {
					if !conflicts(err) {
						t.Error("10164 is not taken for a conflict")
					}
					return
				}
			case <-ctx.Done():
				t.Fatal(ctx.Err())
			}
		}
	}
	t.Error("no 10164 in 200 tries")
}

// appendSurely appends as the engine does: again after a refusal, and after conflict or doubt when the log does
// not hold the turn.
func appendSurely(ctx context.Context, l *Log, e *actor.Entry, expected uint64) (seq uint64, outcomes map[string]int, err error) {
	outcomes = map[string]int{}
	for {
		seq, err := l.Append(ctx, e, expected)
		if err == nil {
			outcomes["committed"]++
			return seq, outcomes, nil
		}
		if ctx.Err() != nil {
			return 0, outcomes, err
		}
		if errors.Is(err, actor.ErrAppendRefused) {
			outcomes["refused"]++
			if err := waitFor(ctx, firstRetry); err != nil {
				return 0, outcomes, err
			}
			continue
		}
		outcomes[map[bool]string{true: "conflict", false: "unknown"}[errors.Is(err, actor.ErrAppendConflict)]]++
		last, err := l.Last(ctx, e.Address)
		for err != nil && !errors.Is(err, actor.ErrNoRecord) {
			if err := waitFor(ctx, firstRetry); err != nil {
				return 0, outcomes, err
			}
			last, err = l.Last(ctx, e.Address)
		}
		if last != nil && last.Turn == e.Turn {
			return last.Seq, outcomes, nil
		}
		if last != nil && last.Seq != expected {
			return 0, outcomes, fmt.Errorf("after %d came %s", expected, last.Turn)
		}
	}
}

// TestCluster_leaderKilled kills the server that leads a log stream while objects are written: every turn is in
// the log once, in order, and the readers have seen each.
func TestCluster_leaderKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("needs seconds of real time")
	}
	servers := natstest.Cluster(t)
	ctx, cancel := context.WithTimeout(t.Context(), guard)
	defer cancel()
	admin := provision(t, natstest.Connect(t, servers[0]), Config{Partitions: 4, LogStreams: 1, Replicas: 3})
	stream, err := admin.js.Stream(ctx, admin.names.LogStream(0))
	if err != nil {
		t.Fatal(err)
	}
	leader, others := 0, []*server.Server{}
	for i, s := range servers {
		if s.Name() == stream.CachedInfo().Cluster.Leader {
			leader = i
		} else {
			others = append(others, s)
		}
	}
	s := provision(t, natstest.Connect(t, others[0]), Config{Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))})
	const objects, turns = 8, 40
	var (
		g        errgroup.Group
		killed   = make(chan struct{})
		received = make(chan map[string][]string, 1)
		total    = make(chan map[string]int, objects)
	)
	g.Go(func() error {
		got := map[string][]string{}
		r := reader{store: s, stream: s.names.LogStream(0)}
		n := 0
		err := r.follow(ctx, 1, func(m *stored) error {
			got[m.Subject] = append(got[m.Subject], m.Header.Get(HeaderTurn))
			if n++; n == objects*turns {
				return errEnough
			}
			return nil
		})
		received <- got
		for subject, seen := range got {
			if len(seen) != turns {
				t.Logf("the reader has %d turns of %s", len(seen), subject)
			}
		}
		if errors.Is(err, errEnough) {
			return nil
		}
		return fmt.Errorf("the reader, after %d: %w", n, err)
	})
	for i := range objects {
		l := s.Log(natstest.Connect(t, others[i%2], AppendOptions()...))
		addr := actor.Address{Type: "k", Key: fmt.Sprint(i)}
		g.Go(func() error {
			var last uint64
			sum := map[string]int{}
			for n := range turns {
				if n == turns/2 {
					<-killed
				}
				seq, outcomes, err := appendSurely(ctx, l, entry(addr, fmt.Sprint(n), "{}"), last)
				if err != nil {
					return fmt.Errorf("turn %d of %s: %w", n, addr, err)
				}
				for k, v := range outcomes {
					sum[k] += v
				}
				last = seq
			}
			total <- sum
			return nil
		})
	}
	g.Go(func() error {
		defer close(killed)
		natstest.Stop(servers[leader])
		return nil
	})
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	var want []string
	for n := range turns {
		want = append(want, fmt.Sprint(n))
	}
	for subject, got := range <-received {
		if diff := cmp.Diff(got, want); diff != "" {
			t.Errorf("%s (-got +want):\n%s", subject, diff)
		}
	}
	sum := map[string]int{}
	for range objects {
		for k, v := range <-total {
			sum[k] += v
		}
	}
	t.Logf("outcomes: %v", sum)
}

// TestCluster_leasesOfTwo loses two of three servers, and one of them comes back: the leases are renewed again. A replica
// in memory would be empty then, and have no say in the election.
func TestCluster_leasesOfTwo(t *testing.T) {
	if testing.Short() {
		t.Skip("needs seconds of real time")
	}
	var opts []*server.Options
	servers := natstest.Cluster(t, func(o *server.Options) { opts = append(opts, o.Clone()) })
	admin := provision(t, natstest.Connect(t, servers[0]), Config{Partitions: 4, LogStreams: 1, Replicas: 3})
	if _, err := admin.leases.Put(short(t), "node.a", []byte("before")); err != nil {
		t.Fatal(err)
	}
	stream, err := admin.js.Stream(short(t), "KV_"+admin.names.LeasesBucket())
	if err != nil {
		t.Fatal(err)
	}
	leader := slices.IndexFunc(servers, func(s *server.Server) bool { return s.Name() == stream.CachedInfo().Cluster.Leader })
	stays, returns := (leader+1)%len(servers), (leader+2)%len(servers)
	s := provision(t, natstest.Connect(t, servers[stays]), Config{})
	natstest.Stop(servers[returns])
	natstest.Stop(servers[leader])
	natstest.Start(t, opts[returns])
	ctx, cancel := context.WithTimeout(t.Context(), guard)
	defer cancel()
	for {
		asking, cancel := context.WithTimeout(ctx, time.Second)
		_, err := s.leases.Put(asking, "node.a", []byte("after"))
		cancel()
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("with two of three servers, the leases are not kept: %v", err)
		}
	}
}

// TestCluster_outputsLeaderKilled kills the server that leads the stream OUT while one stream is written and read
// over the others: readers see each chunk once, in order.
func TestCluster_outputsLeaderKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("needs seconds of real time")
	}
	servers := natstest.Cluster(t)
	ctx, cancel := context.WithTimeout(t.Context(), guard)
	defer cancel()
	admin := provision(t, natstest.Connect(t, servers[0]), Config{Partitions: 4, LogStreams: 1, Replicas: 3})
	stream, err := admin.js.Stream(ctx, admin.names.OutStream())
	if err != nil {
		t.Fatal(err)
	}
	leader := slices.IndexFunc(servers, func(s *server.Server) bool { return s.Name() == stream.CachedInfo().Cluster.Leader })
	others := slices.Concat(servers[:leader], servers[leader+1:])
	const n = 400
	addr := actor.Address{Type: "killed", Key: "x"}
	var g errgroup.Group
	for i := range 8 {
		r := &rig{server: others[i%2], store: admin}
		c := r.client(t)
		g.Go(func() error {
			got, err := read(ctx, c, addr, 0)
			if err == nil && cmp.Diff(got, numbers(0, n)) != "" {
				err = fmt.Errorf("(-got +want):\n%s", cmp.Diff(got, numbers(0, n)))
			}
			return err
		})
	}
	s := provision(t, natstest.Connect(t, others[0]), Config{})
	o := s.Outputs(natstest.Connect(t, others[1], AppendOptions()...))
	last := mustEmit(t, o, 0, chunks(addr, 0, n/4)...)
	g.Go(func() error {
		natstest.Stop(servers[leader])
		return nil
	})
	mustEmit(t, o, last, append(chunks(addr, n/4, n), ending(addr, n))...)
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
}
