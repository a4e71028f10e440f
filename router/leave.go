package router

import (
	"context"
	"time"
)

// leave hands over all partitions, while the lease is still renewed: the host finishes its turns, then the records
// say that they are free, and for whom. What is in doubt is not released: others wait for it as for a dead node's.
func (s *session) leave(ctx context.Context) {
	s.leaving.Store(true)
	s.announce()
	enough := time.AfterFunc(2*s.cfg.LeaveTimeout, s.giveUp)
	defer enough.Stop()
	others, _, _ := s.others()
	homes := place(others)
	underWay := 0
	for _, p := range s.partitions() {
		h := s.held[p]
		if h.hosted && !h.moving {
			s.handOver(h, homes.home(p, h.record.Types))
		}
		if h.moving {
			underWay++
		}
	}
	for range underWay {
		s.handedOver(ctx, <-s.given)
	}
	if left := len(s.held); left > 0 {
		s.cfg.Log.WarnContext(ctx, "partitions are left to lapse with the lease", "partitions", left)
	}
	s.publish(nil)
}
