package actor

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
)

// Migration makes a value of one version from one of the version before. It is declared with what it is for: with an object
// for its state, with a workflow for its input, with a hook, method or alarm for its payload. [MigrateCheckpoint] makes one of
// a workflow's checkpoints.
type Migration struct {
	to       int
	old, new reflect.Type
	apply    func([]byte) ([]byte, error)
}

// Migrate declares that version to of a state, input or payload is New, and how it is made from what version to-1 was, an
// Old. What was recorded without version has version 1, so the first migration is usually to 2; those of one value are
// declared in order, the last one makes its type of today. Leave out the oldest when nothing that old is recorded any more.
//
// fn runs when an object is loaded and must be a function of its argument alone: it runs again each time until the object's
// next record has the result, and it may run on many nodes. An error or a panic parks the run, with reason "migration" and
// its records as they are; mended code resumes it.
//
// A record of a later version than the code has is refused with 503 and nothing is written: older code cannot ruin it.
func Migrate[Old, New any](to int, fn func(Old) (New, error)) *Migration {
	return &Migration{to: to, old: reflect.TypeFor[Old](), new: reflect.TypeFor[New](), apply: func(data []byte) ([]byte, error) {
		var old Old
		if err := json.Unmarshal(data, &old); err != nil {
			return nil, err
		}
		made, err := fn(old)
		if err != nil {
			return nil, err
		}
		return json.Marshal(made)
	}}
}

// declare makes the migration one of the type's own value: an object's state, a workflow's input.
func (m *Migration) declare(_ *registry, t *typeDef) { t.migrations = append(t.migrations, m) }

func (m *Migration) ofAlarm(a *alarmDef) { a.migrations = append(a.migrations, m) }

// MigrateCheckpoint is [Migrate] for what a workflow gives to [ContinueFrom]: the last one makes what that and [Continued]
// have today.
func MigrateCheckpoint[Old, New any](to int, fn func(Old) (New, error)) Declaration {
	return checkpointMigration{Migrate(to, fn)}
}

type checkpointMigration struct{ *Migration }

func (m checkpointMigration) declare(_ *registry, t *typeDef) {
	t.checkpoints = append(t.checkpoints, m.Migration)
}

// errMigration: what was recorded cannot be made into what the code has today.
var errMigration = errors.New("does not migrate")

// migrations lead from one version of a value to the next, ascending.
type migrations []*Migration

// version is that of what the code has today.
func (ms migrations) version() int {
	if len(ms) == 0 {
		return 1
	}
	return ms[len(ms)-1].to
}

// recorded is the version as records have it: 0, and so absent, for 1.
func (ms migrations) recorded() int {
	if v := ms.version(); v > 1 {
		return v
	}
	return 0
}

// made is the type of what the last one makes; nil: there is none.
func (ms migrations) made() reflect.Type {
	if len(ms) == 0 {
		return nil
	}
	return ms[len(ms)-1].new
}

// check finds what is wrong with migrations to a value of type last.
func (ms migrations) check(r *registry, owner string, last reflect.Type) {
	for i, m := range ms {
		switch {
		case i == 0 && m.to < 2:
			r.problem("%s: migration to version %d: the first version that a migration makes is 2", owner, m.to)
		case i > 0 && m.to != ms[i-1].to+1:
			r.problem("%s: migration to version %d follows one to version %d: want %d", owner, m.to, ms[i-1].to, ms[i-1].to+1)
		case i > 0 && m.old != ms[i-1].new:
			r.problem("%s: migration to version %d takes %v, and the one before it makes %v", owner, m.to, m.old, ms[i-1].new)
		}
	}
	if made := ms.made(); made != nil && made != last {
		r.problem("%s: the last migration makes %v, want %v", owner, made, last)
	}
}

// tooNew reports whether a value was recorded by later code than this.
func (ms migrations) tooNew(recorded int) bool { return max(recorded, 1) > ms.version() }

// migrate makes the value of today from one recorded with this version, which must not be too new. Its error is an
// errMigration.
func (ms migrations) migrate(data []byte, recorded int) (_ []byte, err error) {
	from, version := max(recorded, 1), ms.version()
	if from == version {
		return data, nil
	}
	if oldest := ms[0].to - 1; from < oldest {
		return nil, fmt.Errorf("%w from version %d: this code migrates from version %d on", errMigration, from, oldest)
	}
	for _, m := range ms[from+1-ms[0].to:] {
		if data, err = m.safely(data); err != nil {
			return nil, fmt.Errorf("%w to version %d: %w", errMigration, m.to, err)
		}
	}
	return data, nil
}

