package jetstream_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/internal/natstest"
	"github.com/perdure/perdure/router"
)

func TestOwner_SharesAndHandsOverAtOnce(t *testing.T) {
	natstest.InBubble(t, func(t *testing.T) {
		s := bucketServer(t)
		a := newNode(t, s, "a").runReady(t)
		claims := a.host.claims()
		if len(claims) != testPartitions || a.host.calls() != 2 {
			t.Fatalf("got %d claims in %d calls, want %d, those of each log stream in one", len(claims), a.host.calls(), testPartitions)
		}
		for p, c := range claims {
			r := a.record(t, p)
			want := actor.Claim{Partition: p, Session: r.Session, Epoch: 1, Revision: r.Revision, Checkpoint: actor.Checkpoint{Incarnation: "i"}}
			if diff := cmp.Diff(c, want); diff != "" {
				t.Error(diff)
			}
			if r.Node != "a" || r.Session != a.Status().Session || r.Since.IsZero() || r.Released {
				t.Errorf("partition %d: got record %+v", p, r)
			}
		}
		if st := a.Status(); !st.Trusted || len(st.Partitions) != testPartitions || st.Partitions[3] != 1 {
			t.Errorf("got status %+v", st)
		}

		a.host.finish(2, func(c *actor.Checkpoint) { c.Inbox, c.Floor = 70, 8 })
		b := newNode(t, s, "b").runReady(t)
		time.Sleep(time.Second)
		if got := b.host.count(); got != belongToB || a.host.count() != testPartitions-belongToB {
			t.Fatalf("a second after it joined the second node has %d partitions, the first %d", got, a.host.count())
		}
		for p, c := range b.host.claims() {
			if c.Unclean || c.Epoch != 2 {
				t.Errorf("partition %d: got claim %+v of what was handed over", p, c)
			}
		}
		time.Sleep(10 * time.Minute)
		trust, dropped := a.host.told()
		if calls := b.host.calls(); b.host.count() != belongToB || len(trust) != 1 || len(dropped) > 0 || a.host.calls() != 2 {
			t.Fatalf("partitions moved without a reason: %d claims, trust %v, dropped %v", calls, trust, dropped)
		}

		before := time.Now()
		a.leave(t)
		synctest.Wait()
		if took := time.Since(before); took > time.Second {
			t.Errorf("handing over took %v", took)
		}
		claims = b.host.claims()
		if len(claims) != testPartitions {
			t.Fatalf("got %d claims after hand-over, want %d", len(claims), testPartitions)
		}
		c := claims[2]
		want := actor.Claim{Partition: 2, Session: c.Session, Epoch: 2, Revision: c.Revision, Checkpoint: actor.Checkpoint{Inbox: 70, Incarnation: "i", Floor: 8}}
		if diff := cmp.Diff(c, want); diff != "" {
			t.Error(diff)
		}
		if st := a.Status(); st.Trusted || len(st.Partitions) != 0 {
			t.Errorf("after leaving: got status %+v", st)
		}
		if l, err := b.cfg.Leases.Get(t.Context(), "a"); err != nil || l.Revision != 0 {
			t.Errorf("after leaving: got lease %+v, %v", l, err)
		}
	})
}

// A node that is cut off stops trusting its lease before anyone may take over, and drops everything when it is back.
func TestOwner_TakeoverAfterTTL(t *testing.T) {
	natstest.InBubble(t, func(t *testing.T) {
		s := bucketServer(t)
		a := newNode(t, s, "a").runReady(t)
		b := newNode(t, s, "b").runReady(t)
		time.Sleep(time.Minute)
		a.host.finish(3, func(c *actor.Checkpoint) { c.Floor = 5 })
		time.Sleep(2500 * time.Millisecond) // half a second after a renewal
		stale := a.record(t, 3)
		session := a.Status().Session

		a.wire.Cut()
		cut := time.Now()
		time.Sleep(ttl*7/10 + 10*time.Millisecond)
		trust, _ := a.host.told()
		if a.Status().Trusted || trust[len(trust)-1] {
			t.Error("trusted 0.7 TTL after the cut")
		}
		if got := b.host.count(); got != belongToB {
			t.Fatalf("has %d partitions after %v", got, time.Since(cut))
		}
		time.Sleep(ttl - time.Since(cut) - ttl/5)
		if got := b.host.count(); got != belongToB {
			t.Fatalf("has %d partitions after %v", got, time.Since(cut))
		}
		time.Sleep(ttl/5 + time.Second)
		claims := b.host.claims()
		if len(claims) != testPartitions {
			t.Fatalf("got %d claims %v after the cut, want %d", len(claims), time.Since(cut), testPartitions)
		}
		want := actor.Claim{Partition: 3, Session: claims[3].Session, Epoch: 2, Unclean: true, Revision: claims[3].Revision, Checkpoint: actor.Checkpoint{Incarnation: "i", Floor: 5}}
		if diff := cmp.Diff(claims[3], want); diff != "" {
			t.Error(diff)
		}
		stale.Floor = 6
		if _, err := b.cfg.Records.Put(t.Context(), stale); !errors.Is(err, router.ErrConflict) {
			t.Errorf("stale owner's checkpoint: got %v, want ErrConflict", err)
		}
		if got := a.host.count(); got != testPartitions-belongToB {
			t.Errorf("while cut off the owner has %d partitions, want all its own: it cannot know", got)
		}

		a.wire.Mend()
		time.Sleep(2 * ttl)
		if _, dropped := a.host.told(); a.host.count() != testPartitions-belongToB || len(dropped) != testPartitions-belongToB {
			t.Errorf("back again it has %d partitions, dropped %v", a.host.count(), dropped)
		}
		if st := a.Status(); st.Session == session || !st.Trusted {
			t.Errorf("back again: got status %+v, want a new session", st)
		}
		if got := b.host.count(); got != belongToB {
			t.Errorf("after it gave back what it took the other has %d partitions", got)
		}
	})
}

