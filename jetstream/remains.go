package jetstream

import (
	"context"
	"errors"
	"fmt"

	"github.com/perdure/perdure/actor"
)

// Remains removes what is left of purged runs. It implements [actor.Remains].
type Remains struct {
	store *Store
	log   *Log
}

var _ actor.Remains = (*Remains)(nil)

// Remains returns what removes the remains of runs whose log is log.
func (s *Store) Remains(log *Log) *Remains { return &Remains{s, log} }

// Sweep implements [actor.Remains]. What the index of the log does not name any more, and chunks, are found by walking
// their subject, which reads every block of the stream in between.
func (r *Remains) Sweep(ctx context.Context, addr actor.Address, seq uint64, streams []string) error {
	ends := make([]uint64, len(streams))
	for i, name := range streams {
		last, err := r.store.get(ctx, r.store.names.OutStream(), getRequest{LastFor: r.store.names.Out(addr, name)})
		if err != nil && !errors.Is(err, errNoMessage) {
			return fmt.Errorf("look up stream %s of %s: %w", name, addr, err)
		}
		if err == nil {
			ends[i] = last.Seq
		}
	}
	// While the record is there, no run has followed: what was found until now is the old one's.
	stream, subject, p := r.log.place(addr)
	switch m, err := r.store.get(ctx, stream, getRequest{Seq: seq}); {
	case errors.Is(err, errNoMessage), err == nil && m.Subject != subject:
		return nil
	case err != nil:
		return fmt.Errorf("read log of %s at seq %d: %w", addr, seq, err)
	}
	for i, name := range streams {
		out := r.store.names.OutStream()
		err := r.walk(ctx, out, r.store.names.Out(addr, name), ends[i]+1, func(m *stored) error { return r.store.remove(ctx, out, m.Seq) })
		if err != nil {
			return fmt.Errorf("remove stream %s of %s: %w", name, addr, err)
		}
	}
	var page subjectsPage
	if err := r.store.ask(ctx, "STREAM.INFO."+stream, subjectsRequest{subject, 0}, &page); err != nil {
		return fmt.Errorf("count records of %s: %w", addr, err)
	}
	if page.State.Subjects[subject] > 1 {
		if err := r.walk(ctx, stream, subject, seq, func(m *stored) error { return r.removeRecord(ctx, addr, m) }); err != nil {
			return fmt.Errorf("remove records of %s: %w", addr, err)
		}
	}
	attempts, err := r.log.Attempts(ctx, p, addr)
	for _, a := range attempts[addr] {
		err = errors.Join(err, r.log.RemoveAttempt(ctx, addr, a, seq))
	}
	return err
}

// removeRecord removes a message of the object's log that is perhaps no record: it may name parts that are not the object's.
func (r *Remains) removeRecord(ctx context.Context, addr actor.Address, m *stored) error {
	parts, err := parseManifest(m.Data)
	if m.Header.Get(HeaderBlobs) == "" || err != nil {
		return r.log.Remove(ctx, addr, m.Seq)
	}
	stream, _, p := r.log.place(addr)
	own := r.store.names.Blob(p, addr, parts.Parts)
	for _, seq := range parts.Blobs {
		part, err := r.store.get(ctx, r.store.names.BlobsStream(), getRequest{Seq: seq})
		switch {
		case err == nil && part.Subject != own:
			return r.store.remove(ctx, stream, m.Seq)
		case err != nil && !errors.Is(err, errNoMessage):
			return fmt.Errorf("read part %d: %w", seq, err)
		}
	}
	return r.log.Remove(ctx, addr, m.Seq)
}

// walk removes the messages of a subject below end, the oldest first.
func (r *Remains) walk(ctx context.Context, stream, subject string, end uint64, remove func(m *stored) error) error {
	for from := uint64(1); from < end; {
		m, err := r.store.get(ctx, stream, getRequest{Seq: from, NextFor: subject})
		if errors.Is(err, errNoMessage) || err == nil && m.Seq >= end {
			return nil
		}
		if err == nil {
			err = remove(m)
		}
		if err != nil {
			return err
		}
		from = m.Seq + 1
	}
	return nil
}
