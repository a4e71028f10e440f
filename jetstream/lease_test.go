package jetstream_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/perdure/perdure/internal/natstest"
	"github.com/perdure/perdure/router"
)

func TestLeases(t *testing.T) {
	natstest.InBubble(t, func(t *testing.T) {
		l := dialBuckets(t, bucketServer(t))
		leases := l.leases(t)
		ctx := t.Context()
		want := router.Lease{Node: "my.host", Session: "s", Address: "x", Types: []string{"counter"}}
		get := func() router.Lease {
			t.Helper()
			lease, err := leases.Get(ctx, "my.host")
			if err != nil {
				t.Fatal(err)
			}
			return lease
		}
		if got := get(); got.Revision != 0 {
			t.Fatalf("got %+v before it was created", got)
		}
		create := func() {
			t.Helper()
			var err error
			if want.Revision, err = leases.Create(ctx, want); err != nil {
				t.Fatal(err)
			}
		}
		create()
		if _, err := leases.Create(ctx, want); !errors.Is(err, router.ErrConflict) {
			t.Errorf("create again: got %v, want ErrConflict", err)
		}
		stale := want
		for range 10 {
			time.Sleep(ttl / 2)
			var err error
			if want.Revision, err = leases.Renew(ctx, want); err != nil {
				t.Fatal("renew:", err)
			}
		}
		if diff := cmp.Diff(get(), want); diff != "" {
			t.Error(diff)
		}
		if _, err := leases.Renew(ctx, stale); !errors.Is(err, router.ErrConflict) {
			t.Errorf("renew at an old revision: got %v, want ErrConflict", err)
		}
		if err := leases.Delete(ctx, stale); !errors.Is(err, router.ErrConflict) {
			t.Errorf("delete at an old revision: got %v, want ErrConflict", err)
		}

		time.Sleep(5 * ttl)
		if got := get(); got.Revision != 0 {
			t.Errorf("got %+v, want none: updates must not make it eternal", got)
		}
		if _, err := leases.Renew(ctx, want); !errors.Is(err, router.ErrConflict) {
			t.Errorf("renew a lapsed lease: got %v, want ErrConflict", err)
		}
		create() // over the marker of its expiry
		if err := leases.Delete(ctx, want); err != nil {
			t.Fatal(err)
		}
		create() // over the marker of its deletion

		if _, err := l.bucket(t, "LEASES").PutString(ctx, "node.my.host", "junk"); err != nil {
			t.Fatal(err)
		}
		if got := get(); got.Session != "" || got.Revision == 0 {
			t.Errorf("got %+v, want a revision without a session", got)
		}
	})
}

func TestLeases_Watch(t *testing.T) {
	natstest.InBubble(t, func(t *testing.T) {
		leases := dialBuckets(t, bucketServer(t)).leases(t)
		lease := router.Lease{Node: "a", Session: "s"}
		var err error
		if lease.Revision, err = leases.Create(t.Context(), lease); err != nil {
			t.Fatal(err)
		}
		seen := make(chan uint64, 10)
		watched := make(chan error)
		ctx, stop := context.WithCancel(t.Context())
		go func() {
			watched <- leases.Watch(ctx, func(l router.Lease) { seen <- l.Revision }, func() { seen <- 0 })
		}()
		if got := <-seen; got != lease.Revision {
			t.Errorf("got revision %d first, want %d", got, lease.Revision)
		}
		if got := <-seen; got != 0 {
			t.Errorf("got revision %d after the only lease, want to be told that these are all", got)
		}
		if lease.Revision, err = leases.Renew(t.Context(), lease); err != nil {
			t.Fatal(err)
		}
		if got := <-seen; got != lease.Revision {
			t.Errorf("got revision %d, want %d", got, lease.Revision)
		}
		if err := leases.Delete(t.Context(), lease); err != nil {
			t.Fatal(err)
		}
		if got := <-seen; got != lease.Revision+1 {
			t.Errorf("got revision %d, want that of the deletion, %d", got, lease.Revision+1)
		}
		stop()
		if err := <-watched; err != nil {
			t.Error(err)
		}
	})
}
