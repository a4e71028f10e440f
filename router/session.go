package router

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/perdure/perdure/actor"
)

// session is the life of one lease:
//
//	acquire → work → leave → lease deleted
//	             ↘ lost: everything dropped, the owner begins another session
//
// The goroutine that calls run owns held. The renewer owns lease while it runs;
// the requests that it has under way only read it.
type session struct {
	*Owner
	self    identity
	lease   Lease
	failed  bool          // the last renewal did; only the renewer looks
	renewed chan struct{} // gets a value when trust begins anew
	held    map[int]*holding
	free    map[int]time.Duration // partitions that nobody has, and since when they are seen so
	passed  map[int]int           // how often the node to which a partition belongs did not claim it, in a row
	idle    bool                  // said that others own the partitions
	retry   time.Duration         // when to try again what failed, on the monotonic clock
	beyond  time.Duration         // since when a cursor was beyond the end of the inbox at each look, on the monotonic clock; 0: it was not
	trimmed uint64                // the inbox is, below this

	leaving   atomic.Bool
	giving    context.Context //nolint:containedctx // ends hand-overs, which outlive the work that begins them
	giveUp    context.CancelFunc
	handovers sync.WaitGroup
	given     chan handover  // ends of hand-overs, at most one a partition
	writing   chan struct{}  // bounds the hand-overs that write
	moved     map[string]int // what was handed over and not said, by node
}

// holding is a partition that the session has claimed.
type holding struct {
	record  Record        // as last written
	written time.Duration // when its checkpoint was
	unclean bool
	hosted  bool          // the host has taken it
	rewrite bool          // its record is to be written in any case
	moving  bool          // being handed over: the record is not ours to write
	stays   time.Duration // it is not handed over before, on the monotonic clock
}

func newSession(o *Owner, first bool) *session {
	id := uuid.NewString()
	return &session{
		Owner:   o,
		self:    identity{node: o.cfg.Node, session: id, ttl: millis(o.cfg.TTL), exclusive: o.cfg.Exclusive && first},
		lease:   Lease{Node: o.cfg.Node, Session: id, Address: o.cfg.Address, Types: o.cfg.Types, Since: time.Now().UTC(), TTL: millis(o.cfg.TTL)},
		renewed: make(chan struct{}, 1),
		held:    map[int]*holding{},
		free:    map[int]time.Duration{},
		passed:  map[int]int{},
		given:   make(chan handover, o.cfg.Partitions),
		writing: make(chan struct{}, parallel),
		moved:   map[string]int{},
	}
}

// run lives the session. It returns nil when ctx ended, errSessionLost when the lease was lost, or what Run returns.
func (s *session) run(ctx context.Context) error {
	if err := s.acquire(ctx); err != nil {
		if ctx.Err() != nil {
			return nil // told to stop before there was anything to hand over
		}
		return err
	}
	s.publish(s.held)
	s.cfg.Host.SetTrusted(true)
	defer s.cfg.Host.SetTrusted(false)

	// The lease lives on while the node leaves.
	alive, end := context.WithCancelCause(context.WithoutCancel(ctx))
	s.giving, s.giveUp = context.WithCancel(alive)
	var keepers sync.WaitGroup
	s.view.blank() // a bucket that was made anew counts from the beginning
	keepers.Go(func() {
		s.watch(alive, "watch leases", func(ctx context.Context) error {
			return s.cfg.Leases.Watch(ctx, func(l Lease) { s.view.see(l, s.now().Mono) }, s.view.complete)
		})
	})
	keepers.Go(func() { s.guard(alive) })
	keepers.Go(func() {
		if err := s.renew(alive); err != nil {
			s.setTrust(Trust{})
			end(err)
		}
	})
	working, stop := context.WithCancel(alive)
	unlink := context.AfterFunc(ctx, stop)
	err := s.work(working)
	unlink()
	stop()
	if alive.Err() == nil {
		s.leave(alive)
	}
	end(nil)
	s.giveUp()
	s.handovers.Wait()
	keepers.Wait()
	s.setTrust(Trust{})
	if cause := context.Cause(alive); errors.Is(cause, errSessionLost) {
		s.forget(ctx, cause)
		return cause
	}
	s.surrender(context.WithoutCancel(ctx))
	return err
}