func TestOwner_ShortCutKeepsSession(t *testing.T) {
	natstest.InBubble(t, func(t *testing.T) {
		s := bucketServer(t)
		a := newNode(t, s, "a").runReady(t)
		b := newNode(t, s, "b").runReady(t)
		session := a.Status().Session
		a.wire.Cut()
		time.Sleep(ttl * 8 / 10)
		a.wire.Mend()
		time.Sleep(10 * ttl)
		if st := a.Status(); st.Session != session || !st.Trusted || len(st.Partitions) != testPartitions-belongToB {
			t.Errorf("got status %+v, want the same session with all its own", st)
		}
		trust, dropped := a.host.told()
		if diff := cmp.Diff(trust, []bool{true, false, true}); diff != "" {
			t.Error("trust:", diff)
		}
		if len(dropped) > 0 || b.host.count() != belongToB {
			t.Errorf("dropped %v; the other has %d", dropped, b.host.count())
		}
	})
}

// leaderless is leases in a bucket that has no leader now and then: requests are answered, by nobody.
type leaderless struct {
	router.Leases
	now *atomic.Bool
}

func (l leaderless) Renew(ctx context.Context, lease router.Lease) (uint64, error) {
	if l.now.Load() {
		return 0, nats.ErrNoResponders
	}
	return l.Leases.Renew(ctx, lease)
}

// TestOwner_Leaderless keeps all nodes from renewing for longer than the TTL, as servers do that elect a leader: when the
// first renews again, the others only need a moment more.
func TestOwner_Leaderless(t *testing.T) {
	natstest.InBubble(t, func(t *testing.T) {
		s := bucketServer(t)
		var electing atomic.Bool
		without := func(c *router.Config) { c.Leases = leaderless{c.Leases, &electing} }
		a := newNode(t, s, "a", without).runReady(t)
		time.Sleep(300 * time.Millisecond) // they do not renew at the same time
		b := newNode(t, s, "b", without).runReady(t)
		time.Sleep(time.Minute)
		sessions := []string{a.Status().Session, b.Status().Session}
		electing.Store(true)
		time.Sleep(ttl * 13 / 10)
		if a.Status().Trusted || b.Status().Trusted {
			t.Fatal("trusted without a renewal")
		}
		electing.Store(false)
		time.Sleep(ttl / 10)
		if !a.Status().Trusted || !b.Status().Trusted {
			t.Error("not trusted a tenth of the TTL after the leases are back")
		}
		time.Sleep(2 * ttl)
		for i, n := range []*node{a, b} {
			_, dropped := n.host.told()
			if st := n.Status(); st.Session != sessions[i] || !st.Trusted || len(dropped) > 0 {
				t.Errorf("got status %+v, dropped %v; want the same session with all its own", st, dropped)
			}
		}
		if got := b.host.count(); got != belongToB {
			t.Errorf("b has %d partitions, want %d", got, belongToB)
		}
	})
}

// Renewals whose answers are lost are renewals; the session adopts them when it hears again.
func TestOwner_UnheardRenewals(t *testing.T) {
	natstest.InBubble(t, func(t *testing.T) {
		s := bucketServer(t)
		a := newNode(t, s, "a").runReady(t)
		session := a.Status().Session
		time.Sleep(900 * time.Millisecond) // the next renewal is sent into the mute wire
		a.wire.Mute()
		time.Sleep(2500 * time.Millisecond)
		a.host.finish(1, func(c *actor.Checkpoint) { c.Floor = 5 })
		a.wire.Mend()
		time.Sleep(10 * ttl)
		_, dropped := a.host.told()
		if st := a.Status(); st.Session != session || !st.Trusted || len(st.Partitions) != testPartitions || len(dropped) > 0 {
			t.Errorf("got status %+v, dropped %v; want the same session with all", st, dropped)
		}
		if got := a.record(t, 1).Floor; got != 5 {
			t.Errorf("got floor %d, want the checkpoint written in the end", got)
		}
	})
}

