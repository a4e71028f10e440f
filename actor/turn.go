package actor

import (
	"errors"
	"slices"
	"time"
)

// Bounds of a turn.
const (
	turnBytes = 256 << 10             // of events: what has arrived, and what the code does beyond it, waits for the next turn
	turnTime  = 10 * time.Millisecond // after which a turn no longer waits for steps
)

// turn is the work on one record: what was applied, who is to be told, what is to be let out.
type turn struct {
	run      *run
	started  time.Time
	unsure   bool       // what the log ends with may not be known yet: a record under this claim is not in it
	joined   []*waiter  // callers of this turn's calls
	onCommit []*waiter  // callers that are answered when the record is durable
	later    []func()   // answers that follow from the turn: given once it is committed
	events   []Event    // of the record, once it is durable
	bodies   []*stepRun // steps whose bodies start once the record is durable
	purges   bool       // it removes the run: nothing comes after that
	buries   bool       // it refuses sends that a run after this one would take: the log must say so first
}

// full reports whether the record should be committed before more is applied.
func (t *turn) full() bool { return t.run.x.journal.size() >= turnBytes }

func (t *turn) apply(it *item) {
	r := t.run
	switch it.kind {
	case itemCall:
		t.call(it)
	case itemStep:
		t.stepEnded(it.step)
	case itemRetry:
		switch s := it.step.step; {
		case r.x.steps[s.id] != s || r.parked != nil:
		case r.x.paused != nil:
			r.recovered = append(r.recovered, s)
		default:
			t.claim()
			r.x.started = append(r.x.started, s)
			t.quickSteps()
		}
	case itemTimer:
		t.timerDue(it)
	case itemConflict:
		if r.parked == nil && !r.x.status.Ended() {
			t.input(it.event)
		}
	case itemSettle:
		r.outbox.out = false
	case itemExpired:
		r.expire()
	case itemBuried:
		r.burying = slices.DeleteFunc(r.burying, func(b BuriedSend) bool { return b.Inbox == it.inbox })
	case itemResume, itemTouched, itemLeftover, itemIDs, itemSwept:
	}
}

// input delivers an event to the run and lets its code go on; a parked run only keeps it.
func (t *turn) input(ev Event) {
	r := t.run
	t.claim()
	if r.parked != nil {
		switch logged := r.x.journal.record(ev, r.host.now()); ev.Type {
		case HookReceived:
			r.x.receive(logged)
		case RunCancelling:
			r.x.cancel(logged)
		default:
		}
		return
	}
	r.x.input(ev)
	t.quickSteps()
}

// claim writes, once a claim, that this node has the run now, and makes the run where there is none.
func (t *turn) claim() {
	t.run.x.journal.recordFirst(t.run.host.now(), t.claiming()...)
}

// claiming is what claim writes, if it is not written yet.
func (t *turn) claiming() (events []Event) {
	r := t.run
	if r.claimed {
		return nil
	}
	r.claimed = true
	if r.lastRec == 0 || r.heirOf != 0 {
		events = append(events, Event{Type: RunCreated, Previous: r.heirOf})
	}
	return append(events, Event{Type: RunClaimed, Node: r.host.cfg.Node, Epoch: r.part.claim.Epoch, Revision: r.part.claim.Revision})
}

// begin starts a run that needs no input.
func (t *turn) begin() {
	if r := t.run; r.typ.run != nil && r.typ.run.startsItself && r.x.status == StatusPending && r.parked == nil {
		r.startedWith = []byte("null")
		t.input(Event{Type: RunStarted, Payload: r.startedWith, Version: r.typ.migrations.recorded()})
	}
}

// goOn lets code do more that a full turn has stopped. Nothing may come before that: in the log, what the code does
// follows at once from what it did before.
func (t *turn) goOn() {
	if r := t.run; r.x.stalled && !t.full() && r.parked == nil {
		t.claim()
		r.x.advance()
		t.quickSteps()
	}
}

// recover takes up what the log shows as unfinished, the first time that a loaded run is worked on.
func (t *turn) recover(reads bool) {
	r := t.run
	if reads && r.part.lags() && r.lastRec != 0 {
		t.claim() // nothing is read before the log has the claim
	}
	if r.parked == nil && r.status == StatusParked && r.x.err == nil {
		r.x.journal.recordFirst(r.host.now(), append(t.claiming(), Event{Type: RunResumed})...)
		r.log.Info("run resumed: its code matches its log again")
	}
	if len(r.x.journal.out) > 0 || len(r.x.started) > 0 {
		t.claim() // the code went on while it was loaded: that, and what its steps leave, comes first in the log
		t.quickSteps()
	}
	t.endPending()
	if r.x.status.Ended() && len(r.x.open) > 0 { // its end was cut in two
		t.claim()
		r.x.answerAll()
	}
	t.recoverSteps()
}

// recoverSteps runs steps again that are in the log without result, and those that were to be tried again while the run
// was paused.
func (t *turn) recoverSteps() {
	r := t.run
	for len(r.recovered) > 0 && !r.x.stalled && r.x.paused == nil {
		s := r.recovered[0]
		r.recovered = r.recovered[1:]
		if r.x.steps[s.id] != s {
			continue
		}
		if wait := s.due.Sub(r.host.now()); wait > 0 {
			r.retryLater(s, wait)
			continue
		}
		t.input(Event{Type: StepStarted, ID: s.id, Name: s.name, Attempt: s.attempt})
		t.bodies = append(t.bodies, s)
	}
	t.quickSteps()
}

// complete parks the run if its code went wrong.
func (t *turn) complete() {
	r := t.run
	if r.x.err != nil && r.parked == nil {
		t.claim()
		r.park(r.x.err)
		r.x.journal.record(Event{Type: RunParked, Reason: r.parked.reason, Error: Errorf(CodeStopped, "%s", r.parked.message)}, r.host.now())
		r.log.Error("run parked", "reason", r.parked.reason, "err", r.parked.message)
	}
}

// park ends the run's code; what arrives is kept in the log.
func (r *run) park(err error) {
	r.parked = &parking{parkedByPanic, err.Error()}
	switch {
	case asReplay(err):
		r.parked.reason = parkedByReplay
	case errors.Is(err, errMigration):
		r.parked.reason = parkedByMigration
	}
	r.x.stop()
	if r.stepEnd != nil {
		r.stepEnd()
	}
	for _, tm := range r.timers {
		tm.Stop()
	}
	if r.alarmTimer != nil {
		r.alarmTimer.Stop()
	}
}

// timerDue completes a wait whose time has come; a firing that is early waits.
func (t *turn) timerDue(it *item) {
	r := t.run
	w := r.x.waits[it.id]
	if w == nil {
		t.alarmsDue(it)
		return
	}
	if early := w.due.Sub(r.host.now()); early > 0 {
		r.keepFiring(w.id, early, it)
		r.remind(w, early)
		return
	}
	if r.x.paused != nil || r.parked != nil { // whatever has it go on sees to it
		t.letGo(w.id)
		return
	}
	if it.done != nil {
		delete(r.armed, w.id) // nothing is left to cancel
	}
	t.input(Event{Type: WaitCompleted, ID: w.id})
}

func (r *run) remind(w *timer, in time.Duration) {
	it := item{kind: itemTimer, id: w.id}
	if old := r.timers[w.id]; old != nil {
		old.Stop()
	}
	r.timers[w.id] = time.AfterFunc(max(in, 0), func() { r.part.deliver(r.addr, it) })
}

// now is the wall clock, for events.
func (h *Host) now() time.Time { return time.Now().UTC().Round(0) }
