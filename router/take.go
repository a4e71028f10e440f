package router

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/perdure/perdure/actor"
)

// wanted is a record that may be claimed, as it will read when it is.
type wanted struct {
	record   Record
	unclean  bool
	released bool // its owner gave it back
	guest    bool // it belongs to another node
}

// take claims what may be claimed and has it hosted, all together. It returns how long nothing is expected to
// change by itself, and an error that waiting does not cure.
func (s *session) take(ctx context.Context) (time.Duration, error) {
	switch {
	case s.left() == 0:
		s.beyond = 0 // nobody looks
		return s.again(), nil
	case s.now().Mono < s.retry:
		return s.retry - s.now().Mono, nil
	}
	found, again, whole := s.claimable(ctx)
	if !whole {
		return again, nil
	}
	claimErr := s.claim(ctx, found)
	if inbox := (*InboxError)(nil); errors.As(claimErr, &inbox) {
		return 0, claimErr
	}
	if hostErr := s.host(ctx); claimErr != nil || hostErr != nil {
		s.retry = s.now().Mono + s.again()
		return s.again(), nil //nolint:nilerr // said by claim and host; it is tried again
	}
	s.standBy(ctx)
	if ctx.Err() == nil {
		s.looked.Do(func() { close(s.ready) })
	}
	return again, nil
}

// claimable returns what may be claimed now, and how long until that may change by itself. whole is false while not
// all living nodes are known: then it is nothing.
func (s *session) claimable(ctx context.Context) (found []wanted, again time.Duration, whole bool) {
	homes, next, whole := s.places()
	again = min(next, s.interval())
	if !whole {
		return nil, again, false
	}
	dead := map[string]bool{} // by session: confirmed
	now := s.now().Mono
	for p := range s.cfg.Partitions {
		if s.held[p] != nil {
			delete(s.free, p)
			continue
		}
		r := s.view.record(p)
		r.Partition = p
		home := homes.home(p, r.Types)
		silent := again
		if r.Session != "" && !r.Released {
			silent = s.view.silent(r.Session, r.TTL, now)
		}
		stance := judge(r, s.self, silent)
		switch {
		case stance == stanceWait:
			delete(s.free, p)
			if r.Node == home {
				delete(s.passed, p)
			}
			again = min(again, silent)
			continue
		case stance == stanceOurs:
		case !s.entitled(r, home, now):
			continue
		case stance == stanceUnclean:
			if _, asked := dead[r.Session]; !asked {
				dead[r.Session] = s.confirmDead(ctx, r.Node, r.Session)
			}
			if !dead[r.Session] {
				continue
			}
		}
		found = append(found, wanted{r, stance != stanceClaim, r.Released, home != s.self.node})
	}
	return found, again, true
}

// entitled reports whether a partition that nobody has is for this node to claim: it belongs here, was released to this
// node, or the node that it belongs to has not claimed it for a TTL.
func (s *session) entitled(r Record, home string, now time.Duration) bool {
	since, noticed := s.free[r.Partition]
	if !noticed {
		s.free[r.Partition], since = now, now
	}
	return home == s.self.node || r.Released && r.Successor == s.self.node || now-since >= s.cfg.TTL
}

// keep returns for how long a partition stays here that the node to which it belongs did not claim for a TTL: a TTL, in
// case that node was only slow to start, and twice as long each further time that it does not claim it, up to 16 TTLs.
func (s *session) keep(partition int) time.Duration {
	times := s.passed[partition]
	s.passed[partition] = min(times+1, 4)
	return s.cfg.TTL << times
}

