package jetstream_test

import (
	"errors"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/internal/natstest"
	"github.com/perdure/perdure/router"
)

// Nodes that start at the same moment find a placement in which each partition has one owner, and rest.
func TestOwner_StartTogether(t *testing.T) {
	natstest.InBubble(t, func(t *testing.T) {
		s := bucketServer(t)
		var all []*node
		for _, name := range []string{"a", "b", "c", "d"} {
			all = append(all, newNode(t, s, name).run(t))
		}
		for _, n := range all {
			<-n.Ready()
		}
		time.Sleep(ttl)
		owners := map[int]string{}
		for _, n := range all {
			for p := range n.Status().Partitions {
				if other := owners[p]; other != "" {
					t.Errorf("partition %d is with %s and with %s", p, other, n.cfg.Node)
				}
				owners[p] = n.cfg.Node
			}
		}
		if len(owners) != testPartitions {
			t.Errorf("owners: %v", owners)
		}
		before := map[int]uint64{}
		for p := range testPartitions {
			before[p] = all[0].record(t, p).Epoch
		}
		time.Sleep(10 * time.Minute)
		for p := range testPartitions {
			if got := all[0].record(t, p).Epoch; got != before[p] {
				t.Errorf("partition %d: epoch %d became %d in quiet times", p, before[p], got)
			}
		}
	})
}

func TestOwner_Drain(t *testing.T) {
	natstest.InBubble(t, func(t *testing.T) {
		s := bucketServer(t)
		a := newNode(t, s, "a").runReady(t)
		if err := a.Drain(true); !errors.Is(err, router.ErrAlone) {
			t.Fatalf("the only node: got %v, want ErrAlone", err)
		}
		b := newNode(t, s, "b").runReady(t)
		time.Sleep(time.Second)
		kept := slices.Sorted(maps.Keys(a.Status().Partitions))
		if err := a.Drain(true); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if st := a.Status(); len(st.Partitions) > 0 || !st.Draining || b.host.count() != testPartitions {
			t.Errorf("a second after: got status %+v, and the other has %d", st, b.host.count())
		}
		if l, err := b.cfg.Leases.Get(t.Context(), "a"); err != nil || !l.Draining {
			t.Errorf("got lease %+v, %v", l, err)
		}
		if err := b.Drain(true); !errors.Is(err, router.ErrAlone) {
			t.Errorf("the last one that does not drain: got %v, want ErrAlone", err)
		}
		b.leave(t)
		time.Sleep(time.Second)
		if got := a.host.count(); got != testPartitions {
			t.Errorf("while all drain it has %d partitions, want all: nobody else is there", got)
		}
		b = newNode(t, s, "b").runReady(t)
		time.Sleep(time.Second)
		if got := b.host.count(); got != testPartitions {
			t.Errorf("the other is back and has %d partitions, want all", got)
		}
		if err := a.Drain(false); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if got := slices.Sorted(maps.Keys(a.Status().Partitions)); !slices.Equal(got, kept) {
			t.Errorf("got %v, want those back that it had, %v", got, kept)
		}
	})
}

// What has a turn that does not end is not handed over, is served again, and moves later.
func TestOwner_MoveInDoubt(t *testing.T) {
	natstest.InBubble(t, func(t *testing.T) {
		s := bucketServer(t)
		a := newNode(t, s, "a").runReady(t)
		a.host.doubt = []int{1}
		b := newNode(t, s, "b").runReady(t)
		time.Sleep(time.Second)
		if _, moved := b.host.claims()[1]; moved || b.host.count() != belongToB-1 {
			t.Fatalf("the other has %v", b.host.claims())
		}
		if c := a.host.claims()[1]; !c.Unclean || c.Epoch != 1 {
			t.Errorf("got claim %+v, want the same hosted again, unclean", c)
		}
		a.host.mu.Lock()
		a.host.doubt = nil
		a.host.mu.Unlock()
		time.Sleep(2 * ttl)
		if c := b.host.claims()[1]; c.Epoch != 2 || c.Unclean {
			t.Errorf("got claim %+v, want it handed over once it could", c)
		}
	})
}

// A node that lives and takes nothing does not keep its partitions from being served.
func TestOwner_HomeDoesNotClaim(t *testing.T) {
	natstest.InBubble(t, func(t *testing.T) {
		s := bucketServer(t)
		leases := dialBuckets(t, s).leases(t)
		idle := router.Lease{Node: "b", Session: "idle", Types: []string{"counter"}}
		var err error
		if idle.Revision, err = leases.Create(t.Context(), idle); err != nil {
			t.Fatal(err)
		}
		a := newNode(t, s, "a").runReady(t)
		renew := func(d time.Duration) {
			t.Helper()
			for until := time.Now().Add(d); time.Now().Before(until); time.Sleep(ttl / 5) {
				if idle.Revision, err = leases.Renew(t.Context(), idle); err != nil {
					t.Fatal(err)
				}
			}
		}
		renew(ttl / 2)
		if got := a.host.count(); got != testPartitions-belongToB {
			t.Fatalf("at first it has %d partitions, want its own", got)
		}
		renew(ttl)
		if got := a.host.count(); got != testPartitions {
			t.Errorf("after a TTL it has %d partitions, want all", got)
		}
		away := 0 // fifths of a TTL in which partitions waited for a node that takes none
		for range 100 * 5 {
			if renew(ttl / 5); a.host.count() < testPartitions {
				away++
			}
		}
		if away == 0 || away > 60 {
			t.Errorf("offered for %d of 500 fifths of a TTL, want seldom", away)
		}
	})
}

