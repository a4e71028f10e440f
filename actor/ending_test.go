package actor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestLife_raced ends a run because a hook won a race: its call was applied, unless the code failed.
func TestLife_raced(t *testing.T) {
	for name, tc := range map[string]struct {
		err  error
		dead int
	}{"completed": {nil, 0}, "failed": {errors.New("no luck"), 1}} {
		t.Run(name, func(t *testing.T) {
			more, enough := NewHook[None, None]("more"), NewHook[None, None]("enough")
			w := newWorld(t)
			h := w.host("a", nil, NewWorkflow("errand", func(ctx Context, _ None) (None, error) {
				_, err := Race(ctx, more.Create(ctx), enough.Create(ctx))
				return None{}, errors.Join(err, tc.err)
			}, more, enough))
			w.run(h)
			w.own(h, 1, Checkpoint{})
			w.send(errand, HookStart, "null", CallHeader{})
			w.send(errand, "enough", "null", CallHeader{ReplyTo: "_INBOX.x"})
			w.until("outcome", func() bool { return len(w.outcomes["_INBOX.x"]) == 1 })
			w.mu.Lock()
			defer w.mu.Unlock()
			if got := w.outcomes["_INBOX.x"][0]; got.Err == nil || got.Err.Code != CodeEnded || len(w.dead) != tc.dead {
				t.Errorf("outcome %+v and %d dead letters, want 410 and %d", got, len(w.dead), tc.dead)
			}
		})
	}
}

// TestLife_cancelParked: a run that is cancelled while it is parked goes on as a cancelled one, whatever its code does first,
// and that replays.
func TestLife_cancelParked(t *testing.T) {
	do := NewHook[string, string]("do")
	hold := NewStep("hold", func(ctx context.Context, _ None) (None, error) { <-ctx.Done(); return None{}, ctx.Err() })
	for name, tc := range map[string]struct {
		then   func(ctx Context, futures []*Future[None]) (string, error)
		status Status
	}{
		"returns": {func(Context, []*Future[None]) (string, error) { return "done", nil }, StatusCancelled},
		"runs a step": {func(ctx Context, _ []*Future[None]) (string, error) {
			if _, err := hold.Run(ctx, None{}); !errors.Is(err, ErrCancelled) {
				return "", fmt.Errorf("a step returns %w", err)
			}
			return "", Sleep(WithoutCancel(ctx), time.Hour)
		}, StatusRunning},
		"starts a step": {func(ctx Context, _ []*Future[None]) (string, error) {
			if _, err := hold.Start(ctx, None{}).Await(WithoutCancel(ctx)); !errors.Is(err, ErrCancelled) {
				return "", fmt.Errorf("a step returns %w", err)
			}
			return "", Sleep(WithoutCancel(ctx), time.Hour)
		}, StatusRunning},
		"sleeps":    {func(ctx Context, _ []*Future[None]) (string, error) { return "", Sleep(ctx, time.Hour) }, StatusCancelled},
		"continues": {func(ctx Context, _ []*Future[None]) (string, error) { ContinueFrom(ctx, 1); return "", nil }, StatusCancelled},
		"gives a step up": {func(ctx Context, futures []*Future[None]) (string, error) {
			futures[1].Cancel(ctx)
			return "", Sleep(WithoutCancel(ctx), time.Hour)
		}, StatusRunning},
	} {
		t.Run(name, func(t *testing.T) {
			var mended atomic.Bool
			def := func() Definition {
				return NewWorkflow("errand", func(ctx Context, _ None) (string, error) {
					hook := do.Create(ctx)
					if _, ok := Continued[int](ctx); ok {
						_, err := hook.Await(ctx)
						return "", err
					}
					var futures []*Future[None]
					for range 3 {
						futures = append(futures, hold.Start(ctx, None{}))
					}
					if _, err := hook.Await(ctx); err != nil {
						return "", err
					}
					if !mended.Load() {
						panic("broken")
					}
					return tc.then(ctx, futures)
				}, do)
			}
			d := &deploy{world: newWorld(t)}
			d.next(def())
			d.answer(ask(d.h, errand, "do", "", `"x"`))
			if got := d.result(tell(d.h, HookCancel, "stop")); got != "null" {
				t.Fatal(got)
			}
			mended.Store(true)
			for range 3 {
				d.next(def())
				if s := d.status(d.h, errand); s.Status != tc.status || s.Reason != "stop" {
					t.Errorf("it is %s: %s; log: %v", s.Status, s.Reason, d.events())
				}
			}
			d.h.Close()
		})
	}
}

