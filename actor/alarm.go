package actor

import (
	"encoding/json"
	"errors"
	"reflect"
	"time"
)

// Alarm is a kind of alarm of an object type: its method is run on the object at a time that the object's methods set.
// One object has any number of settings of it, each under a key of its own. A setting is durable with the call that made it,
// survives restarts, moves, eviction and deploys, and fires once: a method that fails has set and cancelled nothing.
type Alarm[In any] struct{ name string }

// NewAlarm defines an alarm of o. When a setting of it is due, fn is run on the object like a method: between other calls, with
// state, outcome and new settings in one record. Settings of one object fire in the order of their times, those of equal
// times in the order in which they were set.
//
// When fn returns an error or panics the state is as before, and the alarm is set once more, under its key, after a
// backoff: 7 attempts, 2 s doubled up to 1 min, less up to a quarter; [Retry] changes that, [Terminal] and [RetryAfter] are
// heeded. Each failure is in the log, the last one as the alarm's outcome. What the object sets or cancels under that key
// meanwhile takes the retry's place. RetryPolicy.Timeout has no use here and is a mistake in the definition.
//
// Settings keep the payload that they were made with: [Migrate] makes of it what fn takes today.
//
// An alarm whose method sets alarms of its own kind uses [AlarmRef], so that Go can initialise both.
func NewAlarm[S, In any](o *Object[S], name string, fn func(*S, Context, In) error, opts ...AlarmOption) *Alarm[In] {
	o.alarms = append(o.alarms, func(r *registry, t *typeDef) {
		a := &alarmDef{name: name, in: schemaOf[In](r, t.name+"."+name+" payload")}
		for _, opt := range opts {
			opt.ofAlarm(a)
		}
		a.migrations.check(r, t.name+"."+name+" payload", reflect.TypeFor[In]())
		if a.retry.Timeout != 0 {
			r.problem("%s: alarm %s has a timeout: methods are not interrupted", t.name, name)
		}
		a.retry = a.retry.forAlarms()
		a.method = func(state any, ctx Context, payload []byte) ([]byte, error) {
			var in In
			if err := json.Unmarshal(payload, &in); err != nil {
				return nil, Errorf(CodeInvalid, "payload does not decode: %v", err)
			}
			if err := fn(state.(*S), ctx, in); err != nil {
				return nil, errors.Join(userError(err), err) // the second says whether and when to try again
			}
			return []byte("null"), nil
		}
		r.addAlarm(t, a)
	})
	return &Alarm[In]{name}
}

// AlarmOption is a [StepOption] or a [*Migration] of the payload.
type AlarmOption interface{ ofAlarm(*alarmDef) }

// AlarmRef is an alarm's handle without its method.
func AlarmRef[In any](name string) *Alarm[In] { return &Alarm[In]{name} }

// Set has the alarm fire at a time, to the nanosecond, or at once if that has passed; never before. A setting with the same key is
// replaced: it does not fire any more. It takes effect when the method succeeds.
// Errors: [ErrInvalid] for a key over 256 bytes or not UTF-8, a year beyond 9999 or a payload that does not encode; [ErrNotFound] when
// the object's type has no such alarm; [ErrLimit] beyond 10,000 settings of one object, [ErrTooLarge] when their payloads take
// more bytes than a state may.
func (a *Alarm[In]) Set(ctx Context, key string, at time.Time, in In) error {
	x := ctx.scope().x
	payload, err := json.Marshal(in)
	if err != nil {
		return Errorf(CodeInvalid, "set alarm %s: payload does not encode as JSON: %v", a.name, err)
	}
	return x.setAlarm(&alarm{name: a.name, key: key, due: at.UTC().Round(0), payload: payload, attempt: 1})
}

// Cancel takes the setting with this key back and reports whether there was one. It never fires then, not even if it is due
// already and waits for its turn. It takes effect when the method succeeds.
func (a *Alarm[In]) Cancel(ctx Context, key string) bool {
	return ctx.scope().x.cancelAlarm(alarmName{a.name, key})
}

// List returns the alarm's settings by their times, as the method that runs leaves them, or as they are committed for a query.
// One that is due and waits for its turn is among them. Its error says that a payload does not decode.
func (a *Alarm[In]) List(ctx ReadContext) ([]Setting[In], error) {
	var out []Setting[In]
	for _, s := range ctx.alarms() {
		if s.name != a.name {
			continue
		}
		set := Setting[In]{Key: s.key, At: s.due, Attempt: s.attempt}
		if err := json.Unmarshal(s.payload, &set.Payload); err != nil {
			return nil, Errorf(CodeInvalid, "list alarm %s: payload of %q does not decode: %v", a.name, s.key, err)
		}
		out = append(out, set)
	}
	return out, nil
}

// Setting is one time at which an alarm is to fire.
type Setting[In any] struct {
	Key     string
	At      time.Time
	Attempt int // 1, or more when it failed before
	Payload In
}

// alarmDef is an alarm as the engine sees it.
type alarmDef struct {
	name   string
	in     Schema
	retry  RetryPolicy
	method methodFunc

	migrations migrations // of the payload
}

// forAlarms fills in the defaults of alarms, which nobody waits for: they are tried for longer than steps.
func (p RetryPolicy) forAlarms() RetryPolicy {
	if p.Attempts <= 0 {
		p.Attempts = 7
	}
	if p.Backoff <= 0 {
		p.Backoff = 2 * time.Second
	}
	return p.withDefaults()
}

func (r *registry) addAlarm(t *typeDef, a *alarmDef) {
	if err := checkName(a.name); err != nil {
		r.problem("%s: alarm %v", t.name, err)
	}
	if t.alarms[a.name] != nil || t.hooks[a.name] != nil {
		r.problem("%s: %s is defined twice", t.name, a.name)
	}
	t.alarms[a.name] = a
}