// claim claims records. What it did not get is looked at again when its record is known.
func (s *session) claim(ctx context.Context, found []wanted) error {
	if len(found) == 0 {
		s.beyond = 0
		return nil
	}
	inbox, err := s.cfg.Inbox.Bounds(ctx)
	s.trouble.about(ctx, "read the bounds of the inbox", err)
	if err != nil {
		return err
	}
	if err := s.fits(ctx, found, inbox); err != nil {
		return err
	}
	since := time.Now().UTC()
	errs := make([]error, len(found))
	inParallel(len(found), func(i int) {
		if found[i].released || found[i].record.Session != s.self.session { // else claimed already
			found[i].record, errs[i] = s.put(ctx, found[i].record.claimed(s.self, since, inbox.Incarnation))
		}
	})
	var again []int
	for i, err := range errs {
		if err != nil {
			again = append(again, found[i].record.Partition)
			continue
		}
		s.hold(found[i])
	}
	s.publish(s.held)
	if len(again) == 0 {
		s.trouble.about(ctx, "claim partitions", nil)
		return nil
	}
	if i := slices.IndexFunc(errs, func(err error) bool { return err != nil && !errors.Is(err, ErrConflict) }); i >= 0 {
		s.trouble.about(ctx, "claim partitions", errs[i])
		return errors.Join(errs[i], s.read(ctx, again))
	}
	return s.read(ctx, again)
}

// fits returns an [*InboxError] when a record's cursor is not a position in the inbox, and another error while that may only be
// what a server says that does not know better.
func (s *session) fits(ctx context.Context, found []wanted, inbox actor.InboxBounds) error {
	for _, w := range found {
		err := checkInbox(w.record, inbox)
		if err == nil {
			continue
		}
		now := s.now().Mono
		if s.beyond == 0 {
			s.beyond = now
		}
		if now-s.beyond < s.cfg.Stale && w.record.Incarnation == inbox.Incarnation {
			err = errors.New(err.Error()) // not yet an [*InboxError]
			s.trouble.about(ctx, "claim partitions", err)
		}
		return err
	}
	s.beyond = 0
	return nil
}

// put writes a record and returns it as it then stands in the bucket.
func (s *session) put(ctx context.Context, r Record) (Record, error) {
	revision, err := s.cfg.Records.Put(ctx, r)
	if err != nil {
		return r, fmt.Errorf("write record of partition %d: %w", r.Partition, err)
	}
	r.Revision = revision
	s.view.learn(r)
	return r, nil
}

// host gives the host what is held and not hosted, each log stream's partitions by themselves: those of a stream that has
// no leader yet do not hold up the others.
func (s *session) host(ctx context.Context) error {
	var groups [][]*holding
	at := map[int]int{} // by log stream
	for _, p := range s.partitions() {
		h := s.held[p]
		if h.hosted {
			continue
		}
		stream := s.cfg.LogStream(p)
		if _, ok := at[stream]; !ok {
			at[stream] = len(groups)
			groups = append(groups, nil)
		}
		groups[at[stream]] = append(groups[at[stream]], h)
	}
	if len(groups) == 0 {
		return nil
	}
	errs := make([]error, len(groups))
	inParallel(len(groups), func(i int) { errs[i] = s.own(ctx, groups[i]) })
	taken := 0
	for i, group := range groups {
		for _, h := range group {
			if h.hosted = errs[i] == nil; h.hosted {
				taken++
			}
		}
	}
	err := errors.Join(errs...)
	s.trouble.about(ctx, "host the partitions claimed", err)
	if taken > 0 {
		s.cfg.Log.InfoContext(ctx, "hosting partitions", "taken", taken, "held", len(s.held), "of", s.cfg.Partitions)
	}
	return err
}

// own gives the host partitions, all or none.
func (s *session) own(ctx context.Context, group []*holding) error {
	claims, partitions := make([]actor.Claim, len(group)), make([]int, len(group))
	for i, h := range group {
		claims[i], partitions[i] = h.claim(), h.record.Partition
	}
	err := s.cfg.Host.Own(ctx, claims)
	if err != nil {
		s.cfg.Host.Drop(partitions)
	}
	return err
}

// standBy says, once, that others own everything.
func (s *session) standBy(ctx context.Context) {
	if len(s.held) > 0 || ctx.Err() != nil {
		s.idle = false
		return
	}
	homes, _, _ := s.places()
	owners := map[string]int{}
	for _, r := range s.view.snapshot() {
		if homes.home(r.Partition, r.Types) == s.self.node {
			s.idle = false
			return
		}
		owners[r.Node]++
	}
	if s.idle {
		return
	}
	s.idle = true
	s.cfg.Log.InfoContext(ctx, "standing by: other nodes own all partitions", "partitions_by_node", owners)
}
