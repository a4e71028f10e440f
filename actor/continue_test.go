package actor

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// meter adds up what its calls carry, and continues from the sum after every few of them. Calls of "later" it takes
// and does not answer, and those of "rest" stay for the next round.
type reading struct {
	Sum    int
	Rounds int
	IDs    []string // of the last round
}

func meters(every int) *Workflow[None, None] {
	add, later, rest, held := NewHook[int, reading]("add"), NewHook[int, int]("later"), NewHook[int, int]("rest"), NewHook[int, int]("held")
	double := NewStep("double", func(_ context.Context, n int) (int, error) { return 2 * n, nil })
	idle := NewStep("idle", func(ctx context.Context, _ None) (None, error) { <-ctx.Done(); return None{}, ctx.Err() })
	return NewWorkflow("meter", func(ctx Context, _ None) (None, error) {
		at, _ := Continued[reading](ctx)
		at.IDs = append(at.IDs[:0], UUID(ctx).String())
		hook, silent := add.Create(ctx), later.Create(ctx)
		held.Create(ctx, Token("held:"+Metadata(ctx).Key))
		rests := rest.Create(ctx)
		After(ctx, time.Hour)
		if every > 2 {
			idle.Start(ctx, None{})
		}
		for n := 0; ; n++ {
			if n == every {
				if at.Rounds%2 == 1 {
					for range 3 { // those that have come by now
						if !rests.ready(ctx.scope().x) {
							break
						}
						call, err := rests.Await(ctx)
						if err != nil {
							return None{}, err
						}
						call.Reply(ctx, at.Rounds)
					}
				}
				at.Rounds++
				ContinueFrom(ctx, at)
			}
			which, err := Race(ctx, hook, silent)
			if err != nil {
				return None{}, err
			}
			if which == 1 {
				if _, err := silent.Await(ctx); err != nil {
					return None{}, err
				}
				continue
			}
			call, err := hook.Await(ctx)
			if err != nil {
				return None{}, err
			}
			twice, err := double.Run(ctx, call.Payload)
			if err != nil {
				return None{}, err
			}
			at.Sum += twice
			at.IDs = append(at.IDs, UUID(ctx).String())
			call.Reply(ctx, at)
		}
	}, add, later, rest, held)
}

// shape is everything of an execution that what comes next depends on.
func shape(x *execution) string {
	type hook struct{ Token, Conflict string }
	s := struct {
		Status                      Status
		Queue, Open, Waits, Steps   []string
		Hooks                       map[string]hook
		Input, Life, Waiting, State string
		Ordinal                     int
	}{Status: x.status, Hooks: map[string]hook{}, Input: x.input0, Life: x.life, Waiting: x.waitingFor(), State: string(x.encoded), Ordinal: x.ordinal}
	for _, c := range x.queue {
		s.Queue = append(s.Queue, fmt.Sprint(*c))
	}
	for _, c := range x.unanswered() {
		s.Open = append(s.Open, c.id)
	}
	for key, h := range x.hooks {
		v := hook{Token: h.token}
		if h.conflict != nil {
			v.Conflict = h.conflict.Error()
		}
		s.Hooks[key] = v
	}
	b, _ := json.MarshalIndent(s, "", " ") //nolint:errchkjson // strings
	return string(b)
}

// TestContinueFrom_replay compares, at random points of random histories, the live execution with replays of the
// whole log and of what follows the last checkpoint.
func TestContinueFrom_replay(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 1))
		every := 1 + r.IntN(4)
		b := newBench(t, meters(every))
		b.input(started())
		snapshots := 0
		for i := range 60 {
			hook := []string{"add", "add", "later", "rest", "held"}[r.IntN(5)]
			out := b.input(calls(hook, fmt.Sprint("c", i), fmt.Sprint(i)))
			if lastSnapshot(out) >= 0 {
				snapshots++
				b.log[len(b.log)-1].Compacted = b.x.compacted
			}
			if r.IntN(10) == 0 {
				b.input(Event{Type: HookConflict, Name: "held", Token: "held:k", Run: "other/x"})
			}
			if r.IntN(3) != 0 {
				continue
			}
			whole := append([]entryRecord(nil), b.log...)
			first := whole[0]
			first.Record = &Record{Events: first.Events} // read from its beginning
			whole[0] = first
			from := 0
			for k, rec := range b.log {
				if rec.Compacted != nil {
					from = k
				}
			}
			want := shape(b.x)
			for name, log := range map[string][]entryRecord{"whole log": whole, "tail": b.log[from:]} {
				x := b.fresh()
				x.replay(workflowHistory(log))
				if x.err != nil {
					t.Fatalf("seed %d, call %d: replay of the %s: %v", seed, i, name, x.err)
				}
				if diff := cmp.Diff(shape(x), want); diff != "" {
					t.Fatalf("seed %d, call %d: replay of the %s against live (-got +want):\n%s", seed, i, name, diff)
				}
				if len(x.journal.out) > 0 {
					t.Fatalf("seed %d, call %d: replay of the %s did more: %v", seed, i, name, brief(x.journal.out))
				}
				x.stop()
			}
		}
		if snapshots < 5 {
			t.Errorf("seed %d: %d checkpoints", seed, snapshots)
		}
	}
}

