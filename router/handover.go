package router

import (
	"context"
	"errors"

	"github.com/perdure/perdure/actor"
)

// handover is how the giving away of a partition ended.
type handover struct {
	partition int
	to        string
	outcome   handoverOutcome
}

type handoverOutcome int

const (
	handoverDone    handoverOutcome = iota
	handoverDoubt                   // turns did not finish in time: it is ours still, and hosted by nobody
	handoverUnknown                 // its record may be somebody else's
)

// rebalance begins to hand over what belongs to other nodes. Nothing waits for it: the rest is served meanwhile.
func (s *session) rebalance() {
	homes, _, whole := s.places()
	if !whole || s.left() == 0 {
		return
	}
	now := s.now().Mono
	for _, p := range s.partitions() {
		h := s.held[p]
		if to := homes.home(p, h.record.Types); to != s.self.node && h.hosted && !h.moving && now >= h.stays {
			s.handOver(h, to)
		}
	}
}

// handOver begins to give a partition to another node, to whoever it belongs to if that is empty.
func (s *session) handOver(h *holding, to string) {
	h.moving = true
	record := h.record
	s.handovers.Go(func() {
		s.given <- handover{record.Partition, to, s.give(s.giving, record, to)}
	})
}

// give has the host finish its turns and then says in the record that the partition is free.
func (s *session) give(ctx context.Context, r Record, to string) handoverOutcome {
	finished, ok := s.release(ctx, r.Partition)
	if !ok {
		return handoverDoubt
	}
	r.Checkpoint, r.Released, r.Successor = finished, true, to
	for ctx.Err() == nil {
		s.writing <- struct{}{}
		_, err := s.put(ctx, r)
		<-s.writing
		if err == nil {
			return handoverDone
		}
		there, err := s.cfg.Records.Get(ctx, r.Partition)
		switch {
		case err != nil && !errors.Is(err, ErrBadRecord):
		case err == nil && (there.Session != r.Session || there.Epoch > r.Epoch):
			return handoverUnknown
		case err == nil && there.Released:
			s.view.learn(there)
			return handoverDone
		case there.Revision != r.Revision: // a checkpoint of ours, unheard of, or a stranger's
			r.Revision = there.Revision
			continue
		}
		pause(ctx, s.interval())
	}
	return handoverUnknown
}

// release returns what the host has finished of a partition. It is false when some turn did not end in time: then
// others may take it only as they take a dead node's.
func (s *session) release(ctx context.Context, partition int) (actor.Checkpoint, bool) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.LeaveTimeout)
	defer cancel()
	finished, err := s.cfg.Host.Release(ctx, []int{partition})
	if err != nil {
		s.cfg.Log.WarnContext(ctx, "turns did not finish in time", "partition", partition, "error", err)
	}
	c, ok := finished[partition]
	return c, ok
}

// handedOver acts on the end of a hand-over.
func (s *session) handedOver(ctx context.Context, end handover) {
	h := s.held[end.partition]
	if h == nil {
		return
	}
	h.moving = false
	switch end.outcome {
	case handoverDone:
		delete(s.held, end.partition)
		s.moved[end.to]++
	case handoverDoubt:
		h.hosted, h.unclean = false, true
		h.stays = s.now().Mono + s.cfg.TTL
	case handoverUnknown:
		h.hosted, h.unclean = false, true
		if !s.leaving.Load() { // servers that are gone would be asked for each of them
			s.reread(ctx, []int{end.partition})
		}
	}
	for _, h := range s.held {
		if h.moving {
			return
		}
	}
	s.publish(s.held)
	s.cfg.Log.InfoContext(ctx, "handed over partitions", "to", s.moved, "held", len(s.held), "of", s.cfg.Partitions)
	clear(s.moved)
}
