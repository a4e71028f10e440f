package actor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Remains removes what the log of a purged run and its records do not tell of. Adapters are safe for concurrent use.
type Remains interface {
	// Sweep removes every message of the object's log before record seq, which says that the run is purged, with the
	// parts of large ones, and what the output streams have; no chunk that was stored after record seq was gone. It
	// blocks until that is done, and may be repeated.
	Sweep(ctx context.Context, addr Address, seq uint64, streams []string) error
}

// tombstone is the last record of a run that is purged. Until all before it is gone, and no send can come again that
// the run has received, the object takes nothing; then it goes too, and the object is as if it had never been.
type tombstone struct {
	seq      uint64
	inbox    uint64   // every send up to it was received
	index    Index    // of the records before
	first    uint64   // the oldest of them that is kept
	removing []uint64 // older ones that may still be there
	streams  []string
}

// cursorEvery is how often it is asked how far the partition's checkpoint is.
const cursorEvery = 200 * time.Millisecond

// purge takes a request to remove a run that has ended, or an object with methods, and everything that is kept of it.
// It is answered when that is gone.
func (t *turn) purge(it *item) {
	r, req := t.run, it.req
	if it.inbox != 0 {
		t.reject(it, Errorf(CodeInvalid, "%s cannot be sent: call it", req.Hook))
		return
	}
	reason, refused := readReason(req.Payload)
	if refused == nil {
		refused = r.unpurgeable()
	}
	done := r.part.finished()
	r.burying = slices.DeleteFunc(r.burying, func(b BuriedSend) bool { return b.Inbox <= done }) // the last record has them still
	switch {
	case refused != nil:
		t.reject(it, refused)
	case len(r.x.journal.out) > 0 || r.x.stalled || !r.outbox.idle() || r.resume != 0 || len(r.burying) > 0 || r.arming != nil:
		r.later(againIn, item{kind: itemCall, req: req}) // first what the run has left to let out
	default:
		t.claim()
		r.x.journal.record(Event{Type: RunPurged, Reason: reason}, r.host.now())
		t.purges = true
		t.joined = append(t.joined, r.awaitPurge(req))
	}
}

// unpurgeable says why the run cannot be purged.
func (r *run) unpurgeable() *Error {
	switch n := len(r.openAt); {
	case r.lastRec == 0 && len(r.x.journal.out) == 0:
		return Errorf(CodeNotFound, "there is no run %s", r.addr)
	case r.typ.object == nil && !r.x.status.Ended():
		return Errorf(CodeConflict, "run %s has not ended: cancel or terminate it first", r.addr)
	case r.typ.object == nil:
		return nil
	case r.stopped() != nil:
		return r.stopped()
	case n > 0:
		return Errorf(CodeConflict, "%s has %d calls without outcome: purge it when they have theirs", r.addr, n)
	case len(r.x.steps) > 0:
		return Errorf(CodeConflict, "%s has steps in progress: purge it when they have ended", r.addr)
	case r.x.alarms.size() > 0:
		return Errorf(CodeConflict, "%s has alarms set: cancel them first", r.addr)
	}
	return nil
}

func (r *run) awaitPurge(req *Request) *waiter {
	w := &waiter{req: req}
	r.onPurged = append(r.onPurged, w)
	r.limit(w, r.host.now())
	return w
}

// entomb makes a record a tombstone: of the run it has what says what must be removed.
func (r *Record) entomb() {
	r.State, r.Delta, r.StateVersion, r.Alarms, r.AlarmsAt = nil, nil, 0, nil, 0
	r.Compacted, r.Snapshot, r.IDs, r.IDsBefore, r.IDsUntil, r.IDsSeen = nil, 0, nil, 0, 0, nil
}

// purged reports whether a record is a tombstone.
func (r *Record) purged() bool {
	n := len(r.Events)
	return n > 0 && r.Events[n-1].Type == RunPurged
}

