package jetstream

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/internal/natstest"
)

// firings follows the timers until n firings of the type have come.
func firings(ctx context.Context, timers *Timers, typ string, n int) ([]*actor.Firing, error) {
	var got []*actor.Firing
	err := timers.Follow(ctx, 1, func(f *actor.Firing) error {
		if f.Address.Type == typ {
			got = append(got, f)
		}
		if len(got) == n {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return got, err
}

func testTimers(t *testing.T, r *rig) {
	timers, ctx := r.store.Timers(), short(t)
	addr := actor.Address{Type: "timers", Key: "a.b/c"}
	longID := strings.Repeat("i.", 300)
	arm := func(id string, after time.Duration) {
		t.Helper()
		if err := timers.Arm(ctx, addr, id, time.Now().Add(after)); err != nil {
			t.Fatal(err)
		}
	}
	arm("cancelled", time.Hour) // TestTimers_time shows that it does not fire
	arm("one", 100*time.Millisecond)
	arm("far", time.Hour)
	arm("far", 0) // armed already: nothing changes
	schedule := getRequest{LastFor: r.store.names.Timer(r.store.Partition(addr), addr, "cancelled")}
	if _, err := r.store.get(ctx, r.store.names.TimersStream(), schedule); err != nil {
		t.Errorf("the schedule of an armed timer: %v", err)
	}
	if err := timers.Cancel(ctx, addr, "cancelled"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.store.get(ctx, r.store.names.TimersStream(), schedule); !errors.Is(err, errNoMessage) {
		t.Errorf("the schedule of a cancelled timer: %v, want none", err)
	}
	if err := timers.Cancel(ctx, addr, "never armed"); err != nil {
		t.Fatal(err)
	}
	// Somebody else's messages on our subjects are left out.
	for _, m := range []*nats.Msg{
		{Subject: r.store.names.Fire(r.store.Partition(addr), addr)},
		{Subject: "fire.x.timers.b"},
		{Subject: r.store.names.Fire(r.store.Partition(addr)+1, addr), Header: nats.Header{HeaderTimer: {"x"}}},
		{Subject: r.store.names.Timer(1, addr, "x")},
	} {
		if _, err := r.store.js.PublishMsg(ctx, m); err != nil {
			t.Fatal(err)
		}
	}
	arm(longID, 600*time.Millisecond)
	got, err := firings(ctx, timers, "timers", 2)
	if err != nil {
		t.Fatal(err)
	}
	want := []*actor.Firing{
		{Seq: got[0].Seq, Partition: r.store.Partition(addr), Address: addr, ID: "one"},
		{Seq: got[1].Seq, Partition: r.store.Partition(addr), Address: addr, ID: longID},
	}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("(-got +want):\n%s", diff)
	}
	for range 2 {
		if err := timers.Done(ctx, got[0].Seq); err != nil {
			t.Errorf("done: %v", err)
		}
	}
	if err := timers.Done(ctx, 1<<40); err != nil {
		t.Errorf("done with what never was: %v", err)
	}
	left, err := firings(ctx, timers, "timers", 1)
	if err != nil || left[0].ID != longID {
		t.Errorf("left: %+v %v", left, err)
	}
}

// TestTimers_time measures in virtual time how exact timers are, over a restart of the server.
func TestTimers_time(t *testing.T) {
	dir := t.TempDir()
	natstest.InBubble(t, func(t *testing.T) {
		srv := natstest.BubbleAt(t, dir)
		s := provision(t, natstest.Connect(t, srv), Config{Partitions: 2, LogStreams: 1})
		addr := actor.Address{Type: "t", Key: "x"}
		start := time.Now()
		for id, after := range map[string]time.Duration{
			"cancelled": 5 * time.Second, "soon": 10*time.Second + 345*time.Millisecond, "later": time.Hour + time.Millisecond,
		} {
			if err := s.Timers().Arm(t.Context(), addr, id, start.Add(after)); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Timers().Cancel(t.Context(), addr, "cancelled"); err != nil {
			t.Fatal(err)
		}
		check := func(s *Store, n int, id string, due, late time.Duration) {
			t.Helper()
			got, err := firings(t.Context(), s.Timers(), "t", n)
			if err != nil {
				t.Fatal(err)
			}
			if at := time.Since(start); got[n-1].ID != id || at < due || at > due+late {
				t.Errorf("%s fired at %v, due at %v", got[n-1].ID, at, due)
			}
		}
		check(s, 1, "soon", 10*time.Second+345*time.Millisecond, 300*time.Millisecond)
		natstest.Stop(srv)
		time.Sleep(2 * time.Hour)
		srv = natstest.BubbleAt(t, dir)
		s = provision(t, natstest.Connect(t, srv), Config{})
		check(s, 2, "later", 2*time.Hour, 20*time.Second)
	})
}

func FuzzDecodeTimerID(f *testing.F) {
	f.Add("a%2Eb")
	f.Add("%")
	f.Fuzz(func(t *testing.T, s string) {
		if id, err := decodeTimerID(s); err == nil && actor.EncodeKey(id) != s {
			t.Errorf("%q comes back as %q", s, actor.EncodeKey(id))
		}
		if s != "" {
			if id, err := decodeTimerID(actor.EncodeKey(s)); err != nil || id != s {
				t.Errorf("%q: %q, %v", s, id, err)
			}
		}
	})
}
