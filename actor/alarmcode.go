package actor

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"time"
)

// maxAlarms is how many settings one object may have.
const maxAlarms = 10_000

// alarmChanges is what the method that runs has done to the object's alarms: it takes effect with its outcome.
type alarmChanges struct {
	at    map[alarmName]*alarmChange
	seq   int // of the last change
	more  int // how many settings there will be more than the table has
	bytes int // how many more bytes their payloads take
}

type alarmChange struct {
	seq int
	set *alarm // nil: cancelled
}

// setAlarm sets an alarm, or says why it cannot be. Called by the code.
func (x *execution) setAlarm(a *alarm) error {
	x.body.alive()
	switch {
	case x.current == nil || x.typ.alarms[a.name] == nil:
		return Errorf(CodeNotFound, "%s has no alarm %q", x.typ.name, a.name)
	case a.key != "" && checkKey(a.key) != nil:
		return Errorf(CodeInvalid, "set alarm %s: %v", a.name, checkKey(a.key))
	case a.due.Year() < 1 || a.due.Year() > 9999:
		return Errorf(CodeInvalid, "set alarm %s: the year %d is out of range", a.name, a.due.Year())
	}
	n := alarmName{a.name, a.key}
	more, bytes := x.changes.more, x.changes.bytes+len(a.payload)
	if old := x.alarmUnder(n); old != nil {
		bytes -= len(old.payload)
	} else {
		more++
	}
	switch {
	case len(x.alarms.order)+more > maxAlarms:
		return limitError("alarms of one object", maxAlarms)
	case x.alarms.bytes+bytes > x.limit:
		return Errorf(CodeTooLarge, "the payloads of the object's alarms have more than %d bytes", x.limit)
	}
	a.version = x.typ.alarms[a.name].migrations.recorded()
	x.changes.more, x.changes.bytes = more, bytes
	x.changeAlarm(n, a)
	return nil
}

// cancelAlarm cancels a setting, and reports whether it was there. Called by the code.
func (x *execution) cancelAlarm(n alarmName) bool {
	x.body.alive()
	if x.current == nil || x.typ.alarms[n.name] == nil {
		return false
	}
	old := x.alarmUnder(n)
	if old != nil {
		x.changes.more--
		x.changes.bytes -= len(old.payload)
	}
	_, changed := x.changes.at[n]
	due := !changed && x.dueUnder(n) != nil
	if old != nil || due {
		x.changeAlarm(n, nil)
	}
	return old != nil || due
}

// alarmUnder is the setting under a name as the method that runs has left it so far; nil: there is none.
func (x *execution) alarmUnder(n alarmName) *alarm {
	if c := x.changes.at[n]; c != nil {
		return c.set
	}
	return x.alarms.get(n)
}

// dueUnder is a setting that has fired and waits for its turn.
func (x *execution) dueUnder(n alarmName) *received {
	i := slices.IndexFunc(x.queue, func(c *received) bool { return c.alarm != nil && c.hook == n.name && c.alarm.key == n.key })
	if i < 0 {
		return nil
	}
	return x.queue[i]
}

func (x *execution) changeAlarm(n alarmName, set *alarm) {
	if x.changes.at == nil {
		x.changes.at = map[alarmName]*alarmChange{}
	}
	x.changes.seq++
	x.changes.at[n] = &alarmChange{x.changes.seq, set}
}

// flushAlarms records what a method that succeeds did to the alarms, in the order in which it did so last.
func (x *execution) flushAlarms() {
	changes := x.changes
	x.changes = alarmChanges{}
	names := slices.SortedFunc(maps.Keys(changes.at), func(a, b alarmName) int { return cmp.Compare(changes.at[a].seq, changes.at[b].seq) })
	for _, n := range names {
		x.dropAlarm(n)
		if set := changes.at[n].set; set != nil {
			x.addAlarm(set)
		}
	}
}

// dropAlarm cancels the setting under a name, also one that is due and waits for its turn.
func (x *execution) dropAlarm(n alarmName) {
	if c := x.dueUnder(n); c != nil {
		x.do(Event{Type: WaitCancelled, ID: c.id, Name: n.name, Key: n.key})
		x.forget(c.id)
	}
	if a := x.alarms.get(n); a != nil {
		x.do(Event{Type: WaitCancelled, ID: a.id, Name: n.name, Key: n.key})
		x.alarms.remove(n, a.id)
	}
}

// addAlarm arms a.
func (x *execution) addAlarm(a *alarm) {
	a.id = x.stableID("alarm-")
	ev := Event{Type: WaitCreated, ID: a.id, Name: a.name, Key: a.key, Due: &a.due, Payload: a.payload, Version: a.version}
	if a.attempt > 1 {
		ev.Attempt = a.attempt
	}
	logged := x.do(ev)
	a.due = *logged.Due
	x.alarms.put(a)
}

// alarmFailed sets an alarm whose method failed once more, if it is to be tried again. What was set or cancelled under
// its key since it fired stands.
func (x *execution) alarmFailed(c *received, err error) {
	policy := RetryPolicy{}.forAlarms()
	if def := x.typ.alarms[c.hook]; def != nil {
		policy = def.retry
	}
	attempt := c.alarm.attempt
	if _, terminal := errors.AsType[*terminalError](err); terminal || attempt >= policy.Attempts {
		x.logger().Error("alarm failed for good", "alarm", c.hook, "key", c.alarm.key, "attempt", attempt, "err", err)
		return
	}
	n := alarmName{c.hook, c.alarm.key}
	if x.alarms.get(n) != nil || x.dueUnder(n) != nil {
		return
	}
	wait := policy.backoff(attempt)
	wait -= time.Duration(x.random().Int64N(int64(wait)/4 + 1))
	if after, ok := errors.AsType[*retryAfterError](err); ok {
		wait = after.after
	}
	x.logger().Warn("alarm failed: it is tried again", "alarm", c.hook, "key", c.alarm.key, "attempt", attempt, "in", wait, "err", err)
	x.addAlarm(&alarm{name: c.hook, key: c.alarm.key, due: x.clock().Add(wait), payload: c.payload, version: c.version, attempt: attempt + 1})
}

// settings lists the object's alarms by time, with those that are due and wait for their turn; changed: as the method
// that runs leaves them.
func (x *execution) settings(changed bool) []*alarm {
	var out []*alarm
	shown := func(n alarmName) bool { return !changed || x.changes.at[n] == nil }
	for _, c := range x.queue {
		if c.alarm != nil && shown(alarmName{c.hook, c.alarm.key}) {
			out = append(out, &alarm{c.id, c.hook, c.alarm.key, c.alarm.due, c.payload, c.version, c.alarm.attempt, false})
		}
	}
	for _, a := range x.alarms.order {
		if shown(alarmName{a.name, a.key}) {
			out = append(out, a)
		}
	}
	if changed && len(x.changes.at) > 0 {
		names := slices.SortedFunc(maps.Keys(x.changes.at), func(a, b alarmName) int {
			return cmp.Compare(x.changes.at[a].seq, x.changes.at[b].seq)
		})
		for _, n := range names {
			if set := x.changes.at[n].set; set != nil {
				out = append(out, set)
			}
		}
	}
	slices.SortStableFunc(out, func(a, b *alarm) int { return a.due.Compare(b.due) })
	return out
}