// TestContinueFrom_ends: what the code had begun has an end in the log before the checkpoint.
func TestContinueFrom_ends(t *testing.T) {
	b := newBench(t, meters(3))
	b.input(started())
	b.input(calls("later", "silent", "1"))
	b.input(calls("rest", "kept", "1"))
	b.input(calls("add", "a", "1"))
	got := strings.Join(brief(b.input(calls("add", "b", "1"))), ", ")
	for _, want := range []string{"wait_cancelled", "step_failed idle ! 499", "call_failed later ! 504", "snapshot"} {
		if !strings.Contains(got, want) {
			t.Errorf("the last record has %s: no %s", got, want)
		}
	}
	if len(b.x.queue) != 1 || b.x.open["kept"] == nil || len(b.x.open) != 1 || len(b.x.waits) != 1 {
		t.Errorf("after the checkpoint: %s", shape(b.x))
	}
}

// TestHost_continues has a run function that continues live through failing appends and restarts: it is what a model
// says, and what it reads does not grow with its log.
func TestHost_continues(t *testing.T) {
	w := newWorld(t)
	addr := Address{"meter", "k"}
	const every, turns = 5, 400
	r := rand.New(rand.NewPCG(8, 9))
	epoch, sum := uint64(1), 0
	h := w.host("n", nil, meters(every))
	w.own(h, epoch, Checkpoint{})
	ids := map[string]bool{}
	for turn := range turns {
		if r.IntN(12) == 0 {
			done, _ := h.Checkpoint(0)
			h.Close()
			epoch++
			log := &counting{world: w}
			h = w.host("n", func(c *Config) { c.Log = log }, meters(every))
			w.own(h, epoch, done)
			w.result(ask(h, addr, HookState, "", ""))
			if n := log.reads.Load(); n > idsEvery+3*every+5 { // its first record needs the ids since the last table
				t.Errorf("turn %d: a cold read took %d reads", turn, n)
			}
		}
		fault, tries := r.IntN(8), 0
		w.change(func() {
			w.onAppend = func(*Entry) (bool, error) {
				if tries++; tries > 1 {
					return true, nil
				}
				switch fault {
				case 0:
					return false, ErrAppendUnknown
				case 1:
					return true, ErrAppendUnknown
				case 2:
					return false, ErrAppendConflict
				case 3:
					return true, ErrAppendConflict
				default:
					return true, nil
				}
			}
		})
		sum += 2 * turn
		o := w.answer(ask(h, addr, "add", fmt.Sprint(turn), fmt.Sprint(turn)))
		var got reading
		if o.Err != nil || json.Unmarshal(o.Result, &got) != nil || got.Sum != sum || got.Rounds != turn/every || len(got.IDs) != turn%every+2 {
			t.Fatalf("turn %d: %s, %v, want sum %d", turn, o.Result, o.Err, sum)
		}
		last := got.IDs[len(got.IDs)-1]
		if ids[last] {
			t.Fatalf("turn %d: uuid %s came before", turn, last)
		}
		ids[last] = true
	}
	h.Close()
	h = w.host("n", nil, meters(every))
	w.own(h, epoch+1, Checkpoint{})
	var state reading
	if got := w.result(ask(h, addr, HookState, "", "")); json.Unmarshal([]byte(got), &state) != nil || state.Sum != sum || state.Rounds != turns/every {
		t.Errorf("$state is %s, want sum %d", got, sum)
	}
	again := w.answer(ask(h, addr, "add", "7", "7"))
	if again.Err != nil || !strings.Contains(string(again.Result), `"Rounds":1`) {
		t.Errorf("a call from before many checkpoints, repeated: %s, %v", again.Result, again.Err)
	}
}