// forget drops everything after the lease was lost.
func (s *session) forget(ctx context.Context, cause error) {
	s.cfg.Log.WarnContext(ctx, "dropping all partitions", "session", s.self.session, "partitions", len(s.held), "cause", cause)
	s.cfg.Host.SetTrusted(false)
	s.cfg.Host.Drop(s.partitions())
	s.view.bury(s.self.session)
	s.view.restart(s.now().Mono) // others may have renewed, unseen, in a bucket that is gone
	s.publish(nil)
}

// work claims, checkpoints and trims until ctx ends or it meets an error that waiting does not cure.
func (s *session) work(ctx context.Context) error {
	if err := s.readAll(ctx); err != nil {
		return err
	}
	sweep := time.NewTicker(s.interval())
	defer sweep.Stop()
	write := time.NewTicker(checkpointEvery)
	defer write.Stop()
	for ctx.Err() == nil {
		s.notice(ctx)
		again, err := s.take(ctx)
		if err != nil {
			return err
		}
		s.rebalance()
		wake := time.NewTimer(again)
		select {
		case <-ctx.Done():
		case <-wake.C:
		case <-s.view.changed:
		case end := <-s.given:
			s.handedOver(ctx, end)
		case <-write.C:
			s.checkpoint(ctx)
			s.trim(ctx)
		case <-sweep.C:
			s.sweep(ctx)
		}
		wake.Stop()
	}
	return nil
}

// notice compares what is held with what the watch says: a write of ours that we did not hear of, or another owner.
func (s *session) notice(ctx context.Context) {
	for p, h := range s.held {
		r := s.view.record(p)
		if r.Revision > h.record.Revision && !h.moving {
			s.settle(ctx, h, r)
		}
	}
}

// settle acts on a newer record of a partition that is held.
func (s *session) settle(ctx context.Context, h *holding, r Record) {
	switch {
	case r.Session == s.self.session && r.Epoch == h.record.Epoch:
		h.record = r // a write of ours, unheard of
	case r.Epoch < h.record.Epoch:
		// Epochs only grow: this is not a node's. What the record said is known here.
		s.cfg.Log.WarnContext(ctx, "record overwritten by a stranger: writing it again", "partition", h.record.Partition, "revision", r.Revision)
		h.record.Revision = r.Revision
		h.rewrite = true
	default:
		s.view.learn(r)
		s.drop(ctx, r)
	}
}

// drop forgets a partition whose record says that it is not ours any more.
func (s *session) drop(ctx context.Context, now Record) {
	s.cfg.Log.WarnContext(ctx, "partition lost to another owner", "partition", now.Partition,
		"epoch", s.held[now.Partition].record.Epoch, "owner", now.Node, "owner_epoch", now.Epoch)
	s.cfg.Host.Drop([]int{now.Partition})
	delete(s.held, now.Partition)
	s.publish(s.held)
}

// partitions returns what is held, in order.
func (s *session) partitions() []int {
	ps := make([]int, 0, len(s.held))
	for p := range s.held {
		ps = append(ps, p)
	}
	slices.Sort(ps)
	return ps
}

// publish makes what is held visible in the status.
func (s *session) publish(held map[int]*holding) {
	epochs := make(map[int]uint64, len(held))
	for p, h := range held {
		epochs[p] = h.record.Epoch
	}
	s.setStatus(s.self.session, epochs)
}

func (s *session) hold(w wanted) {
	h := &holding{record: w.record, written: s.now().Mono, unclean: w.unclean}
	if w.released {
		// Whoever released it knew more: that it leaves, perhaps. Else it would go to and fro until we know, too.
		h.stays = h.written + s.interval()
	}
	since, waited := s.free[w.record.Partition]
	switch {
	case !w.guest:
		delete(s.passed, w.record.Partition)
	case waited && h.written-since >= s.cfg.TTL:
		h.stays = h.written + s.keep(w.record.Partition)
	}
	s.held[w.record.Partition] = h
}

func (h *holding) claim() actor.Claim { return h.record.claim(h.unclean) }