// What a node released to one that then does not take it is claimed anew before it is hosted again.
func TestOwner_TakesBackWhatItReleased(t *testing.T) {
	natstest.InBubble(t, func(t *testing.T) {
		s := bucketServer(t)
		a := newNode(t, s, "a").runReady(t)
		leases := dialBuckets(t, s).leases(t)
		gone := router.Lease{Node: "b", Session: "gone", Types: []string{"counter"}}
		var err error
		if gone.Revision, err = leases.Create(t.Context(), gone); err != nil {
			t.Fatal(err)
		}
		time.Sleep(ttl / 2)
		if got := a.host.count(); got != testPartitions-belongToB {
			t.Fatalf("it has %d partitions beside another node, want its own", got)
		}
		if err := leases.Delete(t.Context(), gone); err != nil {
			t.Fatal(err)
		}
		time.Sleep(ttl / 2)
		for p := range testPartitions {
			r, c := a.record(t, p), a.host.claims()[p]
			if r.Released || r.Successor != "" || r.Epoch != c.Epoch || r.Session != a.Status().Session {
				t.Errorf("partition %d: hosted in epoch %d, and its record says %+v", p, c.Epoch, r)
			}
		}
	})
}

// A node that was cut off while others renewed their leases does not take them for dead because a bucket that was made
// anew has no leases of theirs yet.
func TestOwner_BucketMadeAnewAfterCut(t *testing.T) {
	natstest.InBubble(t, func(t *testing.T) {
		s := bucketServerFor(t, 6*ttl)
		js := dialBuckets(t, s).js
		a := newNode(t, s, "a").runReady(t)
		began := time.Now()
		at := func(d time.Duration) { time.Sleep(time.Until(began.Add(d))) }
		b := newNode(t, s, "b", func(c *router.Config) { c.TTL = 6 * ttl }).runReady(t)
		at(57 * time.Second) // it renews every 6 s, and once in between: when that is 30 s ago its next one is not due
		for _, on := range []bool{true, false} {
			if err := b.Drain(on); err != nil {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		at(59 * time.Second)
		a.wire.Cut()
		at(84*time.Second + 100*time.Millisecond)
		if err := js.DeleteKeyValue(t.Context(), "LEASES"); err != nil {
			t.Fatal(err)
		}
		if _, err := js.CreateKeyValue(t.Context(), natsjs.KeyValueConfig{Bucket: "LEASES", Storage: natsjs.MemoryStorage, TTL: 6 * ttl, LimitMarkerTTL: 6 * ttl}); err != nil {
			t.Fatal(err)
		}
		a.wire.Mend()
		at(88 * time.Second)
		if got := a.host.count(); got > 0 && b.Trusted() {
			t.Errorf("it took %d partitions of a node that executes them", got)
		}
		at(3 * time.Minute)
		if got := a.host.count() + b.host.count(); got != testPartitions {
			t.Errorf("in the end %d partitions are hosted", got)
		}
	})
}

// Each lease says its own TTL: who waits for less takes nothing early.
func TestOwner_DifferentTTLs(t *testing.T) {
	natstest.InBubble(t, func(t *testing.T) {
		s := bucketServerFor(t, 6*ttl)
		a := newNode(t, s, "a", func(c *router.Config) { c.TTL = 6 * ttl }).runReady(t)
		b := newNode(t, s, "b").runReady(t)
		time.Sleep(time.Minute)
		a.wire.Cut()
		time.Sleep(6*ttl*7/10 + 10*time.Millisecond)
		if a.Trusted() {
			t.Error("trusted 0.7 TTL after the cut")
		}
		time.Sleep(2 * time.Second) // the last renewal may be a fifth of a TTL older than the cut
		if got := b.host.count(); got != belongToB {
			t.Errorf("has %d partitions before the other's TTL is over", got)
		}
		time.Sleep(2 * ttl)
		if got := b.host.count(); got != testPartitions {
			t.Errorf("has %d partitions after it, want all", got)
		}
	})
}

// A partition with objects of a type that only some nodes host goes to one of those.
func TestOwner_Types(t *testing.T) {
	natstest.InBubble(t, func(t *testing.T) {
		s := bucketServer(t)
		a := newNode(t, s, "a").runReady(t)
		if !a.Hosted("counter") || a.Hosted("session") || a.Known("session") {
			t.Error("wrong about the types that are hosted")
		}
		b := newNode(t, s, "b", func(c *router.Config) { c.Types = []string{"counter", "session"} }).runReady(t)
		time.Sleep(time.Second)
		if !a.Hosted("session") {
			t.Error("does not know what the other hosts")
		}
		a.host.finish(3, func(c *actor.Checkpoint) { c.Types = []string{"counter", "session"} })
		time.Sleep(2 * time.Second)
		if c, moved := b.host.claims()[3]; !moved || !slices.Equal(c.Checkpoint.Types, []string{"counter", "session"}) {
			t.Errorf("the partition was not handed over: %+v", c)
		}
		if got := a.host.count(); got != testPartitions-belongToB-1 {
			t.Errorf("it has %d partitions, want all its own but one", got)
		}
		b.leave(t)
		synctest.Wait()
		if got := a.host.count(); got != testPartitions {
			t.Errorf("alone it has %d partitions, want all", got)
		}
		if a.Hosted("session") || !a.Known("session") {
			t.Error("the type is not hosted now, and known")
		}
	})
}