// TestContinueFrom_waiting: a call that waits for its turn is answered after a checkpoint and a restart.
func TestContinueFrom_waiting(t *testing.T) {
	w := newWorld(t)
	addr := Address{"meter", "k"}
	h := w.host("n", nil, meters(1))
	w.own(h, 1, Checkpoint{})
	rest := ask(h, addr, "rest", "r", "1")
	w.result(ask(h, addr, "add", "a", "1"))
	h.Close()
	w.answer(rest) // the node is gone
	h = w.host("n", nil, meters(1))
	w.own(h, 2, Checkpoint{})
	rest = ask(h, addr, "rest", "r", "1")
	w.result(ask(h, addr, "add", "b", "1"))
	if got := w.result(rest); got != "1" {
		t.Errorf("the call that waited is answered %s", got)
	}
	if got := w.result(ask(h, addr, "rest", "r", "1")); got != "1" {
		t.Errorf("repeated, it is answered %s", got)
	}
}

// TestContinueFrom_wrong parks a run whose checkpoint cannot be kept or read, and resumes it with mended code.
func TestContinueFrom_wrong(t *testing.T) {
	hook := NewHook[int, int]("go")
	def := func(v func(ctx Context, n int)) *Workflow[None, None] {
		return NewWorkflow("wrong", func(ctx Context, _ None) (None, error) {
			call, err := hook.Create(ctx).Await(ctx)
			if err != nil {
				return None{}, err
			}
			n, _ := Continued[int](ctx)
			call.Reply(ctx, n+call.Payload)
			v(ctx, n+call.Payload)
			return None{}, nil
		}, hook)
	}
	for name, bad := range map[string]func(ctx Context, n int){
		"does not encode": func(ctx Context, _ int) { ContinueFrom(ctx, func() {}) },
		"too large":       func(ctx Context, _ int) { ContinueFrom(ctx, strings.Repeat("x", 9<<10)) },
		"not an int":      func(ctx Context, _ int) { ContinueFrom(ctx, "text") },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			addr := Address{"wrong", "k"}
			h := w.host("a", func(c *Config) { c.MaxState = 9 << 10 }, def(bad))
			w.own(h, 1, Checkpoint{})
			ask(h, addr, "go", "1", "1")
			w.until("parked", func() bool {
				return w.count(RunParked) == 1 || w.count(Snapshot) == 1
			})
			if name == "not an int" {
				if o := w.answer(ask(h, addr, "go", "2", "2")); o.Err == nil || o.Err.Code != CodeStopped && o.Err.Code != CodePanic {
					t.Fatalf("got %s, %v", o.Result, o.Err)
				}
				return // what is in the log cannot be mended but by code that reads it
			}
			h.Close()
			h = w.host("b", nil, def(ContinueFrom[int]))
			w.own(h, 2, Checkpoint{})
			if got := w.result(ask(h, addr, "go", "2", "2")); got != "3" {
				t.Errorf("the mended run answers %s, want 3", got)
			}
		})
	}
}

// TestHost_unsettledMoves: a run that always has a step in progress keeps nobody reading its log from the beginning.
func TestHost_unsettledMoves(t *testing.T) {
	w := newWorld(t)
	h := w.host("n", nil, meters(1000))
	w.own(h, 1, Checkpoint{})
	for i := range 50 {
		w.result(ask(h, Address{"meter", "k"}, "add", "", fmt.Sprint(i)))
	}
	w.until("the effects of the last record are known to be out", func() bool {
		p := h.owned(0)
		p.mu.Lock()
		defer p.mu.Unlock()
		_, listed := p.floorLocked()
		return len(listed) == 1 && listed[0].Seq > 45
	})
}

// TestLife_endedCheckpoint: the last checkpoint of a run is its $state, also when it has ended, and on every node.
func TestLife_endedCheckpoint(t *testing.T) {
	do := NewHook[string, int]("do")
	def := NewWorkflow("errand", func(ctx Context, _ None) (int, error) {
		n, _ := Continued[int](ctx)
		call, err := do.Create(ctx).Await(ctx)
		if err != nil || call.Payload == "return" {
			return n, err
		}
		call.Reply(ctx, n)
		ContinueFrom(ctx, n+1)
		return 0, nil
	}, do)
	d := &deploy{world: newWorld(t)}
	d.next(def)
	for range 3 {
		d.result(ask(d.h, errand, "do", "", `"x"`))
	}
	d.answer(ask(d.h, errand, "do", "", `"return"`))
	for range 2 {
		if got := d.result(ask(d.h, errand, HookState, "", "")); got != "3" {
			t.Errorf("$state is %s", got)
		}
		d.next(def)
	}
}
