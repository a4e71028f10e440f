package actor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// pageLen is how many records one page of the index covers.
const pageLen = 32

// readers is how many records are read at a time.
const readers = 16

// entryRecord is a record of the log with its place.
type entryRecord struct {
	seq uint64
	*Record
	index Index
}

// recordReader reads an object's records by sequence. While it remembers it reads none twice.
type recordReader struct {
	log  RecordLog
	addr Address

	mu    sync.Mutex
	known map[uint64]entryRecord // nil: it does not remember
}

// remember keeps what is read until the returned function is called.
func (r *recordReader) remember() (forget func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known = map[uint64]entryRecord{}
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.known = nil
	}
}

// took notes a record that was read elsewhere.
func (r *recordReader) took(rec entryRecord) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known != nil {
		r.known[rec.seq] = rec
	}
}

// one reads a record. Errors: [ErrNoRecord], [errUnreadable].
func (r *recordReader) one(ctx context.Context, seq uint64) (entryRecord, error) {
	r.mu.Lock()
	rec, ok := r.known[seq]
	r.mu.Unlock()
	if ok {
		return rec, nil
	}
	e, err := r.log.Read(ctx, r.addr, seq)
	if err != nil {
		return entryRecord{}, fmt.Errorf("read log of %s at seq %d: %w", r.addr, seq, err)
	}
	if rec, err = r.decode(e); err == nil {
		r.took(rec)
	}
	return rec, err
}

// decode reads the record that an entry has. Error: [errUnreadable].
func (r *recordReader) decode(e *Entry) (entryRecord, error) {
	body, err := DecodeRecord(e.Body)
	if err != nil {
		return entryRecord{}, fmt.Errorf("record %d of %s: %w: %w", e.Seq, r.addr, errUnreadable, err)
	}
	return entryRecord{e.Seq, body, e.Index}, nil
}

// all reads records, several at a time, and returns them in the order of seqs.
func (r *recordReader) all(ctx context.Context, seqs []uint64) ([]entryRecord, error) {
	records := make([]entryRecord, len(seqs), len(seqs)+1)
	errs := make([]error, len(seqs))
	var wg sync.WaitGroup
	slots := make(chan struct{}, readers)
	for i, seq := range seqs {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			records[i], errs[i] = r.one(ctx, seq)
		})
	}
	wg.Wait()
	return records, errors.Join(errs...)
}

// before returns the sequences of the records before one whose index is given, from from on, oldest first, by the
// pages of the index.
func (r *recordReader) before(ctx context.Context, index Index, from uint64) ([]uint64, error) {
	var pages [][]uint64
	for {
		pages = append(pages, index.Page)
		if index.Prev == 0 || index.Prev < from {
			break
		}
		pages = append(pages, []uint64{index.Prev})
		rec, err := r.one(ctx, index.Prev)
		if err != nil {
			return nil, err
		}
		index = rec.index
	}
	slices.Reverse(pages)
	all := slices.Concat(pages...)
	return slices.DeleteFunc(all, func(seq uint64) bool { return seq < from }), nil
}
