package actor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// openSchemas accepts every payload: what schemas refuse is tested where they are.
type openSchemas struct{}

func (openSchemas) For(reflect.Type) (Schema, error) { return openSchema{}, nil }

type openSchema struct{}

func (openSchema) JSON() json.RawMessage { return json.RawMessage("true") }
func (openSchema) Normalize(data []byte) ([]byte, error) {
	if len(data) == 0 {
		return []byte("null"), nil
	}
	return data, nil
}

// bench drives one execution as a run does, with steps that end at once, and keeps its log.
type bench struct {
	t     *testing.T
	typ   *typeDef
	x     *execution
	log   []entryRecord
	now   time.Time
	steps []string // bodies that ran
}

func newBench(t *testing.T, def Definition) *bench {
	t.Helper()
	reg, err := newRegistry(openSchemas{}, []Definition{def})
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	for _, typ := range reg.types {
		b.typ = typ
	}
	b.x = b.fresh()
	t.Cleanup(func() { b.x.stop() })
	return b
}

func (b *bench) fresh() *execution {
	info := Info{RunID: b.typ.name + "/k", Type: b.typ.name, Key: "k", Incarnation: "inc"}
	x := newExecution(info, b.typ, func() time.Time { b.now = b.now.Add(time.Millisecond); return b.now }, 1<<20, maxState, slog.New(slog.DiscardHandler))
	if b.typ.object != nil {
		if err := x.load(nil); err != nil {
			b.t.Fatal(err)
		}
	}
	return x
}

// input delivers events one by one, lets steps run, and commits what happened as one record.
func (b *bench) input(events ...Event) []Event {
	b.t.Helper()
	for _, ev := range events {
		b.x.input(ev)
		b.runSteps()
	}
	out := b.x.journal.out
	b.x.journal.out = nil
	var state json.RawMessage
	if b.typ.object != nil {
		state = b.x.encoded
	}
	b.log = append(b.log, entryRecord{seq: uint64(len(b.log) + 1), Record: &Record{V: 1, Events: out, State: state}})
	return out
}

func (b *bench) runSteps() {
	for len(b.x.started) > 0 {
		s := b.x.started[0]
		b.x.started = b.x.started[1:]
		if s.name == "idle" { // it never ends
			continue
		}
		b.steps = append(b.steps, s.name)
		a := stepAttempt{step: s, attempt: s.attempt}
		a.run(context.Background())
		b.x.input(a.event(b.now, 1<<20))
	}
}

// cold replays the log with another definition of the type, or the same.
func (b *bench) cold(def Definition) *execution {
	b.t.Helper()
	reg, err := newRegistry(openSchemas{}, []Definition{def})
	if err != nil {
		b.t.Fatal(err)
	}
	x := b.fresh()
	x.typ = reg.types[b.typ.name]
	if x.typ.object != nil {
		if err := x.load(b.log[len(b.log)-1].State); err != nil {
			b.t.Fatal(err)
		}
		x.replay(objectHistory(b.log))
	} else {
		x.replay(workflowHistory(b.log))
	}
	b.t.Cleanup(x.stop)
	return x
}

func started() Event { return Event{Type: RunStarted, Payload: json.RawMessage("null")} }

func calls(hook, id, payload string) Event {
	return Event{Type: HookReceived, ID: id, Name: hook, Payload: json.RawMessage(payload)}
}

func brief(events []Event) []string {
	var out []string
	for _, ev := range events {
		s := strings.TrimSpace(string(ev.Type) + " " + ev.Name)
		if ev.Result != nil {
			s += " = " + string(ev.Result)
		}
		if ev.Error != nil {
			s += fmt.Sprintf(" ! %d", ev.Error.Code)
		}
		out = append(out, s)
	}
	return out
}

type act struct {
	Type   string `json:"type"`
	Amount int    `json:"amount"`
}

