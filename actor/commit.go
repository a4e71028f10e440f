package actor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// nearTimer is how far ahead a wait may be due and still be kept by this node alone: the run stays unsettled until
// then. Waits beyond it are armed on a durable schedule too.
const nearTimer = 2 * time.Second

// commit makes the turn's events one record and, once it is durable, lets everybody know. It reports false when the
// turn must be tried again later.
func (r *run) commit(t *turn, batch []item) bool {
	if len(r.x.journal.out) == 0 && !t.buries {
		r.after(t, batch)
		return true
	}
	if r.ids == nil { // the record may be due to carry a table of them
		if err := r.loadIDs(r.part.ctx); err != nil {
			t.fail(asError(err, CodeUnavailable))
			r.postpone(batch, asError(err, CodeUnavailable), errors.Is(err, errUnreadable))
			return false
		}
	}
	rec, e, err := r.record(t)
	if err != nil {
		t.fail(asError(err, CodeTooLarge))
		r.postpone(batch, asError(err, CodeTooLarge), false)
		return false
	}
	r.part.appendBegins(r)
	seq, err := r.append(r.part.ctx, e)
	if err == nil {
		r.host.saw(r.part.claim.Partition, seq)
		r.committed(t, rec, e, seq)
	}
	r.part.appendEnds(r)
	switch {
	case err == nil:
		r.after(t, batch)
		if t.purges {
			r.unload()
			r.part.putBack(r, []item{{kind: itemResume}})
		}
		return true
	case errors.Is(err, ErrAppendConflict):
		r.log.Warn("somebody else appended: the turn is done again", "expected", r.last, "err", err)
		t.forget()
		r.takeUp(r.lastRec + 1)
		r.unload()
		r.part.putBack(r, batch)
		return true
	default:
		if r.part.ctx.Err() == nil {
			r.log.Error("append", "expected", r.last, "err", err)
		}
		refused := Errorf(CodeUnavailable, "the log does not take records now: %v", err)
		if !errors.Is(err, ErrAppendRefused) {
			refused = refused.Doubtful()
		}
		t.fail(refused)
		r.postpone(batch, refused, false)
		return false
	}
}

// bodySlack is about what a record has beside the state, in bytes.
const bodySlack = 1 << 10

// record makes the turn's record.
func (r *run) record(t *turn) (*Record, *Entry, error) {
	if r.x.journal.out == nil {
		r.x.journal.out = []Event{}
	}
	rec := &Record{
		Run: r.addr.String(), Incarnation: r.x.info.Incarnation, Epoch: r.part.claim.Epoch,
		N: r.count + 1, Inbox: r.inboxPos, Buried: r.burying, Streams: r.streams.record(r.x), Events: r.x.journal.out,
		Paused: r.x.paused,
	}
	switch {
	case t.purges:
	case r.typ.object != nil:
		r.armAlarm()
		rec.Alarms, rec.AlarmsAt = r.alarmTable()
		if r.tail.put(rec, r.x.encoded); len(r.x.encoded) > 0 && r.x.version > 1 {
			rec.StateVersion = r.x.version
		}
	default:
		r.snapshot(rec)
	}
	for i := range rec.Events {
		if ev := &rec.Events[i]; ev.Type == CallFailed && ev.Inbox != 0 && rec.Compacted == nil {
			ev.Received = r.openAt[ev.ID]
		}
	}
	var whole bool
	if rec.IDs, whole = r.ids.table(r.host.now()); !whole && rec.IDs != nil {
		rec.IDsBefore = r.tableAt
		rec.IDsUntil, rec.IDsSeen = r.ids.rest(rec.IDs)
	}
	r.keep(rec)
	if t.purges {
		rec.entomb()
	}
	rec.V = rec.lowest()
	body := bytes.NewBuffer(make([]byte, 0, len(rec.State)+bodySlack))
	enc := json.NewEncoder(body)
	enc.SetEscapeHTML(false) // payloads stand in the log as they were validated
	if err := enc.Encode(rec); err != nil {
		return nil, nil, fmt.Errorf("encode record of %s: %w", r.addr, err)
	}
	return rec, r.entry(bytes.TrimSuffix(body.Bytes(), []byte("\n")), r.leavesWork(t)), nil
}

