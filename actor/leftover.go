package actor

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"
)

// leftovers are parts of large records that may belong to no record: objects with appends to look at, nil where it is not
// known which. A node that takes a partition notes all that are there, since one before it may have died between the parts
// and the record; and an object whose append has failed here.
//
// What has become of an append is certain once the object's log goes on behind the message that it was to follow: the record
// there is the append, or it never will be. So nothing is judged before this node has a record of its own in the log,
// which no append of a former owner can precede any more.
type leftovers map[Address][]Attempt

// findLeftovers notes what is there when the partitions are taken.
func (h *Host) findLeftovers(ps []*partition) {
	for _, p := range ps {
		all, err := leftoversOf(p)
		if err != nil {
			continue // it was lost meanwhile
		}
		p.mu.Lock()
		var resident []Address
		for addr, attempts := range all {
			if _, noted := p.leftover[addr]; !noted {
				p.leftover[addr] = attempts
			}
			if p.runs[addr] != nil {
				resident = append(resident, addr)
			}
		}
		p.mu.Unlock()
		for _, addr := range resident {
			p.deliver(addr, item{kind: itemLeftover})
		}
	}
}

// leftoversOf asks until it is answered. Its error is that of the partition's context.
func leftoversOf(p *partition) (all map[Address][]Attempt, err error) {
	p.host.insist(p.ctx, func() error {
		all, err = p.host.cfg.Log.Attempts(p.ctx, p.claim.Partition, Address{})
		return err
	}, func(err error) {
		p.host.log.Warn("parts of large records are not listed yet", "partition", p.claim.Partition, "err", err)
	})
	return all, p.ctx.Err()
}

// insist does something until it succeeds or ctx ends; failed is told of each failure before that.
func (h *Host) insist(ctx context.Context, do func() error, failed func(error)) {
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		err := do()
		if err == nil || ctx.Err() != nil {
			return
		}
		failed(err)
		if pause(ctx, wait) != nil {
			return
		}
	}
}

// suspect notes that an append of the object's has failed, and may have left parts.
func (p *partition) suspect(addr Address) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.leftover[addr] = nil
}

// takeLeftover returns what is noted of an object and forgets it.
func (p *partition) takeLeftover(addr Address) (attempts []Attempt, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if attempts, ok = p.leftover[addr]; ok {
		delete(p.leftover, addr)
	}
	return attempts, ok
}

// tidy removes, in the background, parts of the run's that belong to no record. It does nothing before a record of this
// claim is durable.
func (r *run) tidy() {
	if !r.claimed || r.lastRec == 0 {
		return
	}
	attempts, ok := r.part.takeLeftover(r.addr)
	if !ok {
		return
	}
	h, p := r.host, r.part
	j := judge{
		reader: recordReader{log: h.cfg.Log, addr: r.addr, known: map[uint64]entryRecord{}},
		index:  r.index, last: r.lastRec, first: r.trim.first(), incarnation: r.incarnation,
	}
	log := r.log
	h.spawn(func() {
		select {
		case h.trimming <- struct{}{}:
			defer func() { <-h.trimming }()
		case <-p.ctx.Done():
			return
		}
		h.insist(p.ctx, func() error {
			err := j.remove(p.ctx, h.cfg.Log, p.claim.Partition, attempts)
			if errors.Is(err, ErrNoRecord) { // trimmed meanwhile: the next record knows what is left
				p.suspect(j.reader.addr)
				return nil
			}
			return err
		}, func(err error) { log.Warn("parts of large records not removed yet", "err", err) })
	})
}

// judge tells appends that are in an object's log from those that never will be, by what the log is up to a record.
type judge struct {
	reader      recordReader
	index       Index  // of record last
	last        uint64 // the last record
	first       uint64 // the oldest that is kept
	incarnation string
}

// remove removes the parts of appends that are not in the log. Those are left of which that is not certain.
func (j *judge) remove(ctx context.Context, log EventLog, partition int, attempts []Attempt) error {
	if attempts == nil {
		all, err := log.Attempts(ctx, partition, j.reader.addr)
		if err != nil {
			return err
		}
		attempts = all[j.reader.addr]
	}
	attempts = slices.DeleteFunc(slices.Clone(attempts), func(a Attempt) bool { return a.After >= j.last })
	if len(attempts) == 0 {
		return nil
	}
	oldest := slices.MinFunc(attempts, func(a, b Attempt) int { return cmp.Compare(a.After, b.After) }).After
	records, err := j.reader.before(ctx, j.index, max(oldest+1, j.first))
	if err != nil {
		return err
	}
	records = append(records, j.last)
	for _, a := range attempts {
		i, _ := slices.BinarySearch(records, a.After+1)
		ours, err := j.ours(ctx, a, records[i])
		if err == nil && ours {
			err = log.RemoveAttempt(ctx, j.reader.addr, a, records[i])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// ours reports whether record next, the first of this run after a.After, is what decides about an append. Of a run before
// this one it is not, save where that run has no record.
func (j *judge) ours(ctx context.Context, a Attempt, next uint64) (bool, error) {
	if a.Incarnation == j.incarnation {
		return true, nil
	}
	rec, err := j.reader.one(ctx, next)
	if err != nil {
		return false, err
	}
	return rec.N == 1 && rec.previous() == a.After, nil
}