func TestOwner_LosesItsBucket(t *testing.T) {
	natstest.InBubble(t, func(t *testing.T) {
		s := bucketServer(t)
		a := newNode(t, s, "a").runReady(t)
		if err := a.bucket(t, "LEASES").Purge(t.Context(), "node.a"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(ttl / 2)
		claims := a.host.claims()
		if len(claims) != testPartitions || claims[0].Epoch != 2 || !claims[0].Unclean {
			t.Errorf("got claims %+v, want all at once in epoch 2, unclean: its own session before is dead", claims)
		}
		if st := a.Status(); !st.Trusted {
			t.Errorf("got status %+v", st)
		}
	})
}

func TestOwner_SameName(t *testing.T) {
	t.Run("living", func(t *testing.T) {
		natstest.InBubble(t, func(t *testing.T) {
			s := bucketServer(t)
			a := newNode(t, s, "a").runReady(t)
			twin := newNode(t, s, "a", func(c *router.Config) { c.Exclusive = true }).run(t)
			if err := <-twin.ended; !errors.Is(err, router.ErrNameTaken) {
				t.Errorf("got %v, want ErrNameTaken", err)
			}
			time.Sleep(2 * ttl)
			if got := a.host.count(); got != testPartitions {
				t.Errorf("the first has %d partitions", got)
			}
		})
	})
	t.Run("dead", func(t *testing.T) {
		natstest.InBubble(t, func(t *testing.T) {
			s := bucketServer(t)
			a := newNode(t, s, "a").runReady(t)
			a.wire.Cut()
			cut := time.Now()
			again := newNode(t, s, "a").runReady(t)
			if took := time.Since(cut); took < ttl*8/10 || took > ttl+time.Second {
				t.Errorf("took over after %v", took)
			}
			if c := again.host.claims()[0]; c.Epoch != 2 || !c.Unclean {
				t.Errorf("got claim %+v", c)
			}
			a.wire.Mend()
			if err := <-a.ended; !errors.Is(err, router.ErrNameTaken) {
				t.Errorf("the first, awake again: got %v, want ErrNameTaken", err)
			}
		})
	})
	t.Run("dead, its last renewal late", func(t *testing.T) {
		natstest.InBubble(t, func(t *testing.T) {
			s := bucketServer(t)
			leases := dialBuckets(t, s).leases(t)
			before := router.Lease{Node: "a", Session: "before", TTL: router.Millis(ttl.Milliseconds())}
			var err error
			if before.Revision, err = leases.Create(t.Context(), before); err != nil {
				t.Fatal(err)
			}
			a := newNode(t, s, "a").run(t)
			time.Sleep(ttl / 10) // it has looked
			if _, err := leases.Renew(t.Context(), before); err != nil {
				t.Fatal(err)
			}
			select {
			case err := <-a.ended:
				t.Error("Run returned:", err)
			case <-a.Ready():
			}
		})
	})
	t.Run("exclusive", func(t *testing.T) {
		natstest.InBubble(t, func(t *testing.T) {
			s := bucketServer(t)
			a := newNode(t, s, "a").runReady(t)
			a.wire.Cut()
			time.Sleep(10 * time.Millisecond)
			kv := newNode(t, s, "b").bucket(t, "LEASES")
			if err := kv.Purge(t.Context(), "node.a"); err != nil { // the memory of its server died with it
				t.Fatal(err)
			}
			before := time.Now()
			again := newNode(t, s, "a", func(c *router.Config) { c.Exclusive = true }).runReady(t)
			if took := time.Since(before); took > 100*time.Millisecond {
				t.Errorf("waited %v", took)
			}
			if c := again.host.claims()[0]; c.Epoch != 2 || c.Unclean {
				t.Errorf("got claim %+v, want a clean one", c)
			}
		})
	})
}

func TestOwner_PartitionInDoubtLapses(t *testing.T) {
	natstest.InBubble(t, func(t *testing.T) {
		s := bucketServer(t)
		a := newNode(t, s, "a").runReady(t)
		b := newNode(t, s, "b").runReady(t)
		a.host.doubt = []int{4}
		a.leave(t)
		synctest.Wait()
		if got := b.host.count(); got != testPartitions-1 {
			t.Errorf("took %d partitions at once, want all but one", got)
		}
		time.Sleep(ttl - ttl/5)
		if got := b.host.count(); got != testPartitions-1 {
			t.Errorf("took the partition in doubt too early")
		}
		time.Sleep(ttl/5 + time.Second)
		if c := b.host.claims()[4]; !c.Unclean || c.Epoch != 2 {
			t.Errorf("got claim %+v of the partition in doubt, want it unclean", c)
		}
	})
}

// TestOwner_StaleInbox has a server say that the inbox ends before a cursor: a former leader does, and for a while only.
func TestOwner_StaleInbox(t *testing.T) {
	natstest.InBubble(t, func(t *testing.T) {
		s := bucketServer(t)
		a := newNode(t, s, "a").runReady(t)
		a.host.finish(3, func(c *actor.Checkpoint) { c.Inbox = 70 })
		a.leave(t)
		b := newNode(t, s, "b", func(c *router.Config) { c.Stale = 4 * ttl })
		b.inbox.bounds.Last = 69
		b.run(t)
		time.Sleep(3 * ttl)
		if r := b.record(t, 3); r.Epoch != 1 {
			t.Errorf("it claimed: %+v", r)
		}
		b.inbox.set(actor.InboxBounds{First: 1, Last: 70, Incarnation: "i"})
		<-b.Ready()
		if got := b.host.count(); got != testPartitions {
			t.Errorf("it has %d partitions", got)
		}
		b.leave(t)

		c := newNode(t, s, "c", func(c *router.Config) { c.Stale = 4 * ttl })
		c.inbox.bounds.Last = 69
		begin := time.Now()
		c.run(t)
		var inbox *router.InboxError
		if err := <-c.ended; !errors.As(err, &inbox) || time.Since(begin) < 4*ttl || time.Since(begin) > 6*ttl {
			t.Errorf("%v after %v, want an InboxError after %v", err, time.Since(begin), 4*ttl)
		}
	})
}

// TestOwner_StaleInboxTwice has a server say so twice, with a minute between, each time for a moment.
func TestOwner_StaleInboxTwice(t *testing.T) {
	natstest.InBubble(t, func(t *testing.T) {
		s := bucketServer(t)
		good, stale := actor.InboxBounds{First: 1, Last: 1000, Incarnation: "i"}, actor.InboxBounds{First: 1, Last: 69, Incarnation: "i"}
		a := newNode(t, s, "a").runReady(t)
		for p := range testPartitions {
			a.host.finish(p, func(c *actor.Checkpoint) { c.Inbox = 70 })
		}
		time.Sleep(ttl)
		b := newNode(t, s, "b", func(c *router.Config) { c.Stale = 4 * ttl })
		b.inbox.set(stale)
		drain := func(on bool) {
			t.Helper()
			if err := b.Drain(on); err != nil {
				t.Fatal(err)
			}
		}
		b.run(t) // what it is handed it does not claim, and so it goes back
		time.Sleep(ttl / 2)
		drain(true)
		time.Sleep(ttl / 2)
		b.inbox.set(good)
		time.Sleep(time.Minute)
		if got := a.host.count(); got != testPartitions || !b.Trusted() {
			t.Fatalf("the first has %d partitions, the other's status is %+v", got, b.Status())
		}
		b.inbox.set(stale)
		drain(false)
		time.Sleep(ttl / 5)
		b.inbox.set(good)
		select {
		case err := <-b.ended:
			t.Error("Run returned:", err)
		case <-time.After(ttl):
		}
		if got := b.host.count(); got != belongToB {
			t.Errorf("it has %d partitions, want %d", got, belongToB)
		}
	})
}

func TestOwner_RefusesForeignInbox(t *testing.T) {
	for name, tc := range map[string]struct {
		bounds actor.InboxBounds
		want   string
	}{
		"beyond the end":      {actor.InboxBounds{First: 1, Last: 69, Incarnation: "i"}, "--seq 71"},
		"another incarnation": {actor.InboxBounds{First: 1, Last: 1000, Incarnation: "j"}, `"incarnation" to "j"`},
	} {
		t.Run(name, func(t *testing.T) {
			natstest.InBubble(t, func(t *testing.T) {
				s := bucketServer(t)
				a := newNode(t, s, "a").runReady(t)
				a.host.finish(3, func(c *actor.Checkpoint) { c.Inbox = 70 })
				a.leave(t)
				b := newNode(t, s, "b")
				b.inbox.bounds = tc.bounds
				b.run(t)
				err := <-b.ended
				var inbox *router.InboxError
				if !errors.As(err, &inbox) || !strings.Contains(err.Error(), tc.want) {
					t.Errorf("got %v, want an InboxError that says %s", err, tc.want)
				}
				if r := b.record(t, 3); r.Epoch != 1 {
					t.Errorf("it claimed: %+v", r)
				}
				if l, err := b.cfg.Leases.Get(t.Context(), "b"); err != nil || l.Revision != 0 {
					t.Errorf("it left its lease %+v, %v", l, err)
				}
			})
		})
	}
}