// snapshot says in a run function's record where its last checkpoint is.
func (r *run) snapshot(rec *Record) {
	if lastSnapshot(rec.Events) >= 0 {
		rec.Compacted = r.x.compacted
	} else if r.snapshotAt != 0 {
		rec.Snapshot = r.snapshotAt
	}
}

// leavesWork reports whether the record leaves the run unsettled.
func (r *run) leavesWork(t *turn) bool {
	if t.purges || len(r.x.steps) > 0 || len(t.bodies) > 0 || r.x.stalled || r.parked != nil || !r.outbox.idle() || r.arming != nil || r.part.awaits(r) {
		return true
	}
	for i := range r.x.journal.out {
		if r.effect(&r.x.journal.out[i], 0, logPlace{}) != nil {
			return true
		}
	}
	return r.nearWait() || r.nearAlarm()
}

// nearWait reports whether a timer is kept by this node alone, which a paused run does not need.
func (r *run) nearWait() bool {
	if r.x.paused != nil {
		return false
	}
	for _, w := range r.x.waits {
		if !r.timed(w.id) {
			return true
		}
	}
	return false
}

// append writes e until it is certain that it is in the log, or that it is not. A record whose fate is unknown is
// looked up and sent again byte for byte. Errors: [ErrAppendConflict], [ErrAppendRefused], or ctx's.
func (r *run) append(ctx context.Context, e *Entry) (uint64, error) {
	doubt := false // an earlier try may still be written
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		if _, err := r.host.trust.wait(ctx); err != nil {
			return 0, err
		}
		seq, err := r.host.cfg.Log.Append(ctx, e, r.last)
		if err == nil {
			return seq, nil
		}
		r.part.suspect(r.addr)
		if errors.Is(err, ErrAppendRefused) && !doubt {
			return 0, err
		}
		doubt = doubt || !errors.Is(err, ErrAppendConflict)
		switch seq, again := r.lookUp(ctx, e); {
		case seq != 0:
			return seq, nil
		case !again && errors.Is(err, ErrAppendConflict):
			return 0, err
		case !again:
			return 0, fmt.Errorf("%w: %w", ErrAppendConflict, err)
		}
		if wait >= time.Second {
			r.log.WarnContext(ctx, "a record is not stored yet: appended again", "expected", r.last, "err", err)
		}
		if err := pause(ctx, wait); err != nil {
			return 0, err
		}
	}
}

// lookUp re-reads the log after an append whose record is perhaps in it: its sequence if it is, again if it may be
// sent once more.
func (r *run) lookUp(ctx context.Context, e *Entry) (seq uint64, again bool) {
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		last, err := r.host.cfg.Log.Last(ctx, r.addr)
		switch {
		case r.lags(last, err): // it knows nothing of the record
			if wait >= time.Second {
				r.log.WarnContext(ctx, "the log is said to end before a record that was stored: asked again", "stored", r.lastRec)
			}
		case errors.Is(err, ErrNoRecord):
			return 0, r.last == 0
		case err != nil:
		case last.Turn == e.Turn:
			return last.Seq, false
		case last.Seq == r.last:
			return 0, true
		default:
			known := r.last
			last, err := r.lastRecord(ctx) // moves r.last past foreign messages
			switch {
			case errors.Is(err, ErrNoRecord):
				return 0, r.lastRec == 0
			case err != nil:
				r.last = known
			case last.Turn == e.Turn:
				return last.Seq, false
			case last.Epoch > e.Epoch:
				_ = r.fenced(ctx, last)
				return 0, false
			default:
				return 0, last.Seq == r.lastRec
			}
		}
		if pause(ctx, wait) != nil {
			return 0, false
		}
	}
}

// lags reports whether an answer to what the last record is comes from a former leader of the log.
func (r *run) lags(last *Entry, err error) bool {
	return err == nil && last.Seq < r.lastRec || r.lastRec != 0 && errors.Is(err, ErrNoRecord)
}

