package actor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// StateAt returns an object's state as it was after the record with log sequence seq, or after the last one before it, as
// JSON: null before the first. Of a run function it is the last checkpoint, null before that. It has the version that it was recorded in.
//
// It reads one record in 32 between there and the end of the log, and at most 19 that make the state; it blocks until then. Runs under one key
// are one log. Errors: [ErrNotFound] when there is no record at or before seq, or when what the state needs was trimmed;
// [ErrUnavailable] when the last message is no record, which its owner finds out at the next call.
func StateAt(ctx context.Context, log RecordLog, addr Address, seq uint64) (json.RawMessage, error) {
	last, err := log.Last(ctx, addr)
	if errors.Is(err, ErrNoRecord) {
		return nil, Errorf(CodeNotFound, "%s has no records", addr)
	}
	if err != nil {
		return nil, err
	}
	r := recordReader{log: log, addr: addr}
	newest, err := r.decode(last)
	if last.Foreign || err == nil && newest.Run != addr.String() {
		return nil, Errorf(CodeUnavailable, "the last message in the log of %s, %d, is no record", addr, last.Seq)
	}
	if err != nil {
		return nil, err
	}
	state, err := r.stateAt(ctx, newest, seq)
	if errors.Is(err, ErrNoRecord) && newest.Kept != nil {
		return nil, Errorf(CodeNotFound, "the log of %s has not enough left for its state at %d: it is kept from %d on", addr, seq, newest.Kept.From).
			With(map[string]uint64{"first": newest.Kept.From})
	}
	return state, err
}

// stateAt is the state after record seq, or the last one before it; newest is the last record of all.
func (r *recordReader) stateAt(ctx context.Context, newest entryRecord, seq uint64) (json.RawMessage, error) {
	rec, err := r.upTo(ctx, newest, seq)
	if err != nil {
		return nil, err
	}
	return r.stateAfter(ctx, rec)
}

// upTo returns the last record at or before seq, by the pages of the index that lead there from a later one.
func (r *recordReader) upTo(ctx context.Context, from entryRecord, seq uint64) (rec entryRecord, err error) {
	for rec = from; rec.seq > seq && err == nil; {
		page := rec.index.Page
		n, found := slices.BinarySearch(page, seq)
		switch {
		case found:
			rec, err = r.one(ctx, seq)
		case n > 0:
			rec, err = r.one(ctx, page[n-1])
		case rec.index.Prev != 0:
			rec, err = r.one(ctx, rec.index.Prev)
		default:
			rec, err = r.runBefore(ctx, rec, seq)
		}
	}
	return rec, err
}

// runBefore returns the last record of the run before the one that rec is of; rec is on its first page.
func (r *recordReader) runBefore(ctx context.Context, rec entryRecord, seq uint64) (entryRecord, error) {
	first := rec
	if page := rec.index.Page; len(page) > 0 {
		var err error
		if first, err = r.one(ctx, page[0]); err != nil {
			return entryRecord{}, err
		}
	}
	before := first.previous()
	if before == 0 || before >= first.seq {
		return entryRecord{}, Errorf(CodeNotFound, "%s has no record at or before %d: its first is %d", r.addr, seq, first.seq)
	}
	return r.one(ctx, before)
}

// previous is the last record of the run before, where the record is the first of its run.
func (r *Record) previous() uint64 {
	for i := range r.Events {
		if r.Events[i].Type == RunCreated {
			return r.Events[i].Previous
		}
	}
	return 0
}

// stateAfter is the state, or the last checkpoint, after a record.
func (r *recordReader) stateAfter(ctx context.Context, rec entryRecord) (json.RawMessage, error) {
	switch {
	case rec.Delta != nil:
		before, err := r.all(ctx, rec.Delta.On)
		if err != nil {
			return nil, err
		}
		var t stateTail
		if err := t.restore(rec, before); err != nil {
			return nil, fmt.Errorf("state of %s at %d: %w: %w", r.addr, rec.seq, errUnreadable, err)
		}
		return t.state, nil
	case rec.State != nil:
		return rec.State, nil
	case rec.Snapshot != 0 && rec.Compacted == nil:
		at, err := r.one(ctx, rec.Snapshot)
		if err != nil {
			return nil, err
		}
		rec = at
	}
	if i := lastSnapshot(rec.Events); i >= 0 {
		return rec.Events[i].Payload, nil
	}
	return json.RawMessage("null"), nil
}
