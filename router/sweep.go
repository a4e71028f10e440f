package router

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// readAll reads every record, however long the servers take to answer. A record that is not readable is given a TTL,
// in which a living owner would write it again.
func (s *session) readAll(ctx context.Context) error {
	all := make([]int, s.cfg.Partitions)
	for p := range all {
		all[p] = p
	}
	deadline := s.now().Mono + s.cfg.TTL
	for ctx.Err() == nil {
		err := s.read(ctx, all)
		if err == nil || errors.Is(err, ErrBadRecord) && s.now().Mono > deadline {
			return err
		}
		pause(ctx, s.interval())
	}
	return nil
}

// read reads records into the view. Its error is the first that it met, [ErrBadRecord] last.
func (s *session) read(ctx context.Context, partitions []int) error {
	errs := make([]error, len(partitions))
	inParallel(len(partitions), func(i int) {
		r, err := s.cfg.Records.Get(ctx, partitions[i])
		if err == nil || errors.Is(err, ErrBadRecord) {
			s.view.learn(r)
		}
		if err != nil {
			errs[i] = fmt.Errorf("read record of partition %d: %w", partitions[i], err)
		}
	})
	first := slices.IndexFunc(errs, func(err error) bool { return err != nil && !errors.Is(err, ErrBadRecord) })
	if first < 0 {
		first = slices.IndexFunc(errs, func(err error) bool { return err != nil })
	}
	if first < 0 {
		s.trouble.about(ctx, "read partitions", nil)
		return nil
	}
	s.trouble.about(ctx, "read partitions", errs[first])
	return errs[first]
}

// sweep reads what others own and whether they live, in case a watch is late.
func (s *session) sweep(ctx context.Context) {
	var others []int
	for p := range s.cfg.Partitions {
		if s.held[p] == nil {
			others = append(others, p)
		}
	}
	_ = s.read(ctx, others) // said in the log; the next sweep tries again
	for _, known := range s.view.known() {
		if known.Node == s.self.node {
			continue
		}
		there, err := s.cfg.Leases.Get(ctx, known.Node)
		switch {
		case err != nil:
		case there.Revision == 0:
			s.view.vanished(known)
		default:
			s.view.see(there, s.now().Mono)
			if there.Session != "" && s.left() > 0 && s.view.silent(there.Session, there.TTL, s.now().Mono) == 0 {
				s.confirmDead(ctx, there.Node, there.Session) // the bucket keeps it for longer
			}
		}
	}
	s.view.prune()
}