// TestLife_waitParked: who waits for the end of a run that is parked is told so, whoever was there first; that of a paused
// one is waited for.
func TestLife_waitParked(t *testing.T) {
	do := NewHook[string, string]("do")
	var mended atomic.Bool
	def := func() Definition {
		return NewWorkflow("errand", func(ctx Context, _ None) (string, error) {
			if _, err := do.Create(ctx).Await(ctx); err != nil {
				return "", err
			}
			if !mended.Load() {
				panic("broken")
			}
			return "done", nil
		}, do)
	}
	d := &deploy{world: newWorld(t)}
	d.next(def())
	wait := func() <-chan *Outcome {
		out := make(chan *Outcome, 1)
		d.h.Call(&Request{
			Address: errand, Hook: HookStart, Header: CallHeader{Wait: WaitEnd}, Payload: []byte("null"), Received: time.Now(),
			Reply: func(o *Outcome) { out <- o },
		})
		return out
	}
	first := wait()
	d.result(tell(d.h, HookPause, "lunch"))
	second := wait()
	d.result(tell(d.h, HookUnpause, ""))
	d.answer(ask(d.h, errand, "do", "", `"x"`))
	for name, out := range map[string]<-chan *Outcome{"before": first, "in a pause before": second, "after": wait()} {
		if got := code(d.answer(out)); got != "423" {
			t.Errorf("who came %s the parking: %s, want 423", name, got)
		}
	}
	if got := d.result(ask(d.h, errand, HookStart, "", "null")); got != "null" {
		t.Errorf("a start that waits for nothing: %s", got)
	}
	mended.Store(true)
	d.result(tell(d.h, HookWake, ""))
	if got := d.result(wait()); got != `"done"` {
		t.Errorf("with mended code: %s", got)
	}
}

// TestLife_cancelPending: a run that waits for $start ends at once when it is cancelled; a parked one does when it goes on.
func TestLife_cancelPending(t *testing.T) {
	pending := Address{"shopping", "k"}
	bad := Migrate(2, func(order1) (order2, error) { return order2{}, errors.New("bad") })
	for _, parked := range []bool{false, true} {
		for _, paused := range []bool{false, true} {
			t.Run(fmt.Sprint(parked, paused), func(t *testing.T) {
				d := &deploy{world: newWorld(t)}
				d.next(shopping1())
				d.reads()
				d.send(pending, "order", `{"Item":"tea"}`, CallHeader{CallID: "mine"})
				d.until("received", func() bool { return d.count(HookReceived) == 1 })
				if paused {
					d.result(ask(d.h, pending, HookPause, "", ""))
				}
				code := shopping1
				if parked {
					d.next(shopping2(bad))
					if s := d.status(d.h, pending); s.Status != StatusParked {
						t.Fatalf("it is %s", s.Status)
					}
					code = func() Definition { return shopping2(toOrder2) }
				}
				if got := d.result(ask(d.h, pending, HookCancel, "", `{"reason":"no use"}`)); got != "null" {
					t.Fatal(got)
				}
				for range 2 {
					d.next(code())
					if s := d.status(d.h, pending); s.Status != StatusCancelled || s.Reason != "no use" {
						t.Errorf("it is %s, %q; log: %v", s.Status, s.Reason, d.events())
					}
				}
				var letter *DeadLetter
				d.until("the send is a dead letter", func() bool {
					if len(d.dead) > 0 {
						letter = d.dead[0]
					}
					return letter != nil
				})
				if letter.CallID != "mine" || string(letter.Payload) != `{"Item":"tea"}` {
					t.Errorf("dead letter %+v", letter)
				}
				if got := d.result(ask(d.h, pending, HookStart, "", `{"Item":"tea"}`)); !strings.Contains(got, "410") {
					t.Errorf("a start: %s", got)
				}
			})
		}
	}
}

