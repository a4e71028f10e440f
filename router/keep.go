package router

import (
	"context"
	"errors"

	"github.com/perdure/perdure/actor"
)

// checkpoint writes what the host has finished, where that is due.
func (s *session) checkpoint(ctx context.Context) {
	if s.left() == 0 {
		return // they would only time out
	}
	now := s.now().Mono
	var next []Record
	var doubt []int
	for _, p := range s.partitions() {
		h := s.held[p]
		if !h.hosted || h.moving {
			continue
		}
		c, ok := s.cfg.Host.Checkpoint(p)
		switch {
		case !ok: // the host found another owner's records
			h.hosted, h.unclean = false, true
			doubt = append(doubt, p)
		case h.rewrite || due(h.record.Checkpoint, c, now-h.written):
			next = append(next, h.record.with(c))
		}
	}
	s.reread(ctx, append(doubt, s.write(ctx, next)...))
}

func (r Record) with(c actor.Checkpoint) Record {
	r.Checkpoint = c
	return r
}

// write writes records of partitions that are held. It returns those that are not at the revision that we know.
func (s *session) write(ctx context.Context, records []Record) []int {
	bounded, cancel := context.WithTimeout(ctx, s.cfg.TTL)
	defer cancel()
	errs := make([]error, len(records))
	inParallel(len(records), func(i int) { records[i], errs[i] = s.put(bounded, records[i]) })
	var conflicts []int
	var trouble error
	for i, r := range records {
		switch {
		case errs[i] == nil:
			h := s.held[r.Partition]
			h.record, h.written, h.rewrite = r, s.now().Mono, false
		case errors.Is(errs[i], ErrConflict):
			conflicts = append(conflicts, r.Partition)
		default: // perhaps written: then the next try is a conflict
			trouble = errs[i]
		}
	}
	if len(records) > 0 {
		s.trouble.about(ctx, "write checkpoints", trouble)
	}
	return conflicts
}

// reread settles whether partitions are still ours, as far as the servers answer.
func (s *session) reread(ctx context.Context, partitions []int) {
	for _, p := range partitions {
		r, err := s.cfg.Records.Get(ctx, p)
		if err == nil || errors.Is(err, ErrBadRecord) {
			s.settle(ctx, s.held[p], r)
		}
	}
}

// trim forgets what no partition needs of the inbox: everything up to the lowest cursor. The stream remembers its last
// sequence when it is empty, also across kill -9.
func (s *session) trim(ctx context.Context) {
	lowest := lowestCursor(s.view.snapshot(), s.cfg.Partitions)
	if lowest <= s.trimmed || len(s.held) == 0 || s.left() == 0 {
		return
	}
	err := s.cfg.Inbox.Trim(ctx, lowest+1)
	s.trouble.about(ctx, "trim the inbox", err)
	if err == nil {
		s.trimmed = lowest
	}
}
