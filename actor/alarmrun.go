package actor

import (
	"context"
	"errors"
	"time"
)

// Which records carry the table of alarms.
const (
	alarmsInline = 2 << 10 // bytes up to which every record does
	alarmsEvery  = 64      // a larger one is written when it has changed, and at least so often
)

// alarmsDue fires, in order, what is due by now. An alarm's schedule, or the reminder in memory, only says that it is
// time to look: what fires is what the table has, and the record that says so takes it out.
func (t *turn) alarmsDue(it *item) {
	r := t.run
	if r.x.status.Ended() {
		t.letGo(it.id)
		return
	}
	rests := r.parked != nil || r.x.paused != nil // whatever has it go on sees to it
	if a := r.x.alarms.byID(it.id); a == nil {
		if t.letGo(it.id); t.unsure && it.done != nil && r.lastRec != 0 {
			t.claim() // who leads the log may not know of the alarm yet
		}
	} else {
		early := a.due.Sub(r.host.now())
		switch {
		case early > 0:
			r.keepFiring(a.id, early, it)
		case rests:
			t.letGo(it.id)
		case it.done != nil:
			delete(r.armed, a.id) // nothing is left to cancel
		}
	}
	if rests {
		return
	}
	for !t.full() && !r.x.stalled {
		a := r.x.alarms.first()
		if a == nil || a.due.After(r.host.now()) {
			break
		}
		t.input(a.fires())
	}
	r.remindAlarms()
}

// fires is the event of a's firing: it says all that the method gets.
func (a *alarm) fires() Event {
	ev := Event{Type: WaitCompleted, ID: a.id, Name: a.name, Key: a.key, Due: &a.due, Payload: a.payload, Version: a.version}
	if a.attempt > 1 {
		ev.Attempt = a.attempt
	}
	return ev
}

// remindAlarms has the run look when the next alarm is due. One reminder serves all of them.
func (r *run) remindAlarms() {
	if r.alarmTimer != nil {
		r.alarmTimer.Stop()
		r.alarmTimer = nil
	}
	if a := r.x.alarms.first(); a != nil && r.parked == nil && r.x.paused == nil {
		it := item{kind: itemTimer}
		r.alarmTimer = time.AfterFunc(max(a.due.Sub(r.host.now()), 0), func() { r.part.deliver(r.addr, it) })
	}
}

// loadAlarms takes up the table of the last record, as it is there where its error is an errMigration.
func (r *run) loadAlarms(ctx context.Context, last *Record) error {
	r.alarmsAt, r.alarmsN = last.AlarmsAt, 0
	entries := last.Alarms
	switch {
	case last.AlarmsAt != 0:
		rec, err := r.records.one(ctx, last.AlarmsAt)
		if err != nil {
			return err
		}
		entries, r.alarmsN = rec.Alarms, rec.N
	case len(entries) > 0:
		r.alarmsAt, r.alarmsN = r.lastRec, last.N
	}
	migrated, err := r.typ.migrateAlarms(entries, r.alarmsAt)
	if err == nil {
		entries = migrated
	} else if !errors.Is(err, errMigration) {
		return err
	}
	r.x.alarms.restore(entries)
	for _, a := range r.x.alarms.order {
		if a.armed && r.asleep(a.id, a.due) {
			r.armed[a.id] = true
		}
	}
	return err
}

// armAlarm notes that the record under construction arms a schedule for the alarm that fires next, if that is far and
// has none: its firing finds the others that are due, and the record of that arms the next one. So an object has one
// schedule for each alarm that was the next one, not one for each alarm.
func (r *run) armAlarm() {
	a := r.x.alarms.first()
	if a != nil && !a.armed && a.due.Sub(r.x.journal.now) > nearTimer {
		a.armed, r.armed[a.id], r.arming = true, true, a
		r.x.alarms.changed = true
	}
}

// alarmTable is what the record under construction says of the alarms: all of them, or the record that does.
func (r *run) alarmTable() ([]AlarmEntry, uint64) {
	t := &r.x.alarms
	switch {
	case len(t.order) == 0:
		return nil, 0
	case !t.changed && r.alarmsAt != 0 && t.size() > alarmsInline && r.count+1-r.alarmsN < alarmsEvery:
		return nil, r.alarmsAt
	}
	return t.entries(), 0
}

// alarmsWritten moves on to the record that is now durable.
func (r *run) alarmsWritten(rec *Record, seq uint64) {
	switch {
	case len(rec.Alarms) > 0:
		r.alarmsAt, r.alarmsN = seq, rec.N
	case rec.AlarmsAt == 0:
		r.alarmsAt, r.alarmsN = 0, 0
	}
	if r.x.alarms.changed {
		r.x.alarms.changed = false
		r.remindAlarms()
	}
	if a := r.arming; a != nil {
		r.arming = nil
		r.outbox.add(r.armEffect(a))
	}
}

func (r *run) armEffect(a *alarm) *effect {
	id, at := a.id, r.wakeAt(a.due)
	return &effect{name: "arm alarm", do: func(ctx context.Context) error { return r.host.cfg.Timers.Arm(ctx, r.addr, id, at) }}
}

// redoAlarms arms schedules again of which nobody knows whether they were: one of each alarm that was the next one once.
func (r *run) redoAlarms() {
	for _, a := range r.x.alarms.order {
		if r.armed[a.id] {
			r.outbox.add(r.armEffect(a))
		}
	}
}

// nearAlarm reports whether the next alarm is kept by this node alone.
func (r *run) nearAlarm() bool {
	a := r.x.alarms.first()
	return a != nil && !r.timed(a.id) && r.x.paused == nil
}
