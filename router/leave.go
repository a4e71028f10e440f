package router

import (
	"context"
	"slices"

	"github.com/perdure/perdure/actor"
)

// leave hands over all partitions, while the lease is still renewed: the host finishes its turns, then the records
// say that they are free. What is in doubt is not released: others wait for it as for a dead node's.
func (s *session) leave(ctx context.Context) {
	hosted := slices.DeleteFunc(s.partitions(), func(p int) bool { return !s.held[p].hosted })
	if len(hosted) == 0 {
		return
	}
	finished := s.release(ctx, hosted)
	var records []Record
	for p, c := range finished {
		r := s.held[p].record.with(c)
		r.Released = true
		records = append(records, r)
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.LeaveTimeout)
	defer cancel()
	// The second try is for records that an unheard write of ours has moved on.
	if again := s.write(ctx, records); len(again) > 0 {
		s.reread(ctx, again)
		var second []Record
		for _, p := range again {
			if h := s.held[p]; h != nil && !h.record.Released {
				r := h.record.with(finished[p])
				r.Released = true
				second = append(second, r)
			}
		}
		s.write(ctx, second)
	}
	released := 0
	for _, h := range s.held {
		if h.record.Released {
			released++
		}
	}
	s.cfg.Log.InfoContext(ctx, "handed over", "released", released, "left_to_lapse", len(s.held)-released)
	s.publish(nil)
}

func (s *session) release(ctx context.Context, partitions []int) map[int]actor.Checkpoint {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.LeaveTimeout)
	defer cancel()
	finished, err := s.cfg.Host.Release(ctx, partitions)
	if err != nil {
		s.cfg.Log.WarnContext(ctx, "some turns did not finish in time", "finished", len(finished), "of", len(partitions), "error", err)
	}
	return finished
}
