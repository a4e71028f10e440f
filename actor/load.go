package actor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"
)

// load rebuilds the run from its log, if it is not in memory, and reads what the batch needs of the ids of earlier calls.
func (r *run) load(ctx context.Context, batch []item) error {
	if r.x != nil && r.parked != nil && slices.ContainsFunc(batch, wakes) {
		r.unload() // its code is tried again
	}
	defer r.records.remember()()
	if r.x == nil && !r.purging {
		if err := r.activate(ctx); err != nil {
			r.unload()
			return err
		}
	}
	if r.purging {
		return nil
	}
	touched, looks := false, uint64(0)
	for _, it := range batch {
		if it.kind == itemResume && it.seq != 0 {
			r.takeUp(it.seq)
		}
		if it.kind == itemTouched {
			touched, looks = true, max(looks, it.seq)
		}
	}
	if touched {
		if err := r.reread(ctx, looks); err != nil || r.purging {
			return err
		}
	}
	if err := r.redo(ctx); err != nil {
		return err
	}
	return r.knowIDs(ctx, batch)
}

// activate reads what the last record says is needed, and replays it.
func (r *run) activate(ctx context.Context) error {
	last, err := r.lastRecord(ctx)
	if r.lags(last, err) {
		return r.tooOld()
	}
	if errors.Is(err, ErrNoRecord) {
		return r.create()
	}
	if err != nil {
		return err
	}
	if last.Epoch > r.part.claim.Epoch {
		return r.fenced(ctx, last)
	}
	rec, err := DecodeRecord(last.Body)
	if err != nil {
		return fmt.Errorf("record %d of %s: %w: %w", last.Seq, r.addr, errUnreadable, err)
	}
	if rec.purged() {
		r.takeUpPurge(last, rec)
		return nil
	}
	r.lastRec, r.index, r.status = last.Seq, last.Index, last.Status
	r.count = rec.N
	r.streams.begin(rec)
	r.burying = slices.DeleteFunc(rec.Buried, func(b BuriedSend) bool { return b.Inbox <= r.part.claim.Checkpoint.Inbox })
	r.inboxPos, r.tableAt = rec.Inbox, last.Index.IDs
	if rec.IDs != nil {
		r.tableAt = last.Seq
	}
	r.claimed = last.Epoch == r.part.claim.Epoch
	r.takeUpLeft(last)
	r.host.saw(r.part.claim.Partition, last.Seq)
	at := entryRecord{last.Seq, rec, last.Index}
	r.records.took(at)
	r.trim.restore(at)
	if rec.Delta != nil {
		before, err := r.records.all(ctx, rec.Delta.On)
		if err != nil {
			return err
		}
		if err := r.tail.restore(at, before); err != nil {
			return fmt.Errorf("state of %s: %w: %w", r.addr, errUnreadable, err)
		}
	} else if err := r.tail.restore(at, nil); err != nil {
		return err
	}
	records := []entryRecord{at}
	from := last.Index.Base
	if r.typ.object == nil {
		from = max(rec.Snapshot, 1)
		if r.snapshotAt = rec.Snapshot; rec.Compacted != nil {
			r.snapshotAt, from = last.Seq, 0
		}
	}
	if from != 0 {
		if records, err = r.readFrom(ctx, from, at); err != nil {
			return err
		}
	}
	return r.replay(ctx, records, rec)
}

// errUnreadable: a record of the run is of no use to this node, now and later.
var errUnreadable = errors.New("the record cannot be read")

// create makes a run that has no record yet.
func (r *run) create() error {
	r.lastRec, r.tableAt, r.count, r.inboxPos, r.index, r.status = 0, 0, 0, 0, Index{}, StatusPending
	r.tail, r.snapshotAt = stateTail{}, 0
	r.trim = trimmer{known: true, removal: &removal{}}
	r.burying, r.alarmsAt = nil, 0
	r.streams.begin(nil)
	r.newExecution(uuid.NewString())
	r.streams.knowSteps(nil)
	if r.typ.object != nil {
		return r.x.restore(nil, 0)
	}
	return nil
}