// tooOld is why a run is not loaded from what [run.lags].
func (r *run) tooOld() error {
	return Errorf(CodeUnavailable, "the log of %s is said to end before record %d", r.addr, r.lastRec)
}

// pause blocks for d, or until ctx ends: then it returns ctx's error.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// committed moves the run on to the record that is now durable.
func (r *run) committed(t *turn, rec *Record, e *Entry, seq uint64) {
	r.heirOf = 0
	r.index, r.last, r.lastRec, r.count = e.Index, max(seq, r.last), seq, rec.N
	r.tail.written(seq, rec, r.x.encoded)
	r.recent = recentOutcomes(rec.Events, len(e.Body))
	if rec.IDs != nil {
		if r.tableAt = seq; rec.IDsBefore == 0 {
			r.tables = nil
		}
		r.tables = append(r.tables, tableAt(seq, rec))
	}
	r.trimmed(seq, rec)
	r.observeOpen(entryRecord{seq: seq, Record: rec})
	r.ids.written(rec.IDs != nil) // before: the table does not have what happened in its own record
	for i := range rec.Events {
		r.ids.observe(&rec.Events[i], seq)
	}
	for i := range rec.Events {
		if eff := r.effect(&rec.Events[i], seq, logPlace{rec.N, uint64(i)}); eff != nil {
			r.outbox.add(eff)
		}
		r.streams.noteEmit(&rec.Events[i], logPlace{rec.N, uint64(i)})
		r.schedule(&rec.Events[i])
		if ev := &rec.Events[i]; ev.Type == StepCompleted || ev.Type == StepFailed {
			r.streams.noteStep(ev.ID, false)
		}
	}
	r.alarmsWritten(rec, seq)
	t.events = rec.Events
	r.x.journal.written()
	r.letOutFirst()
	r.resettle(seq)
}

// largeRecord is the size of a record, in bytes, that takes so long to read that callers who repeat themselves meanwhile would
// keep its owner busy with that.
const largeRecord = 1 << 20

// recentOutcomes returns the outcomes in a record of this size that should be kept in memory; nil: none.
func recentOutcomes(events []Event, size int) (outcomes []Event) {
	if size < largeRecord {
		return nil
	}
	total := 0
	for i := range events {
		if ev := &events[i]; ev.Type == CallCompleted || ev.Type == CallFailed {
			outcomes = append(outcomes, *ev)
			total += len(ev.Result)
		}
	}
	if total > largeRecord {
		return nil
	}
	return outcomes
}

// resettle tells the partition whether the run has something left to do, and since which record; seq is the last one.
// Once all effects are out, those of earlier records need not be looked at again, whatever else the run still does.
func (r *run) resettle(seq uint64) {
	awaits := r.part.awaits(r)
	unsettled := r.x != nil && (r.status == StatusPurged || len(r.x.steps) > 0 || r.x.stalled || r.parked != nil || !r.outbox.idle() || r.nearWait() || r.nearAlarm() || awaits)
	switch {
	case !unsettled:
		r.unsettled, r.resume = 0, 0
	case r.unsettled == 0 || r.outbox.idle() && r.resume == 0 && !awaits:
		r.unsettled = seq
	}
	r.part.settle(r.addr, unsettled, r.unsettled)
}

// schedule sets the reminder of a wait that began, and drops that of one that is over.
func (r *run) schedule(ev *Event) {
	switch ev.Type {
	case WaitCreated:
		if w := r.x.waits[ev.ID]; w != nil {
			r.remind(w, w.due.Sub(r.host.now()))
		}
	case WaitCompleted, WaitCancelled:
		if tm := r.timers[ev.ID]; tm != nil {
			tm.Stop()
			delete(r.timers, ev.ID)
		}
		r.dropFiring(ev.ID)
	default:
	}
}

