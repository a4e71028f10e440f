package jetstream_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/internal/natstest"
	"github.com/perdure/perdure/router"
)

func TestOwner_Checkpoints(t *testing.T) {
	natstest.InBubble(t, func(t *testing.T) {
		a := newNode(t, bucketServer(t), "a").runReady(t)
		time.Sleep(10 * time.Second)
		first := a.record(t, 0)
		if first.Floor != 0 || first.Epoch != 1 {
			t.Fatalf("got %+v", first)
		}

		a.host.finish(0, func(c *actor.Checkpoint) { c.Inbox, c.Floor = 9, 4 })
		time.Sleep(1100 * time.Millisecond)
		r := a.record(t, 0)
		want := first
		want.Inbox, want.Floor, want.Revision = 9, 4, r.Revision
		if diff := cmp.Diff(r, want); diff != "" {
			t.Error("work done is written within a second:", diff)
		}

		a.host.finish(0, func(c *actor.Checkpoint) { c.Inbox = 20 })
		time.Sleep(500 * time.Millisecond)
		if got := a.record(t, 0).Inbox; got != 9 {
			t.Errorf("got inbox cursor %d, want positions alone not written yet", got)
		}
		time.Sleep(3 * time.Second)
		r = a.record(t, 0)
		if r.Inbox != 20 {
			t.Errorf("got inbox cursor %d, want 20", r.Inbox)
		}
		time.Sleep(5 * time.Minute)
		if got := a.record(t, 0).Revision; got != r.Revision {
			t.Errorf("written again without a change")
		}

		if trims := a.inbox.trimmed(); len(trims) > 0 {
			t.Errorf("got trims %v while some partitions are at 0", trims)
		}
		for p := 1; p < testPartitions; p++ {
			a.host.finish(p, func(c *actor.Checkpoint) { c.Inbox = uint64(30 + p) })
		}
		time.Sleep(time.Minute)
		a.host.finish(0, func(c *actor.Checkpoint) { c.Inbox = 40 })
		time.Sleep(time.Minute)
		if diff := cmp.Diff(a.inbox.trimmed(), []uint64{21, 32}); diff != "" {
			t.Error("trims:", diff)
		}
	})
}