func (r *run) newExecution(incarnation string) {
	info := Info{RunID: r.addr.String(), Type: r.addr.Type, Key: r.addr.Key, Incarnation: incarnation}
	r.incarnation = incarnation
	r.streams.live(incarnation)
	r.x = newExecution(info, r.typ, r.host.now, r.host.cfg.MaxPayload, r.host.cfg.MaxState, r.log)
	r.stepCtx, r.stepEnd = context.WithCancel(r.part.ctx)
}

// replay rebuilds the execution and notes what the records leave unfinished.
func (r *run) replay(ctx context.Context, records []entryRecord, last *Record) error {
	if err := r.typ.readable(records, last); err != nil {
		return fmt.Errorf("record %d of %s: %w", r.lastRec, r.addr, err)
	}
	r.newExecution(last.Incarnation)
	unmigrated := r.typ.migratePayloads(records)
	if err := r.loadAlarms(ctx, last); errors.Is(err, errMigration) {
		unmigrated = err
	} else if err != nil {
		return fmt.Errorf("record %d of %s: %w", r.lastRec, r.addr, err)
	}
	for _, rec := range records {
		r.observeOpen(rec)
	}
	if r.typ.object != nil {
		for name, m := range last.Streams {
			r.x.closed[name] = m.Ending
		}
		if unmigrated != nil {
			r.x.hold(r.tail.state, last.StateVersion)
		} else if err := r.x.restore(r.tail.state, last.StateVersion); errors.Is(err, errMigration) {
			r.x.fail(fmt.Errorf("the state in record %d %w", r.lastRec, err))
		} else if err != nil {
			r.x.fail(fmt.Errorf("the state in record %d does not decode: %w", r.lastRec, err))
		}
	}
	switch {
	case r.x.err != nil:
	case r.ended != nil: // its code has nothing left to say
		r.x.recall(records)
	case unmigrated != nil:
		r.x.fail(unmigrated)
		if r.typ.object == nil {
			r.x.recall(records)
		}
	case r.typ.object != nil:
		past := objectHistory(records)
		undo := r.x.alarms.rewind(past.history)
		if r.x.replay(past); r.x.err != nil {
			undo()
		}
	default:
		r.x.replay(workflowHistory(records))
		if r.x.err != nil && !r.x.journal.live() {
			r.x.recall(records)
		}
	}
	if r.x.err != nil && r.typ.object != nil {
		r.x.paused = last.Paused // however far the replay came
	}
	if at := last.Events; len(at) > 0 && r.x.journal.now.Before(at[len(at)-1].At) {
		r.x.journal.now = at[len(at)-1].At
	}
	for _, w := range r.x.waits {
		r.armed[w.id] = w.due.Sub(r.x.journal.now) > nearTimer && r.asleep(w.id, w.due)
	}
	if r.x.err != nil {
		if r.status == StatusParked {
			r.park(r.x.err)
		}
		return nil
	}
	r.streams.knowSteps(r.x.steps)
	for _, s := range r.x.steps {
		if !slices.Contains(r.x.started, s) {
			s.ran = true
			r.recovered = append(r.recovered, s)
		}
	}
	for _, w := range r.x.waits {
		r.remind(w, w.due.Sub(r.host.now()))
	}
	r.remindAlarms()
	return nil
}

// lastRecord returns the object's last record. What follows it and is not a record is skipped, and said so.
func (r *run) lastRecord(ctx context.Context) (*Entry, error) {
	last, err := r.host.cfg.Log.Last(ctx, r.addr)
	if err != nil {
		if errors.Is(err, ErrNoRecord) {
			r.last = 0
		}
		return nil, err
	}
	r.last = last.Seq
	if ok, err := r.believes(ctx, last); ok || err != nil {
		return last, err
	}
	r.log.WarnContext(ctx, "foreign message in the log: skipped", "seq", last.Seq)
	var found *Entry
	for e, err := range r.host.cfg.Log.Scan(ctx, r.addr) {
		if err != nil {
			return nil, err
		}
		ok, err := r.believes(ctx, e)
		if err != nil {
			return nil, err
		}
		if ok {
			found = e
		}
	}
	if found == nil {
		return nil, ErrNoRecord
	}
	return found, nil
}