// TestLife_pending: what is asked of a run whose log has a send but no start, also when it was not in memory since, and what
// becomes of that send when it is started then.
func TestLife_pending(t *testing.T) {
	pending := Address{"shopping", "k"}
	for name, tc := range map[string]struct {
		ask    string // hooks, each with the answer
		status Status
		start  string
		dead   bool // the send
	}{
		"terminate":         {"$terminate null", StatusTerminated, "410 terminated", true},
		"pause and unpause": {"$pause null $unpause null", StatusPending, "null", false},
		"unpause":           {"$unpause null", StatusPending, "null", false},
		"wake":              {"$wake null", StatusPending, "null", false},
		"purge":             {"$purge 409", StatusPending, "null", false},
		"purge a paused one": {
			"$pause null $purge 409 $unpause null", StatusPending, "null", false,
		},
		"terminate a paused one": {"$pause null $terminate null", StatusTerminated, "410 terminated", true},
	} {
		for _, cold := range []bool{false, true} {
			t.Run(fmt.Sprint(name, "/cold=", cold), func(t *testing.T) {
				d := &deploy{world: newWorld(t)}
				next := func() {
					d.next(shopping1())
					d.reads()
				}
				next()
				defer func() { d.stop() }()
				d.send(pending, "order", `{"Item":"milk"}`, CallHeader{CallID: "mine", ReplyTo: "_INBOX.x"})
				d.until("received", func() bool { return d.count(HookReceived) == 1 })
				for asked := strings.Fields(tc.ask); len(asked) > 0; asked = asked[2:] {
					if cold {
						next()
					}
					if got := code(d.answer(ask(d.h, pending, asked[0], "", "null"))); got != asked[1] {
						t.Errorf("%s: %s, want %s", asked[0], got, asked[1])
					}
				}
				if cold {
					next()
				}
				if got := d.status(d.h, pending).Status; got != tc.status {
					t.Errorf("status %s, want %s", got, tc.status)
				}
				if got := code(d.answer(ask(d.h, pending, HookStart, "", `{"Item":"tea"}`))); got != tc.start {
					t.Errorf("start: %s, want %s", got, tc.start)
				}
				d.until("the send has its outcome", func() bool { return len(d.outcomes["_INBOX.x"]) > 0 && (len(d.dead) > 0) == tc.dead })
				want := `"tea milk"`
				if tc.dead {
					want = "410 terminated"
				}
				d.mu.Lock()
				defer d.mu.Unlock()
				if got := code(d.outcomes["_INBOX.x"][0]); got != want {
					t.Errorf("outcome of the send: %s, want %s", got, want)
				}
			})
		}
	}
}

// TestLife_terminateParked terminates a run whose code no longer matches its log, on the node that found that out and on the
// next: callers are told, what it held is given back, and a send that the code had not taken by then is a dead letter.
func TestLife_terminateParked(t *testing.T) {
	for _, moved := range []bool{false, true} {
		t.Run(fmt.Sprint(moved), func(t *testing.T) {
			do := NewHook[string, string]("do")
			other := NewStep("other", func(context.Context, None) (None, error) { return None{}, nil })
			def := func(changed bool) Definition {
				return NewWorkflow("errand", func(ctx Context, _ None) (None, error) {
					hook := do.Create(ctx, Token("errand:k"))
					if _, err := hook.Await(ctx); err != nil {
						return None{}, err
					}
					if changed {
						if _, err := other.Run(ctx, None{}); err != nil {
							return None{}, err
						}
					}
					return None{}, Sleep(ctx, time.Hour)
				}, do)
			}
			d := &deploy{world: newWorld(t)}
			d.next(def(false))
			d.reads()
			d.send(errand, "do", `"taken"`, CallHeader{CallID: "taken"})
			d.send(errand, "do", `"left"`, CallHeader{CallID: "left"})
			d.until("armed", func() bool { return d.count(HookReceived) == 2 && len(d.armed) == 1 })
			d.next(def(true))
			if s := d.status(d.h, errand); s.Status != StatusParked {
				t.Fatalf("it is %s", s.Status)
			}
			if moved {
				d.next(def(true))
			}
			if got := code(d.answer(tell(d.h, HookTerminate, "no use"))); got != "null" {
				t.Fatal(got)
			}
			d.until("all is given back", func() bool { return len(d.dead) == 1 && len(d.holders) == 0 && len(d.armed) == 0 })
			if d.dead[0].CallID != "left" || string(d.dead[0].Payload) != `"left"` {
				t.Errorf("dead letter %+v", d.dead[0])
			}
			for range 2 {
				if s := d.status(d.h, errand); s.Status != StatusTerminated || len(s.Waits)+len(s.Hooks)+len(s.Steps) > 0 {
					t.Errorf("described as %+v", s)
				}
				d.next(def(false))
			}
			d.soundEnd(t, errand)
		})
	}
}