// What a stranger does to records is undone by their owner, and it stays the owner.
func TestOwner_RecordsSpoiled(t *testing.T) {
	natstest.InBubble(t, func(t *testing.T) {
		s := bucketServer(t)
		a := newNode(t, s, "a").runReady(t)
		newNode(t, s, "b").runReady(t)
		a.host.finish(3, func(c *actor.Checkpoint) { c.Floor = 5 })
		time.Sleep(2 * time.Second)
		kv := a.bucket(t, "PARTITIONS")
		if err := kv.Delete(t.Context(), "partition.3"); err != nil {
			t.Fatal(err)
		}
		if _, err := kv.PutString(t.Context(), "partition.2", "junk"); err != nil {
			t.Fatal(err)
		}
		if _, err := kv.PutString(t.Context(), "partition.x", "junk"); err != nil {
			t.Fatal(err)
		}
		lease := a.bucket(t, "LEASES")
		if _, err := lease.PutString(t.Context(), "node.a", "junk"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		for p, floor := range map[int]uint64{3: 5, 2: 0} {
			r := a.record(t, p)
			if r.Node != "a" || r.Epoch != 1 || r.Floor != floor {
				t.Errorf("partition %d: got %+v, want it written again", p, r)
			}
		}
		time.Sleep(10 * ttl)
		_, dropped := a.host.told()
		if st := a.Status(); !st.Trusted || len(st.Partitions) != testPartitions-belongToB || len(dropped) > 0 {
			t.Errorf("got status %+v, dropped %v", st, dropped)
		}
	})
}

func TestOwner_RefusesSpoiledRecord(t *testing.T) {
	natstest.InBubble(t, func(t *testing.T) {
		s := bucketServer(t)
		a := newNode(t, s, "a").runReady(t)
		a.leave(t)
		if err := a.bucket(t, "PARTITIONS").Delete(t.Context(), "partition.1"); err != nil {
			t.Fatal(err)
		}
		b := newNode(t, s, "b").run(t)
		if err := <-b.ended; !errors.Is(err, router.ErrBadRecord) {
			t.Errorf("got %v, want ErrBadRecord", err)
		}
	})
}

// A partition that another owner took is dropped, and nothing else is.
func TestOwner_PartitionTaken(t *testing.T) {
	natstest.InBubble(t, func(t *testing.T) {
		a := newNode(t, bucketServer(t), "a").runReady(t)
		r := a.record(t, 6)
		r.Node, r.Session, r.Epoch = "c", "another", r.Epoch+1
		if _, err := a.cfg.Records.Put(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if _, dropped := a.host.told(); !slices.Equal(dropped, []int{6}) {
			t.Errorf("dropped %v, want 6", dropped)
		}
		if _, ok := a.Status().Partitions[6]; ok || len(a.Status().Partitions) != testPartitions-1 {
			t.Errorf("got status %+v", a.Status())
		}
		time.Sleep(ttl + time.Second) // nobody renews that session
		if got := a.Status().Partitions[6]; got != 3 {
			t.Errorf("got epoch %d, want it claimed again in epoch 3", got)
		}
	})
}

func TestOwner_HostFailsAtFirst(t *testing.T) {
	natstest.InBubble(t, func(t *testing.T) {
		a := newNode(t, bucketServer(t), "a")
		a.host.failOwn = errors.New("the log does not answer")
		a.run(t)
		time.Sleep(5 * time.Second)
		select {
		case <-a.Ready():
			t.Error("ready before anything is hosted")
		default:
		}
		a.host.mu.Lock()
		a.host.failOwn = nil
		a.host.mu.Unlock()
		<-a.Ready()
		if c := a.host.claims(); len(c) != testPartitions || c[0].Epoch != 1 {
			t.Errorf("got claims %+v, want all in epoch 1", c)
		}
	})
}

// stumbling is an inbox that cannot be asked until some time.
type stumbling struct {
	*inbox

	mu    sync.Mutex
	until time.Time
	tries []time.Time
}

func (s *stumbling) Bounds(ctx context.Context) (actor.InboxBounds, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tries = append(s.tries, time.Now())
	if time.Now().Before(s.until) {
		return actor.InboxBounds{}, errors.New("no leader")
	}
	return s.inbox.Bounds(ctx)
}

// TestOwner_ClaimsSoonAfterFailure: what failed is tried again soon, not only after some looks at the servers.
func TestOwner_ClaimsSoonAfterFailure(t *testing.T) {
	natstest.InBubble(t, func(t *testing.T) {
		s := bucketServer(t)
		a := newNode(t, s, "a").runReady(t)
		in := &stumbling{}
		newNode(t, s, "b", func(c *router.Config) {
			in.inbox = c.Inbox.(*inbox)
			c.Inbox = in
		}).runReady(t)
		time.Sleep(time.Minute + 320*time.Millisecond)
		a.wire.Cut()
		in.mu.Lock()
		in.until, in.tries = time.Now().Add(10*time.Second), nil
		in.mu.Unlock()
		time.Sleep(3 * ttl)
		in.mu.Lock()
		defer in.mu.Unlock()
		if len(in.tries) < 10 {
			t.Errorf("tried %d times", len(in.tries))
		}
		for i := 1; i < len(in.tries); i++ {
			if gap := in.tries[i].Sub(in.tries[i-1]); gap > ttl/20 {
				t.Errorf("tried again after %v", gap)
			}
		}
	})
}

// TestOwner_OneLogFails: partitions whose log does not answer do not keep the others from being hosted.
func TestOwner_OneLogFails(t *testing.T) {
	natstest.InBubble(t, func(t *testing.T) {
		a := newNode(t, bucketServer(t), "a")
		a.host.failOwn, a.host.failFrom = errors.New("the log does not answer"), testPartitions/2
		a.run(t)
		time.Sleep(5 * time.Second)
		if got := a.host.count(); got != testPartitions/2 {
			t.Errorf("hosts %d partitions, want those of the log that answers", got)
		}
		a.host.mu.Lock()
		a.host.failOwn = nil
		a.host.mu.Unlock()
		<-a.Ready()
		if c := a.host.claims(); len(c) != testPartitions || c[0].Epoch != 1 {
			t.Errorf("got claims %+v, want all in epoch 1", c)
		}
	})
}
