package actor

import (
	"encoding/json"
	"slices"
	"time"
)

// alarm is one setting of an alarm. Its id is that of its arming: set again, it is another.
type alarm struct {
	id      string
	name    string // of the alarm
	key     string // of the setting
	due     time.Time
	payload json.RawMessage
	version int // of payload, as records have it
	attempt int
	armed   bool // a schedule was armed for it
}

type alarmName struct{ name, key string }

// alarmTable is an object's settings that have not fired, in the order in which they will. At most one is there under a key.
type alarmTable struct {
	order   []*alarm
	byName  map[alarmName]*alarm
	bytes   int  // of payloads
	changed bool // since the last record
}

func (t *alarmTable) get(n alarmName) *alarm { return t.byName[n] }

// first is the one that fires next; nil: there is none.
func (t *alarmTable) first() *alarm {
	if len(t.order) == 0 {
		return nil
	}
	return t.order[0]
}

// put adds a, behind those of the same time. There must be none under its key.
func (t *alarmTable) put(a *alarm) {
	at, _ := slices.BinarySearchFunc(t.order, a.due, func(b *alarm, due time.Time) int {
		if b.due.After(due) {
			return 1
		}
		return -1
	})
	t.order = slices.Insert(t.order, at, a)
	if t.byName == nil {
		t.byName = map[alarmName]*alarm{}
	}
	t.byName[alarmName{a.name, a.key}] = a
	t.bytes += len(a.payload)
	t.changed = true
}

// remove takes out the one with this id, if it is there.
func (t *alarmTable) remove(n alarmName, id string) {
	a := t.byName[n]
	if a == nil || a.id != id {
		return
	}
	delete(t.byName, n)
	i := 0
	if t.order[0] != a {
		i = slices.Index(t.order, a)
	}
	t.order[i] = nil
	if i == 0 {
		t.order = t.order[1:]
	} else {
		t.order = slices.Delete(t.order, i, i+1)
	}
	t.bytes -= len(a.payload)
	t.changed = true
}

// byID finds a setting by the id of its arming.
func (t *alarmTable) byID(id string) *alarm {
	for _, a := range t.order {
		if a.id == id {
			return a
		}
	}
	return nil
}

// AlarmEntry is a setting of an alarm, as records keep it.
type AlarmEntry struct {
	ID      string          `json:"id"`
	Name    string          `json:"name"`
	Key     string          `json:"key,omitempty"`
	Due     time.Time       `json:"due"`
	Payload json.RawMessage `json:"payload"`
	Version int             `json:"version,omitempty"` // of Payload; 0 is 1
	Attempt int             `json:"attempt,omitempty"` // from 2 on
	Armed   bool            `json:"armed,omitempty"`   // a schedule was armed for it
}

// entries is the table as records keep it.
func (t *alarmTable) entries() []AlarmEntry {
	out := make([]AlarmEntry, 0, len(t.order))
	for _, a := range t.order {
		e := AlarmEntry{ID: a.id, Name: a.name, Key: a.key, Due: a.due, Payload: a.payload, Version: a.version, Armed: a.armed}
		if a.attempt > 1 {
			e.Attempt = a.attempt
		}
		out = append(out, e)
	}
	return out
}

// restore sets the table to what a record has.
func (t *alarmTable) restore(entries []AlarmEntry) {
	*t = alarmTable{}
	for _, e := range entries {
		t.put(&alarm{e.ID, e.Name, e.Key, e.Due, e.Payload, e.Version, max(e.Attempt, 1), e.Armed})
	}
	t.changed = false
}

// rewind puts back what fires in a history that is about to be replayed: a method that runs in it saw the table with it.
func (t *alarmTable) rewind(history []pastEvent) (undo func()) {
	var fired []AlarmEntry
	for i := range history {
		if ev := &history[i].Event; ev.Type == WaitCompleted && ev.alarm() {
			fired = append(fired, AlarmEntry{ID: ev.ID, Name: ev.Name, Key: ev.Key, Due: *ev.Due, Payload: ev.Payload, Version: ev.Version, Attempt: ev.Attempt})
		}
	}
	if fired == nil {
		return func() {}
	}
	last := t.entries()
	t.restore(append(fired, last...))
	return func() { t.restore(last) }
}

// alarmOverhead is about what an entry takes in a record beside its payload, in bytes.
const alarmOverhead = 160

// size is about how many bytes the table takes in a record.
func (t *alarmTable) size() int { return t.bytes + alarmOverhead*len(t.order) }