// takeUpPurge goes on where whoever wrote the tombstone, or took it up, was.
func (r *run) takeUpPurge(last *Entry, rec *Record) {
	r.part.takeLeft(r.addr)
	r.lastRec, r.index, r.status, r.count, r.inboxPos = last.Seq, last.Index, StatusPurged, rec.N, rec.Inbox
	r.resume, r.unsettled = 0, last.Seq
	r.part.settle(r.addr, true, last.Seq)
	r.host.saw(r.part.claim.Partition, last.Seq)
	t := tombstone{seq: last.Seq, inbox: rec.Inbox, index: last.Index, first: 1, streams: slices.Sorted(maps.Keys(r.typ.streams))}
	if rec.Kept != nil {
		t.first, t.removing = max(rec.Kept.From, 1), rec.Kept.Removing
	}
	for _, name := range slices.Sorted(maps.Keys(rec.Streams)) {
		if !slices.Contains(t.streams, name) {
			t.streams = append(t.streams, name)
		}
	}
	r.outbox.drop()
	if r.purging = true; r.outbox.out {
		return // what is being let out has to end first: see purgeTurn
	}
	p, addr, log := r.part, r.addr, r.log
	p.host.spawn(func() {
		failed := func(err error) { log.Warn("run not purged yet", "err", err) }
		select {
		case p.host.trimming <- struct{}{}:
			p.host.insist(p.ctx, func() error { return p.sweep(addr, t) }, failed)
			<-p.host.trimming // what the cursor waits for may need it
		case <-p.ctx.Done():
		}
		p.host.insist(p.ctx, func() error { return p.passed(t.inbox) }, failed)
		p.deliver(addr, item{kind: itemSwept, seq: t.seq})
	})
}

// sweep removes everything that is kept of a run but the tombstone.
func (p *partition) sweep(addr Address, t tombstone) error {
	ctx, cfg := p.ctx, p.host.cfg
	reader := recordReader{log: cfg.Log, addr: addr}
	seqs, err := reader.before(ctx, t.index, t.first)
	if err != nil && !errors.Is(err, ErrNoRecord) { // where some are gone already, the rest is found without the index
		return err
	}
	for _, seq := range slices.Concat(t.removing, seqs) {
		if _, err := p.host.trust.wait(ctx); err != nil {
			return err
		}
		if err := cfg.Log.Remove(ctx, addr, seq); err != nil {
			return err
		}
	}
	if err := cfg.Remains.Sweep(ctx, addr, t.seq, t.streams); err != nil {
		return fmt.Errorf("purge %s: %w", addr, err)
	}
	return nil
}

// passed waits until no send up to inbox can come again: then a tombstone is no longer needed.
func (p *partition) passed(inbox uint64) error {
	for {
		if p.finished() >= inbox { // before, the record cannot say so
			cursor, err := p.host.cfg.Cursor(p.ctx, p.claim.Partition)
			if err != nil || cursor >= inbox {
				return err
			}
		}
		if err := pause(p.ctx, cursorEvery); err != nil {
			return err
		}
	}
}

// finished is up to where every send was finished, as the next checkpoint says.
func (p *partition) finished() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.finishedLocked()
}

func (p *partition) finishedLocked() uint64 {
	return max(p.claim.Checkpoint.Inbox, p.inbox.position(p.host.inbox.position()))
}

// purgeTurn is a turn of a run that is being purged: it takes nothing. It reports false when what waits has to be looked
// at again soon.
func (r *run) purgeTurn(batch []item) bool {
	var kept []item
	for i := range batch {
		switch it := &batch[i]; {
		case it.kind == itemSwept && it.seq == r.lastRec:
			if err := r.host.cfg.Log.Remove(r.part.ctx, r.addr, it.seq); err != nil {
				r.log.Warn("run not purged yet", "err", err)
				kept = append(kept, *it)
				continue
			}
			r.purged()
			r.part.putBack(r, slices.Concat(kept, batch[i+1:]))
			return true
		case it.kind == itemCall && it.inbox == 0 && it.req.Hook == HookPurge:
			r.awaitPurge(it.req)
		case it.kind == itemCall && it.inbox == 0:
			it.req.fail(Errorf(CodeUnavailable, "%s is being purged", r.addr))
		case it.kind == itemCall && it.inbox > r.inboxPos:
			kept = append(kept, *it)
		case it.kind == itemExpired:
			r.expire()
		case it.kind == itemSettle:
			r.outbox.out = false
			r.unload() // and now it is taken up
			r.part.putBack(r, slices.Concat(kept, []item{{kind: itemResume}}, batch[i+1:]))
			return true
		default: // of a run that has ended
			it.end(true)
		}
	}
	if len(kept) > 0 {
		r.part.putBack(r, kept)
	}
	return len(kept) == 0
}

// purged forgets a run of which nothing is left.
func (r *run) purged() {
	for _, w := range r.onPurged {
		w.answer(&Outcome{Seq: r.lastRec, Result: []byte("null")})
	}
	r.onPurged = nil
	for id := range r.firings {
		r.dropFiring(id)
	}
	r.last, r.lastRec, r.unsettled, r.resume = 0, 0, 0, 0
	r.part.settle(r.addr, false, 0)
	r.unload()
}