// TestLife_terminateStalling: a run whose code always has more to do is terminated before what came earlier.
func TestLife_terminateStalling(t *testing.T) {
	do := NewHook[None, None]("do")
	def := func() Definition {
		return NewWorkflow("errand", func(ctx Context, _ None) (None, error) {
			if _, err := do.Create(ctx).Await(ctx); err != nil {
				return None{}, err
			}
			for {
				After(ctx, time.Hour).Cancel(ctx)
			}
		}, do)
	}
	d := &deploy{world: newWorld(t)}
	d.next(def())
	started := ask(d.h, errand, "do", "first", "null")
	d.until("stalls", func() bool { return len(d.log) > 2 })
	d.next(def()) // it stalls from the start, too
	d.until("stalls", func() bool { return len(d.log) > 4 })
	again, second := ask(d.h, errand, "do", "first", "null"), ask(d.h, errand, "do", "second", "null")
	if got := code(d.answer(tell(d.h, HookTerminate, ""))); got != "null" {
		t.Fatal(got)
	}
	_ = started // its node is gone
	for _, out := range []<-chan *Outcome{again, second} {
		if got := code(d.answer(out)); got != "410 terminated" {
			t.Errorf("a call: %s", got)
		}
	}
	d.next(def())
	if s := d.status(d.h, errand); s.Status != StatusTerminated {
		t.Errorf("it is %s", s.Status)
	}
	d.soundEnd(t, errand)
}

// TestLife_halfEnd: of an end that an earlier version wrote, some of what follows is missing.
func TestLife_halfEnd(t *testing.T) {
	e := newErrands()
	d := &deploy{world: newWorld(t)}
	d.next(e.def())
	d.reads()
	ask(d.h, errand, "do", "a", `"sleep"`)
	d.send(errand, "do", `"x"`, CallHeader{CallID: "b", ReplyTo: "_INBOX.b"})
	d.until("received", func() bool { return d.count(HookReceived) == 2 && d.holders["errand:k"].Run != "" })
	d.stop()
	d.stop = nil
	last := *d.log[len(d.log)-1]
	rec, err := DecodeRecord(last.Body)
	if err != nil {
		t.Fatal(err)
	}
	rec.N++
	rec.Events = []Event{
		{Type: RunFailed, At: time.Now(), Error: Errorf(CodeUser, "no luck")},
		{Type: CallFailed, At: time.Now(), ID: "a", Name: "do", Error: endedError("errand/k", StatusFailed)},
	}
	last.Index.Page = append(slices.Clone(last.Index.Page), last.Seq)
	last.Body, _ = json.Marshal(rec)
	last.Turn, last.Status, last.Unsettled = "an older version's", StatusFailed, true
	d.put(last)
	d.next(e.def())
	d.until("the rest follows", func() bool { return len(d.dead) == 1 && len(d.outcomes["_INBOX.b"]) == 1 && len(d.holders) == 0 })
	for range 2 {
		if s := d.status(d.h, errand); s.Status != StatusFailed || len(s.Waits)+len(s.Hooks) > 0 {
			t.Errorf("described as %+v", s)
		}
		for id, payload := range map[string]string{"a": `"sleep"`, "b": `"x"`} {
			if got := code(d.answer(ask(d.h, errand, "do", id, payload))); got != "410 failed" {
				t.Errorf("call %s again: %s", id, got)
			}
		}
		d.next(e.def())
	}
	if n := d.count(CallFailed); n != 2 {
		t.Errorf("%d failures: %v", n, d.events())
	}
}
