package jetstream_test

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/internal/natstest"
	"github.com/perdure/perdure/router"
)

// The router computes what the server's own subject transform does.
func TestPartition_AsTheServer(t *testing.T) {
	for _, partitions := range []int{1, 2, 7, 64, 1000} {
		tr, err := server.NewSubjectTransform("hook.*.*.*", "in.{{partition("+strconv.Itoa(partitions)+",1,2)}}.{{wildcard(1)}}.{{wildcard(2)}}.{{wildcard(3)}}")
		if err != nil {
			t.Fatal(err)
		}
		for _, addr := range []actor.Address{
			{Type: "counter", Key: "alice"},
			{Type: "counter", Key: "a.b c*>%/ü"},
			{Type: "c", Key: "ounteralice"},
			{Type: "tally-2_x", Key: "日本語"},
			{Type: "t", Key: "0"},
		} {
			tail := "." + addr.Type + "." + actor.EncodeKey(addr.Key) + ".action"
			got := "in." + strconv.Itoa(router.Partition(addr, partitions)) + tail
			want, err := tr.Match("hook" + tail)
			if err != nil {
				t.Fatal(err)
			}
			if got != want {
				t.Errorf("%s of %d: got %s, want %s", addr, partitions, got, want)
			}
		}
	}
}

func TestPartitions(t *testing.T) {
	natstest.InBubble(t, func(t *testing.T) {
		l := dialBuckets(t, bucketServer(t))
		ps, kv := l.partitions(t), l.bucket(t, "PARTITIONS")
		get := func() router.Record {
			t.Helper()
			r, err := ps.Get(t.Context(), 3)
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		if diff := cmp.Diff(get(), router.Record{Partition: 3}); diff != "" {
			t.Fatal("never written:", diff)
		}
		r := router.Record{
			Partition: 3, Node: "a", Session: "s", Epoch: 1, Since: time.Now().UTC(),
			Checkpoint: actor.Checkpoint{Inbox: 7, Incarnation: "i", Floor: 9, Unsettled: []actor.UnsettledRun{{Run: "c/k", Seq: 4}}},
		}
		revision, err := ps.Put(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ps.Put(t.Context(), r); !errors.Is(err, router.ErrConflict) {
			t.Errorf("second claim of the same revision: got %v, want ErrConflict", err)
		}
		r.Revision = revision
		if diff := cmp.Diff(get(), r); diff != "" {
			t.Error(diff)
		}

		e, err := kv.Get(t.Context(), "partition.3")
		if err != nil {
			t.Fatal(err)
		}
		var value map[string]any
		if err := json.Unmarshal(e.Value(), &value); err != nil {
			t.Fatal(err)
		}
		want := map[string]any{
			"node": "a", "session": "s", "epoch": 1.0, "since": "2000-01-01T00:00:00Z",
			"inbox": 7.0, "incarnation": "i", "timers": 0.0, "floor": 9.0, "unsettled": []any{map[string]any{"run": "c/k", "seq": 4.0}},
		}
		want["since"] = value["since"]
		if diff := cmp.Diff(value, want); diff != "" {
			t.Error("the contract's JSON:", diff)
		}

		for name, spoil := range map[string]func() error{
			"deleted":     func() error { return kv.Delete(t.Context(), "partition.3") },
			"overwritten": func() error { _, err := kv.PutString(t.Context(), "partition.3", "{}"); return err },
			"not JSON":    func() error { _, err := kv.PutString(t.Context(), "partition.3", "?"); return err },
		} {
			if err := spoil(); err != nil {
				t.Fatal(err)
			}
			bad, err := ps.Get(t.Context(), 3)
			if !errors.Is(err, router.ErrBadRecord) || bad.Revision <= revision {
				t.Errorf("%s: got %+v, %v; want ErrBadRecord and its revision", name, bad, err)
			}
			r.Revision = bad.Revision
			if revision, err = ps.Put(t.Context(), r); err != nil {
				t.Errorf("%s: write it again: %v", name, err)
			}
		}
	})
}

// guard is how long what must not hang may take on a slow and busy machine.
const guard = 2 * time.Minute

// Of claims at the same revision at most one is told that it won, and that is the truth, on replicated streams too. That
// none is told may be: a claim conflicts with one that is on its way, and a winner's answer may be late.
func TestPartitions_Cluster(t *testing.T) {
	l := dialBuckets(t, natstest.Cluster(t)[0])
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); ; <-tick.C { // the leader may not know all peers yet
		_, err := l.js.CreateKeyValue(t.Context(), natsjs.KeyValueConfig{Bucket: "PARTITIONS", Replicas: 3})
		if err == nil {
			break
		}
		if time.Since(began) > guard {
			t.Fatal(err)
		}
	}
	ps := l.partitions(t)
	revision := uint64(0)
	deadline := time.Now().Add(guard)
	for wins, round := 0, uint64(1); wins < 20; round++ {
		if time.Now().After(deadline) {
			t.Fatalf("%d claims won in %d rounds", wins, round)
		}
		var claims sync.WaitGroup
		won := make(chan router.Record, 8)
		for i := range 8 {
			claims.Go(func() {
				r := router.Record{Revision: revision, Node: "n", Session: strconv.Itoa(i), Epoch: round}
				told, err := ps.Put(t.Context(), r)
				switch {
				case err == nil:
					r.Revision = told
					won <- r
				case !errors.Is(err, router.ErrConflict) && !errors.Is(err, context.DeadlineExceeded):
					t.Error(err)
				}
			})
		}
		claims.Wait()
		if len(won) > 1 {
			t.Fatalf("round %d: %d claims won", round, len(won))
		}
		now, err := ps.Get(t.Context(), 0)
		for errors.Is(err, context.DeadlineExceeded) && time.Now().Before(deadline) {
			now, err = ps.Get(t.Context(), 0)
		}
		if err != nil {
			t.Fatal(err)
		}
		revision = now.Revision
		select {
		case told := <-won:
			if now.Revision != told.Revision || now.Session != told.Session {
				t.Fatalf("round %d: %s was told that it won revision %d, but %s has %d", round, told.Session, told.Revision, now.Session, now.Revision)
			}
			wins++
		default:
		}
	}
}