// believes reports whether e is a record of this object under an epoch that the ownership record has issued.
// An error means that this cannot be told now: then nothing may be built on either answer.
func (r *run) believes(ctx context.Context, e *Entry) (bool, error) {
	if e.Foreign {
		return false, nil
	}
	if e.Epoch > r.part.claim.Epoch {
		issued, err := r.host.cfg.Confirm(ctx, r.part.claim.Partition)
		if err != nil || e.Epoch > issued {
			return false, err
		}
	}
	rec, err := DecodeRecord(e.Body)
	if err != nil {
		return newer(e.Body), nil //nolint:nilerr // what does not decode is not a record
	}
	return rec.Run == r.addr.String(), nil
}

// fenced gives the partition up: its next owner has written under a higher epoch, which the ownership record issued.
func (r *run) fenced(ctx context.Context, by *Entry) error {
	r.log.WarnContext(ctx, "fenced: another node owns the partition", "epoch", r.part.claim.Epoch, "by_epoch", by.Epoch, "by_node", by.Node)
	r.host.dropThis(r.part)
	return Errorf(CodeUnavailable, "this node no longer owns %s", r.addr)
}

// readFrom returns the object's records from sequence from on, oldest first; last is the newest.
func (r *run) readFrom(ctx context.Context, from uint64, last entryRecord) ([]entryRecord, error) {
	seqs, err := r.records.before(ctx, r.index, from)
	if err != nil {
		return nil, err
	}
	records, err := r.records.all(ctx, seqs)
	return append(records, last), err
}

// nextIndex is the index of the record that follows the last one.
func (r *run) nextIndex() Index {
	next := Index{Page: append(slices.Clone(r.index.Page), r.lastRec), Prev: r.index.Prev, IDs: r.tableAt}
	switch {
	case r.lastRec == 0, r.heirOf != 0:
		next.Page = nil
	case len(next.Page) == pageLen:
		next.Page, next.Prev = nil, r.lastRec
	}
	if lastSnapshot(r.x.journal.out) >= 0 {
		return next // its record has the calls that are left
	}
	for id, seq := range r.openAt {
		if !r.answers(id) && (next.Base == 0 || seq < next.Base) {
			next.Base = seq
		}
	}
	return next
}

// answers reports whether the turn has the outcome of a call.
func (r *run) answers(id string) bool {
	return slices.ContainsFunc(r.x.journal.out, func(ev Event) bool { return ev.settles(id) })
}

// observeOpen notes where calls without outcome stand.
func (r *run) observeOpen(rec entryRecord) {
	if rec.Compacted != nil { // from here on nothing before this record is needed
		r.snapshotAt = rec.seq
		clear(r.openAt)
		r.observeEvents(rec.seq, rec.Compacted)
		r.observeEvents(rec.seq, rec.Events[lastSnapshot(rec.Events):])
		return
	}
	r.observeEvents(rec.seq, rec.Events)
}

func (r *run) observeEvents(seq uint64, events []Event) {
	for i := range events {
		switch ev := &events[i]; ev.Type {
		case RunStarted:
			r.startedWith, r.startedBy = ev.Payload, ev.ID
		case RunCompleted, RunFailed, RunCancelled, RunTerminated:
			r.ended = ev
		case HookReceived:
			r.openAt[ev.ID] = seq
		case WaitCompleted:
			if ev.alarm() {
				r.openAt[ev.ID] = seq
			}
		case CallCompleted, CallFailed, WaitCancelled:
			delete(r.openAt, ev.ID)
		default:
		}
	}
}

// newer reports whether body is a record of a newer format, which this node must not take for a foreign message.
func newer(body []byte) bool {
	var r struct {
		V int `json:"v"`
	}
	return json.Unmarshal(body, &r) == nil && r.V > RecordVersion
}

func wakes(it item) bool { return it.kind == itemCall && it.req.Hook == HookWake }

func asReplay(err error) bool {
	var e *ReplayError
	return errors.As(err, &e)
}
