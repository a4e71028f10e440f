package jetstream_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/perdure/perdure/internal/natstest"
	"github.com/perdure/perdure/router"
)

// TestOwner_LeasesUnanswered is TestOwner_Leaderless with requests that are lost on their way, as they are while servers
// have not noticed that a leader is gone.
func TestOwner_LeasesUnanswered(t *testing.T) {
	for _, tc := range []struct{ length, apart int }{ // in milliseconds
		{6100, 650}, {6300, 650}, {6700, 450}, {6900, 250}, {6900, 450}, {8100, 650},
	} {
		length, apart := time.Duration(tc.length)*time.Millisecond, time.Duration(tc.apart)*time.Millisecond
		t.Run(fmt.Sprintf("%v apart %v", length, apart), func(t *testing.T) {
			natstest.InBubble(t, func(t *testing.T) {
				s := bucketServer(t)
				la, lb := dialBuckets(t, s), dialBuckets(t, s)
				a := newNode(t, s, "a", func(c *router.Config) { c.Leases = la.leases(t) }).runReady(t)
				time.Sleep(apart)
				b := newNode(t, s, "b", func(c *router.Config) { c.Leases = lb.leases(t) }).runReady(t)
				time.Sleep(time.Minute + 50*time.Millisecond) // b renewed 50 ms ago, a longer ago by what they are apart
				sessions := []string{a.Status().Session, b.Status().Session}
				loseFor(length, la, lb)
				time.Sleep(3 * ttl)
				for i, n := range []*node{a, b} {
					_, dropped := n.host.told()
					if st := n.Status(); st.Session != sessions[i] || len(dropped) > 0 {
						t.Errorf("%s was taken for dead: dropped %v", st.Node, dropped)
					}
				}
			})
		})
	}
}

// TestOwner_TTLsUnanswered: a node whose trust outlives the time in which nobody could renew does not take one with a
// shorter TTL for dead.
func TestOwner_TTLsUnanswered(t *testing.T) {
	for _, ms := range []int{1240, 1550, 1860, 3410} {
		apart := time.Duration(ms) * time.Millisecond
		t.Run(fmt.Sprint(apart), func(t *testing.T) {
			natstest.InBubble(t, func(t *testing.T) {
				s := bucketServerFor(t, 24*ttl)
				la, lb := dialBuckets(t, s), dialBuckets(t, s)
				newNode(t, s, "a", func(c *router.Config) { c.Leases, c.TTL = la.leases(t), 6*ttl }).runReady(t)
				time.Sleep(apart)
				b := newNode(t, s, "b", func(c *router.Config) { c.Leases = lb.leases(t) }).runReady(t)
				time.Sleep(time.Minute + 50*time.Millisecond)
				session := b.Status().Session
				loseFor(8*time.Second, la, lb)
				time.Sleep(3 * ttl)
				if b.Status().Session != session {
					t.Error("the node with the short TTL was taken for dead")
				}
			})
		})
	}
}

// TestOwner_RecordsUnanswered has the leader of the records go together with an owner: another node takes its partitions as
// soon as there is a leader.
func TestOwner_RecordsUnanswered(t *testing.T) {
	for _, ms := range []int{5200, 5800, 6400, 6900, 7500} {
		length := time.Duration(ms) * time.Millisecond
		t.Run(fmt.Sprint(length), func(t *testing.T) {
			natstest.InBubble(t, func(t *testing.T) {
				s := bucketServer(t)
				records := dialBuckets(t, s)
				a := newNode(t, s, "a").runReady(t)
				time.Sleep(300 * time.Millisecond)
				b := newNode(t, s, "b", func(c *router.Config) { c.Records = records.partitions(t) }).runReady(t)
				time.Sleep(time.Minute + 50*time.Millisecond)
				a.wire.Cut()
				cut := time.Now()
				loseFor(length, records)
				for b.host.count() < testPartitions && time.Since(cut) < 6*ttl {
					time.Sleep(10 * time.Millisecond)
				}
				if late := time.Since(cut) - length; late > 600*time.Millisecond {
					t.Errorf("has %d partitions %v after there is a leader", b.host.count(), late)
				}
			})
		})
	}
}

// loseFor has requests be lost for a while.
func loseFor(d time.Duration, links ...*link) {
	for _, l := range links {
		l.wire.Lose()
	}
	time.Sleep(d)
	for _, l := range links {
		l.wire.Mend()
	}
}

// slow is leases in a replicated bucket that takes its time to write: meanwhile it answers other writes with a conflict.
type slow struct {
	router.Leases
	takes time.Duration

	mu      sync.Mutex
	writing bool
}

func (s *slow) Renew(ctx context.Context, lease router.Lease) (uint64, error) {
	s.mu.Lock()
	busy := s.writing
	s.writing = true
	s.mu.Unlock()
	if busy {
		return 0, router.ErrConflict
	}
	type answer struct {
		revision uint64
		err      error
	}
	answers := make(chan answer, 1)
	time.AfterFunc(s.takes, func() { // also when nobody waits for it any more
		revision, err := s.Leases.Renew(context.WithoutCancel(ctx), lease)
		s.mu.Lock()
		s.writing = false
		s.mu.Unlock()
		answers <- answer{revision, err}
	})
	select {
	case a := <-answers:
		return a.revision, a.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// TestOwner_SlowRenewals: a renewal that takes longer than nodes wait before they repeat it is one.
func TestOwner_SlowRenewals(t *testing.T) {
	for _, takes := range []time.Duration{250 * time.Millisecond, 650 * time.Millisecond, 900 * time.Millisecond} {
		t.Run(takes.String(), func(t *testing.T) {
			natstest.InBubble(t, func(t *testing.T) {
				a := newNode(t, bucketServer(t), "a", func(c *router.Config) { c.Leases = &slow{Leases: c.Leases, takes: takes} }).runReady(t)
				time.Sleep(time.Minute)
				trust, dropped := a.host.told()
				if diff := cmp.Diff(trust, []bool{true}); diff != "" || len(dropped) > 0 {
					t.Errorf("dropped %v; trust: %s", dropped, diff)
				}
			})
		})
	}
}