// payload migrates one, and has the schema that there may be judge the result.
func (ms migrations) payload(data []byte, recorded int, schema Schema) ([]byte, error) {
	made, err := ms.migrate(data, recorded)
	if err != nil || schema == nil {
		return made, err
	}
	if made, err = schema.Normalize(made); err != nil {
		return nil, fmt.Errorf("%w to version %d: %w", errMigration, ms.version(), err)
	}
	return made, nil
}

// safely makes a panic of user code an error.
func (m *Migration) safely(data []byte) (made []byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			made, err = nil, fmt.Errorf("panic: %v", r)
		}
	}()
	return m.apply(data)
}

// payloadMigrations returns those of an event's payload, and the schema that the result must have, if any; ok is false for an
// event without payload of a known type.
func (t *typeDef) payloadMigrations(ev *Event) (ms migrations, schema Schema, ok bool) {
	switch ev.Type {
	case RunStarted:
		if t.run != nil {
			return t.migrations, t.run.in, true
		}
	case HookReceived:
		if h := t.hooks[ev.Name]; h != nil {
			return h.migrations, h.in, true
		}
	case WaitCompleted: // of an alarm that fires
		if a := t.alarms[ev.Name]; a != nil && ev.alarm() {
			return a.migrations, nil, true // none judged it when it was set
		}
	case Snapshot: // the checkpoint of a run function
		return t.checkpoints, nil, t.run != nil
	default:
	}
	return nil, nil, false
}

// readable returns why this code must not touch a run with these records, the last one included: later code wrote them.
func (t *typeDef) readable(records []entryRecord, last *Record) error {
	if t.object != nil && t.migrations.tooNew(last.StateVersion) {
		return tooNew("its state", last.StateVersion, t.migrations)
	}
	for _, rec := range records {
		for ev := range rec.all() {
			if ms, _, ok := t.payloadMigrations(ev); ok && ms.tooNew(ev.Version) {
				return tooNew(fmt.Sprintf("the payload of %s %s in record %d", ev.Type, ev.ID, rec.seq), ev.Version, ms)
			}
		}
	}
	return nil
}

func tooNew(what string, version int, ms migrations) error {
	return fmt.Errorf("%w: %s has version %d, and this node's code knows %d: upgrade it", errUnreadable, what, version, ms.version())
}

// migratePayloads makes the payloads of records what code of today would have got. Its error is an errMigration.
func (t *typeDef) migratePayloads(records []entryRecord) error {
	for _, rec := range records {
		for ev := range rec.all() {
			ms, schema, ok := t.payloadMigrations(ev)
			if !ok || max(ev.Version, 1) == ms.version() || rec.replaced(ev) {
				continue
			}
			made, err := ms.payload(ev.Payload, ev.Version, schema)
			if err != nil && t.object != nil && answered(records, ev.ID) {
				continue // no code will see it again
			}
			if err != nil {
				return fmt.Errorf("the payload of %s %s in record %d %w", ev.Type, ev.ID, rec.seq, err)
			}
			ev.Payload, ev.Version = made, ms.recorded()
		}
	}
	return nil
}

// answered reports whether records have the outcome of a call, or cancel an alarm that had fired.
func answered(records []entryRecord, id string) bool {
	return slices.ContainsFunc(records, func(rec entryRecord) bool {
		return slices.ContainsFunc(rec.Events, func(ev Event) bool { return ev.settles(id) })
	})
}

// migrateAlarms makes the payloads of settings in this record what code of today would have set. Its error is an errMigration,
// or an errUnreadable.
func (t *typeDef) migrateAlarms(settings []AlarmEntry, seq uint64) ([]AlarmEntry, error) {
	settings = slices.Clone(settings)
	for i := range settings {
		s := &settings[i]
		a := t.alarms[s.Name]
		if a == nil || max(s.Version, 1) == a.migrations.version() {
			continue
		}
		what := fmt.Sprintf("the payload of alarm %s, key %q, in record %d", s.Name, s.Key, seq)
		if a.migrations.tooNew(s.Version) {
			return nil, tooNew(what, s.Version, a.migrations)
		}
		made, err := a.migrations.migrate(s.Payload, s.Version)
		if err != nil {
			return nil, fmt.Errorf("%s %w", what, err)
		}
		s.Payload, s.Version = made, a.migrations.recorded()
	}
	return settings, nil
}