func counterNamed(stepName string, swapped bool) *Workflow[None, None] {
	action := NewHook[act, int]("action")
	record := NewStep(stepName, func(_ context.Context, n int) (int, error) { return n, nil })
	audit := NewStep("audit", func(_ context.Context, n int) (int, error) { return n, nil })
	return NewWorkflow("counter", func(ctx Context, _ None) (None, error) {
		count := 0
		for {
			hook := action.Create(ctx, Token("counter:"+Metadata(ctx).RunID))
			call, err := hook.Await(ctx)
			if err != nil {
				return None{}, err
			}
			count += call.Payload.Amount
			first, second := record, audit
			if swapped {
				first, second = audit, record
			}
			if _, err := first.Run(ctx, count); err != nil {
				return None{}, err
			}
			if _, err := second.Run(ctx, count); err != nil {
				return None{}, err
			}
			call.Reply(ctx, count)
		}
	}, action)
}

func TestExecution_hookInLoop(t *testing.T) {
	b := newBench(t, counterNamed("recordState", false))
	got := brief(b.input(started(), calls("action", "a", `{"amount":2}`), calls("action", "b", `{"amount":3}`)))
	want := []string{
		"run_started", "hook_created action",
		"hook_received action", "step_completed recordState = 2", "step_completed audit = 2", "call_completed action = 2",
		"hook_received action", "step_completed recordState = 5", "step_completed audit = 5", "call_completed action = 5",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	ran := len(b.steps)
	b.x = b.cold(counterNamed("recordState", false))
	if b.x.err != nil {
		t.Fatal(b.x.err)
	}
	got = brief(b.input(calls("action", "c", `{"amount":1}`)))
	if d := cmp.Diff([]string{"hook_received action", "step_completed recordState = 6", "step_completed audit = 6", "call_completed action = 6"}, got); d != "" {
		t.Error(d)
	}
	if len(b.steps) != ran+2 {
		t.Errorf("replay ran step bodies: %v", b.steps[ran:])
	}
}

func TestExecution_mismatch(t *testing.T) {
	b := newBench(t, counterNamed("recordState", false))
	b.input(started(), calls("action", "a", `{"amount":2}`))
	for name, def := range map[string]Definition{
		"renamed":   counterNamed("remember", false),
		"reordered": counterNamed("recordState", true),
	} {
		t.Run(name, func(t *testing.T) {
			var mismatch *ReplayError
			if x := b.cold(def); !errors.As(x.err, &mismatch) {
				t.Fatalf("err = %v", x.err)
			}
			if mismatch.Seq != 1 || mismatch.Event != 3 || !strings.Contains(mismatch.Expected, `step_completed "recordState"`) {
				t.Errorf("%v", mismatch)
			}
		})
	}
	if x := b.cold(counterNamed("recordState", false)); x.err != nil {
		t.Errorf("the old code: %v", x.err)
	}
}

func TestExecution_race(t *testing.T) {
	action := NewHook[int, int]("action")
	def := NewWorkflow("racer", func(ctx Context, _ None) (None, error) {
		hook, sum := action.Create(ctx), 0
		for {
			tick := After(ctx, time.Hour)
			if i, err := Race(ctx, hook, tick); err != nil {
				return None{}, err
			} else if i == 1 {
				continue
			}
			tick.Cancel(ctx)
			call, err := hook.Await(ctx)
			if err != nil {
				return None{}, err
			}
			sum += call.Payload
			call.Reply(ctx, sum)
		}
	}, action)
	b := newBench(t, def)
	b.input(started())
	for i := range 20 {
		var wait string
		for id := range b.x.waits {
			wait = id
		}
		if i%3 == 0 {
			b.input(Event{Type: WaitCompleted, ID: wait})
		}
		b.input(calls("action", fmt.Sprint(i), "1"))
	}
	last := b.log[len(b.log)-1].Events
	if got := brief(last); got[2] != "call_completed action = 20" {
		t.Errorf("last turn: %v", got)
	}
	if x := b.cold(def); x.err != nil || len(x.waits) != 1 {
		t.Errorf("cold: err %v, waits %v", x.err, x.waits)
	}
}

func TestExecution_timeout(t *testing.T) {
	action := NewHook[int, string]("action")
	def := NewWorkflow("patient", func(ctx Context, _ None) (string, error) {
		hook := action.Create(ctx)
		if _, err := hook.Await(WithTimeout(ctx, time.Minute)); !errors.Is(err, ErrTimeout) {
			return "", fmt.Errorf("want a timeout, got %w", err)
		}
		call, err := hook.Await(WithTimeout(ctx, time.Minute))
		if err != nil {
			return "", err
		}
		call.Reply(ctx, "late but kept")
		return "done", nil
	}, action)
	b := newBench(t, def)
	out := b.input(started())
	b.input(Event{Type: WaitCompleted, ID: out[2].ID})
	got := brief(b.input(calls("action", "a", "1")))
	want := []string{"hook_received action", "wait_cancelled", `call_completed action = "late but kept"`, `run_completed = "done"`, "hook_disposed action"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if x := b.cold(def); x.err != nil || x.status != StatusCompleted {
		t.Errorf("cold: %v %v", x.err, x.status)
	}
}

func TestExecution_panicParksAndGoesOn(t *testing.T) {
	action := NewHook[int, int]("action")
	work := NewStep("work", func(_ context.Context, n int) (int, error) { return n, nil })
	fragile := func(broken bool) Definition {
		return NewWorkflow("fragile", func(ctx Context, _ None) (None, error) {
			hook, sum := action.Create(ctx), 0
			for {
				call, err := hook.Await(ctx)
				if err != nil {
					return None{}, err
				}
				n, err := work.Run(ctx, call.Payload)
				if err != nil {
					return None{}, err
				}
				if broken && n == 13 {
					panic("unlucky")
				}
				sum += n
				call.Reply(ctx, sum)
			}
		}, action)
	}
	b := newBench(t, fragile(true))
	b.input(started(), calls("action", "a", "1"), calls("action", "b", "13"))
	if b.x.err == nil {
		t.Fatal("not parked")
	}
	b.log = append(b.log, entryRecord{seq: 2, Record: &Record{Events: []Event{{Type: RunParked, Reason: parkedByPanic}, calls("action", "c", "2")}}})
	b.x = b.cold(fragile(false))
	if b.x.err != nil {
		t.Fatal(b.x.err)
	}
	b.x.journal.record(Event{Type: RunResumed}, b.now)
	b.runSteps()
	got := brief(b.input())
	// The record of the resumption holds what the mended code did in the replay, then the rest.
	want := []string{"call_completed action = 14", "run_resumed", "step_completed work = 2", "call_completed action = 16"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if x := b.cold(fragile(false)); x.err != nil {
		t.Errorf("cold again: %v", x.err)
	}
}

func TestExecution_objectBusy(t *testing.T) {
	type tally struct{ N int }
	obj := NewObject[tally]("tally")
	slow := NewStep("slow", func(_ context.Context, n int) (int, error) { return n, nil })
	NewMethod(obj, "add", func(s *tally, ctx Context, n int) (int, error) {
		got, err := slow.Run(ctx, n)
		if err != nil {
			return 0, err
		}
		if n < 0 {
			s.N = -1000
			return 0, errors.New("negative")
		}
		s.N += got
		return s.N, nil
	})
	b := newBench(t, obj)
	// a begins, b and c queue up behind its step.
	b.x.input(calls("add", "a", "1"))
	first := b.x.started[0]
	b.x.started = nil
	b.x.input(Event{Type: StepStarted, ID: first.id, Name: "slow", Attempt: 1})
	b.x.input(calls("add", "b", "-5"))
	b.x.input(calls("add", "c", "7"))
	b.input()
	if x := b.cold(obj); x.err != nil || len(x.queue) != 2 || len(x.steps) != 1 {
		t.Fatalf("cold, busy: err %v, queue %d, steps %d", x.err, len(x.queue), len(x.steps))
	}
	got := brief(b.input(Event{Type: StepCompleted, ID: first.id, Name: "slow", Result: json.RawMessage("1")}))
	want := []string{
		"step_completed slow = 1", "call_completed add = 1",
		"step_completed slow = -5", "call_failed add ! 422",
		"step_completed slow = 7", "call_completed add = 8",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if x := b.cold(obj); x.err != nil || x.state.(*tally).N != 8 {
		t.Errorf("cold: err %v, state %v", x.err, x.state)
	}
}