// after lets out what waited for the turn to be durable.
func (r *run) after(t *turn, batch []item) {
	for _, w := range t.onCommit {
		w.answer(&Outcome{Seq: r.lastRec, Result: []byte("null")})
	}
	r.tell(t)
	r.tendBodies()
	for _, s := range t.bodies {
		if r.x.steps[s.id] == s && r.parked == nil {
			r.startDetached(s)
		}
	}
	for _, let := range t.later {
		let()
	}
	for i := range batch {
		batch[i].end(true)
	}
	r.outbox.start(r)
	r.tidy()
	r.readOlderIDs()
	if r.x.stalled {
		r.part.putBack(r, []item{{kind: itemResume}})
	}
	if len(t.events) == 0 {
		r.resettle(r.lastRec)
	}
}

// tell answers the callers whose calls have their outcome, and limits the time of the others.
func (r *run) tell(t *turn) {
	for i := range t.events {
		ev := &t.events[i]
		ws := r.waiters[ev.ID]
		switch ev.Type {
		case HookReceived:
			r.waiters[ev.ID] = answerReceived(ws, r.lastRec)
		case CallCompleted, CallFailed:
			for _, w := range ws {
				w.answer(outcomeOf(ev, r.lastRec))
			}
			delete(r.waiters, ev.ID)
		case RunCompleted, RunFailed, RunCancelled, RunTerminated:
			r.ended = ev
			for _, w := range r.onEnd {
				w.answer(r.endOutcome())
			}
			r.onEnd = nil
		case RunParked:
			r.turnAway(r.stopped())
		default:
		}
		if len(r.waiters[ev.ID]) == 0 {
			delete(r.waiters, ev.ID)
		}
	}
	now := r.host.now()
	for _, w := range t.joined {
		r.limit(w, now)
	}
}

// turnAway answers everybody who waits. Their calls stay in the log.
func (r *run) turnAway(err *Error) {
	for _, ws := range r.waiters {
		for _, w := range ws {
			w.fail(err)
		}
	}
	for _, w := range slices.Concat(r.onEnd, r.onPurged) {
		w.fail(err)
	}
	clear(r.waiters)
	r.onEnd, r.onPurged = nil, nil
}

// limit bounds how long a caller waits; one whose time is up is forgotten.
func (r *run) limit(w *waiter, now time.Time) {
	w.limit(now, func() { r.part.deliver(r.addr, item{kind: itemExpired}) })
}

// expire forgets the callers whose time is up.
func (r *run) expire() {
	gone := func(w *waiter) bool { return w.expired.Load() }
	for id, ws := range r.waiters {
		if ws = slices.DeleteFunc(ws, gone); len(ws) == 0 {
			delete(r.waiters, id)
		} else {
			r.waiters[id] = ws
		}
	}
	r.onEnd = slices.DeleteFunc(r.onEnd, gone)
	r.onPurged = slices.DeleteFunc(r.onPurged, gone)
}

func answerReceived(ws []*waiter, seq uint64) []*waiter {
	kept := ws[:0]
	for _, w := range ws {
		if w.req.Header.Wait == WaitReceived {
			w.answer(&Outcome{Seq: seq, Result: json.RawMessage("null")})
		} else {
			kept = append(kept, w)
		}
	}
	return kept
}

func outcomeOf(ev *Event, seq uint64) *Outcome {
	o := &Outcome{Seq: seq, Result: ev.Result, Err: ev.Error}
	if o.Err == nil && o.Result == nil {
		o.Result = json.RawMessage("null")
	}
	return o
}

// fail answers the callers of the turn's calls, which are not in the log.
func (t *turn) fail(err *Error) {
	for _, w := range append(t.joined, t.onCommit...) {
		w.fail(err)
	}
	t.forget()
}

// forget drops the callers of a turn that is done again: they are there when its items are applied anew.
func (t *turn) forget() {
	r := t.run
	gone := func(w *waiter) bool { return slices.Contains(t.joined, w) }
	for id, ws := range r.waiters {
		if ws = slices.DeleteFunc(ws, gone); len(ws) == 0 {
			delete(r.waiters, id)
		} else {
			r.waiters[id] = ws
		}
	}
	r.onEnd = slices.DeleteFunc(r.onEnd, gone)
	r.onPurged = slices.DeleteFunc(r.onPurged, gone)
}
