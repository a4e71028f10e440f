package actor

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/perdure/perdure/internal/bubble"
)

// errands is a workflow whose calls say what it does, and what its tests see and hold of that.
type errands struct {
	begun  chan string   // steps that hold
	free   chan struct{} // lets them go on
	ended  chan error    // why the context of one ended
	mended atomic.Bool   // its code panics no more
}

func newErrands() *errands {
	return &errands{begun: make(chan string, 16), free: make(chan struct{}), ended: make(chan error, 16)}
}

func (e *errands) def() *Workflow[None, string] {
	do := NewHook[string, string]("do")
	hold := NewStep("hold", func(ctx context.Context, what string) (string, error) {
		e.begun <- what
		select {
		case <-e.free:
			return "held", nil
		case <-ctx.Done():
			e.ended <- context.Cause(ctx)
			return "", ctx.Err()
		}
	})
	flaky := NewStep("flaky", func(ctx context.Context, what string) (string, error) {
		if info, _ := StepMetadata(ctx); info.Attempt == 1 {
			return "", RetryAfter(errors.New("not yet"), time.Hour)
		}
		return what, nil
	})
	tidy := NewStep("tidy", func(_ context.Context, what string) (string, error) { return what, nil })
	return NewWorkflow("errand", func(ctx Context, _ None) (string, error) {
		hook := do.Create(ctx, Token("errand:"+Metadata(ctx).Key))
		for {
			call, err := hook.Await(ctx)
			if err == nil {
				var said string
				switch call.Payload {
				case "hold":
					said, err = hold.Run(ctx, "hold")
				case "shielded":
					said, err = hold.Run(WithoutCancel(ctx), "shielded")
				case "future":
					said, err = hold.Start(ctx, "future").Await(WithoutCancel(ctx))
				case "flaky":
					said, err = flaky.Run(ctx, "flaky")
				case "sleep":
					err = Sleep(ctx, time.Hour)
				case "nap":
					err = Sleep(ctx, time.Second)
				case "deadline":
					_, err = hook.Await(WithTimeout(ctx, time.Hour))
				case "return":
					return "done", nil
				case "fail":
					return "", errors.New("no luck")
				case "panic":
					if !e.mended.Load() {
						panic("broken")
					}
				}
				if err == nil {
					call.Reply(ctx, call.Payload+said)
					continue
				}
			}
			if errors.Is(err, ErrCancelled) {
				if _, again := hook.Await(ctx); !errors.Is(again, ErrCancelled) {
					return "", errors.New("an await after the cancellation goes on")
				}
				if _, err := tidy.Run(WithoutCancel(ctx), "up"); err != nil {
					return "", err
				}
			}
			return "", err
		}
	}, do)
}

var errand = Address{"errand", "k"}

// tell asks for a change of the run's life.
func tell(h *Host, hook, reason string) <-chan *Outcome {
	payload, _ := json.Marshal(lifeRequest{reason})
	return ask(h, errand, hook, "", string(payload))
}

// order has the run told what to do, and waits until its log has that.
func (w *world) order(h *Host, what string) {
	w.t.Helper()
	payload, _ := json.Marshal(what)
	out := make(chan *Outcome, 1)
	h.Call(&Request{
		Address: errand, Hook: "do", Header: CallHeader{Wait: WaitReceived}, Payload: payload,
		Received: time.Now(), Reply: func(o *Outcome) { out <- o },
	})
	w.answer(out)
}

func (w *world) status(h *Host, a Address) runDescription {
	w.t.Helper()
	var d runDescription
	if err := json.Unmarshal(w.answer(ask(h, a, HookDescribe, "", "null")).Result, &d); err != nil {
		w.t.Fatal(err)
	}
	return d
}

// code is what an outcome says in short: its result, or its code and status.
func code(o *Outcome) string {
	if o.Err == nil {
		return string(o.Result)
	}
	var d endDetails
	_ = json.Unmarshal(o.Err.Details, &d)
	return strings.TrimSpace(strings.Join([]string{jsonNumber(int(o.Err.Code)), string(d.Status)}, " "))
}

func jsonNumber(n int) string { b, _ := json.Marshal(n); return string(b) }

// TestLife goes through every transition of a run's life: what came before, what is asked for, and the answer, the
// status and the end of the log after it; then the same again after a cold start.
func TestLife(t *testing.T) {
	for name, tc := range map[string]struct {
		before, ask, want string
		status            Status
		log               string // the last events
	}{
		"cancel nothing":             {"", HookCancel, "404", StatusPending, ""},
		"terminate nothing":          {"", HookTerminate, "404", StatusPending, ""},
		"pause nothing":              {"", HookPause, "404", StatusPending, ""},
		"unpause nothing":            {"", HookUnpause, "404", StatusPending, ""},
		"wake nothing":               {"", HookWake, "404", StatusPending, ""},
		"return":                     {"a return", "", "", StatusCompleted, "run_completed call_failed hook_disposed"},
		"fail":                       {"a fail", "", "", StatusFailed, "run_failed call_failed hook_disposed"},
		"panic":                      {"a panic", "", "", StatusParked, "run_parked"},
		"cancel":                     {"a", HookCancel, "null", StatusCancelled, "run_cancelling step_completed run_cancelled hook_disposed"},
		"cancel again":               {"a $cancel", HookCancel, "null", StatusCancelled, "run_cancelled hook_disposed"},
		"cancel a completed one":     {"a return", HookCancel, "410 completed", StatusCompleted, "call_failed hook_disposed"},
		"cancel a failed one":        {"a fail", HookCancel, "410 failed", StatusFailed, "call_failed hook_disposed"},
		"cancel a terminated one":    {"a $terminate", HookCancel, "410 terminated", StatusTerminated, "run_terminated hook_disposed"},
		"cancel a sleeping one":      {"a sleep", HookCancel, "null", StatusCancelled, "run_cancelling step_completed run_cancelled call_failed wait_cancelled hook_disposed"},
		"cancel one with a deadline": {"a deadline", HookCancel, "null", StatusCancelled, "run_cancelling wait_cancelled step_completed run_cancelled call_failed hook_disposed"},
		"cancel one with a step":     {"a hold", HookCancel, "null", StatusCancelled, "run_cancelling step_completed run_cancelled call_failed hook_disposed"},
		"cancel one with a future":   {"a future", HookCancel, "null", StatusCancelled, "run_cancelling step_completed run_cancelled call_failed hook_disposed"},
		"cancel one that cleans up":  {"a shielded", HookCancel, "null", StatusRunning, "call_completed hook_received run_cancelling"},
		"cancel a parked one":        {"a panic", HookCancel, "null", StatusParked, "run_parked run_cancelling"},
		"cancel a paused one":        {"a $pause", HookCancel, "null", StatusPaused, "run_paused run_cancelling"},
		"terminate":                  {"a", HookTerminate, "null", StatusTerminated, "call_completed run_terminated hook_disposed"},
		"terminate again":            {"a $terminate", HookTerminate, "null", StatusTerminated, "run_terminated hook_disposed"},
		"terminate a cancelled one":  {"a $cancel", HookTerminate, "410 cancelled", StatusCancelled, "run_cancelled hook_disposed"},
		"terminate one with a step":  {"a hold", HookTerminate, "null", StatusTerminated, "run_terminated call_failed hook_disposed"},
		"terminate a sleeping one":   {"a sleep", HookTerminate, "null", StatusTerminated, "run_terminated call_failed wait_cancelled hook_disposed"},
		"terminate a cancelling one": {"a shielded $cancel", HookTerminate, "null", StatusTerminated, "run_cancelling run_terminated call_failed hook_disposed"},
		"terminate a parked one":     {"a panic", HookTerminate, "null", StatusTerminated, "run_parked run_terminated call_failed hook_disposed"},
		"terminate a paused one":     {"a hold $pause", HookTerminate, "null", StatusTerminated, "run_paused run_terminated call_failed hook_disposed"},
		"pause":                      {"a", HookPause, "null", StatusPaused, "call_completed run_paused"},
		"pause again":                {"a $pause", HookPause, "null", StatusPaused, "call_completed run_paused"},
		"pause a completed one":      {"a return", HookPause, "410 completed", StatusCompleted, "call_failed hook_disposed"},
		"pause a parked one":         {"a panic", HookPause, "423", StatusParked, "run_parked"},
		"unpause":                    {"a $pause", HookUnpause, "null", StatusRunning, "run_paused run_resumed"},
		"unpause a running one":      {"a", HookUnpause, "null", StatusRunning, "call_completed"},
		"unpause a cancelled one":    {"a $cancel", HookUnpause, "410 cancelled", StatusCancelled, "run_cancelled hook_disposed"},
		"unpause a parked one":       {"a panic", HookUnpause, "423", StatusParked, "run_parked"},
		"unpause a cancelling one":   {"a $pause $cancel", HookUnpause, "null", StatusCancelled, "run_cancelling run_resumed step_completed run_cancelled hook_disposed"},
		"wake":                       {"a", HookWake, "null", StatusRunning, "call_completed"},
		"wake a parked one":          {"a panic", HookWake, "423", StatusParked, "run_parked"},
		"wake a mended one":          {"a panic mend", HookWake, "null", StatusRunning, "run_parked run_resumed call_completed"},
		"wake a cancelled mended one": {
			"a panic $cancel mend", HookWake, "410 cancelled", StatusCancelled,
			"run_parked run_cancelling run_resumed call_completed step_completed run_cancelled hook_disposed",
		},
		"wake a paused one":          {"a $pause", HookWake, "423", StatusPaused, "run_paused"},
		"wake a completed one":       {"a return", HookWake, "410 completed", StatusCompleted, "call_failed hook_disposed"},
		"wake one that tries again":  {"a flaky", HookWake, "null", StatusRunning, "step_retrying step_completed call_completed"},
		"a call of a paused one":     {"a $pause", "do", "423", StatusPaused, "run_paused"},
		"a call of a parked one":     {"a panic", "do", "423", StatusParked, "run_parked"},
		"a call of a terminated one": {"a $terminate", "do", "410 terminated", StatusTerminated, "run_terminated hook_disposed"},
		"start a paused one":         {"a $pause", HookStart, "null", StatusPaused, "run_paused"},
		"start a cancelled one":      {"a $cancel", HookStart, "null", StatusCancelled, "run_cancelled hook_disposed"},
	} {
		t.Run(name, func(t *testing.T) {
			e := newErrands()
			w := newWorld(t)
			holds := func(what string) bool { return slices.Contains([]string{"hold", "shielded", "future"}, what) }
			steps := func(c *Config) {
				if !slices.ContainsFunc(strings.Fields(tc.before), holds) {
					c.Flush = time.Minute // a quick step ends within its turn, on a busy machine too
				}
			}
			h := w.host("a", steps, e.def())
			w.own(h, 1, Checkpoint{})
			for what := range strings.FieldsSeq(tc.before) {
				switch {
				case what[0] == '$':
					w.result(tell(h, what, "because"))
				case what == "mend":
					e.mended.Store(true)
				default:
					w.order(h, what)
					if holds(what) {
						<-e.begun
					}
				}
			}
			payload := `{"reason":"why"}`
			if tc.ask == HookStart {
				payload = "null"
			}
			if tc.ask == "do" {
				payload = `"a"`
			}
			if tc.ask != "" {
				if got := code(w.answer(ask(h, errand, tc.ask, "", payload))); got != tc.want {
					t.Errorf("answer %s, want %s", got, tc.want)
				}
			}
			want := strings.Fields(tc.log)
			end := func() (got []string) {
				all := slices.DeleteFunc(w.events(), func(t EventType) bool { return t == StepStarted }) // a quick step on a busy machine
				for _, ev := range all[max(len(all)-len(want), 0):] {
					got = append(got, string(ev))
				}
				return got
			}
			look := func(h *Host) {
				t.Helper()
				w.within(atLongLast, func() bool { return slices.Equal(end(), want) }) // steps of the cleanup may take turns of their own
				if got := w.status(h, errand).Status; got != tc.status {
					t.Errorf("status %s, want %s", got, tc.status)
				}
				w.mu.Lock()
				defer w.mu.Unlock()
				got := end()
				if d := cmp.Diff(want, got); d != "" && len(want)+len(got) > 0 {
					t.Errorf("end of the log: (-want +got)\n%s", d)
				}
			}
			look(h)
			if tc.status == StatusRunning && strings.Contains(tc.before, "shielded") {
				return // its step would begin again
			}
			h.Close()
			next := w.host("b", steps, e.def())
			w.change(func() { w.issued = func() (uint64, error) { return 2, nil } })
			w.own(next, 2, Checkpoint{})
			w.until("taken up", func() bool { return true })
			if !strings.Contains(tc.before, "mend") || tc.status.Ended() {
				look(next)
			}
		})
	}
}

// TestLife_end: whoever waits for a run's end, and whoever has a call with it, is told; what it held is given back.
func TestLife_end(t *testing.T) {
	for name, tc := range map[string]struct{ hook, wait, call string }{
		"cancelled":  {HookCancel, "499 cancelled", "410 cancelled"},
		"terminated": {HookTerminate, "410 terminated", "410 terminated"},
	} {
		t.Run(name, func(t *testing.T) {
			e := newErrands()
			w := newWorld(t)
			h := w.host("a", nil, e.def())
			w.run(h)
			w.own(h, 1, Checkpoint{})
			started := make(chan *Outcome, 1)
			h.Call(&Request{
				Address: errand, Hook: HookStart, Header: CallHeader{Wait: WaitEnd}, Payload: []byte("null"), Received: time.Now(),
				Reply: func(o *Outcome) { started <- o },
			})
			taken := ask(h, errand, "do", "taken", `"hold"`)
			<-e.begun
			queued := ask(h, errand, "do", "queued", `"x"`)
			w.send(errand, "do", `"sent"`, CallHeader{CallID: "mine", ReplyTo: "_INBOX.x"})
			w.until("received", func() bool { return w.count(HookReceived) == 3 })
			w.until("token", func() bool { return w.holders["errand:k"].Run == "errand/k" })
			if got := code(w.answer(tell(h, tc.hook, "no use"))); got != "null" {
				t.Fatalf("answer %s", got)
			}
			for what, out := range map[string]<-chan *Outcome{"taken": taken, "queued": queued} {
				if got := code(w.answer(out)); got != tc.call {
					t.Errorf("the call that was %s: %s, want %s", what, got, tc.call)
				}
				if got := code(w.answer(ask(h, errand, "do", what, map[string]string{"taken": `"hold"`, "queued": `"x"`}[what]))); got != tc.call {
					t.Errorf("again, the call that was %s: %s, want %s", what, got, tc.call)
				}
			}
			end := w.answer(started)
			if got := code(end); got != tc.wait || !strings.Contains(end.Err.Message, "no use") {
				t.Errorf("the start that waits: %s %v, want %s", got, end.Err, tc.wait)
			}
			if cause := <-e.ended; !errors.Is(cause, errStepCancelled) {
				t.Errorf("the context of the step: %v", cause)
			}
			w.until("outcome", func() bool { return len(w.outcomes["_INBOX.x"]) == 1 })
			w.until("token released", func() bool { return len(w.holders) == 0 })
			w.mu.Lock()
			defer w.mu.Unlock()
			if got := code(w.outcomes["_INBOX.x"][0]); got != tc.call {
				t.Errorf("outcome of the send: %s", got)
			}
			if len(w.dead) != 1 || w.dead[0].CallID != "mine" || string(w.dead[0].Payload) != `"sent"` || w.dead[0].Inbox != 1 {
				t.Errorf("dead letters %+v: the send was accepted, and nobody has applied it", w.dead)
			}
		})
	}
}

// running has the host read the inbox and the timers until it is stopped, or the test ends.
func (w *world) running(h *Host) (stop func()) {
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Error(err)
		}
	})
	w.t.Cleanup(stop)
	return stop
}

// TestLife_pause: what happens while a run is paused.
func TestLife_pause(t *testing.T) {
	bubble.Run(t, func(t *testing.T) {
		e := newErrands()
		w := newWorld(t)
		h := w.host("a", nil, e.def())
		stop := w.running(h)
		w.own(h, 1, Checkpoint{})
		held := ask(h, errand, "do", "", `"hold"`)
		<-e.begun
		w.result(tell(h, HookPause, "lunch"))
		refused := w.answer(ask(h, errand, "do", "", `"x"`))
		if refused.Err == nil || refused.Err.Code != CodeStopped || string(refused.Err.Details) != `{"kind":"paused","reason":"lunch"}` {
			t.Errorf("a call: %+v", refused.Err)
		}
		w.send(errand, "do", `"nap"`, CallHeader{})
		w.send(errand, "do", `"second"`, CallHeader{})
		w.until("received", func() bool { return w.count(HookReceived) == 3 })
		close(e.free)
		w.until("the step's result", func() bool { return w.count(StepCompleted) == 1 })
		if d := w.status(h, errand); d.Status != StatusPaused || d.Reason != "lunch" || d.Hooks[0].Queued != 2 {
			t.Errorf("described as %+v", d)
		}
		w.mu.Lock()
		if n := len(w.events()); w.events()[n-1] != StepCompleted {
			t.Errorf("the code goes on: %v", w.events())
		}
		w.mu.Unlock()
		w.result(tell(h, HookUnpause, ""))
		if got := code(w.answer(held)); got != `"holdheld"` {
			t.Errorf("the call that waited: %s", got)
		}
		w.until("waits", func() bool { return w.count(WaitCreated) == 1 })
		w.result(tell(h, HookPause, ""))
		refused = w.answer(ask(h, errand, "do", "", `"x"`))
		if refused.Err == nil || string(refused.Err.Details) != `{"kind":"paused","reason":"paused"}` {
			t.Errorf("a call of a run paused without a reason: %+v", refused.Err)
		}
		c, _ := h.Checkpoint(0)
		if len(c.Unsettled) != 0 {
			t.Errorf("a paused run with a timer is unsettled: %+v", c)
		}
		time.Sleep(time.Until(*w.logged(WaitCreated).Due) + 50*time.Millisecond)
		w.status(h, errand)
		if n := w.count(WaitCompleted); n != 0 {
			t.Errorf("a timer of a paused run has fired")
		}
		w.result(tell(h, HookUnpause, ""))
		w.until("both sends applied", func() bool { return w.count(CallCompleted) == 3 })
		if ev := w.events(); slices.Index(ev, WaitCompleted) < 0 {
			t.Errorf("%v", ev)
		}
		stop()
		next := w.host("b", nil, e.def())
		w.change(func() { w.issued = func() (uint64, error) { return 2, nil } })
		w.own(next, 2, Checkpoint{})
		if got := code(w.answer(ask(next, errand, "do", "", `"after"`))); got != `"after"` {
			t.Errorf("after a cold start: %s", got)
		}
	})
}

// logged is the last event of a type in the log.
func (w *world) logged(t EventType) (found *Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.log {
		rec, _ := DecodeRecord(e.Body)
		for i := range rec.Events {
			if rec.Events[i].Type == t {
				found = &rec.Events[i]
			}
		}
	}
	return found
}

// TestLife_pausedObject: an object with methods is paused like a run, in the middle of a method, over a cold start.
func TestLife_pausedObject(t *testing.T) {
	e := newErrands()
	hold := NewStep("hold", func(ctx context.Context, _ None) (None, error) {
		e.begun <- ""
		select {
		case <-e.free:
			return None{}, nil
		case <-ctx.Done():
			return None{}, ctx.Err()
		}
	})
	o := sums()
	NewMethod(o, "slow", func(s *sum, ctx Context, n int) (int, error) {
		_, err := hold.Run(ctx, None{})
		s.N += n
		return s.N, err
	})
	w := newWorld(t)
	h := w.host("a", nil, o)
	stop := w.running(h)
	w.own(h, 1, Checkpoint{})
	w.result(ask(h, at, "add", "", "1"))
	for hook, want := range map[string]string{HookCancel: "400", HookTerminate: "400", HookUnpause: "null", HookWake: "null"} {
		if got := code(w.answer(ask(h, at, hook, "", "null"))); got != want {
			t.Errorf("%s: %s, want %s", hook, got, want)
		}
	}
	ask(h, at, "slow", "s", "10")
	<-e.begun
	if got := code(w.answer(ask(h, at, HookPause, "", ""))); got != "null" {
		t.Fatal(got)
	}
	w.send(at, "add", "100", CallHeader{})
	w.until("received", func() bool { return w.count(HookReceived) == 3 })
	if got := code(w.answer(ask(h, at, "get", "", "null"))); got != "423" {
		t.Errorf("a query: %s", got)
	}
	stop()
	for epoch := uint64(2); epoch < 4; epoch++ {
		w.change(func() { w.issued = func() (uint64, error) { return epoch, nil } })
		h = w.host("b", nil, o)
		stop = w.running(h)
		w.own(h, epoch, Checkpoint{Inbox: 1})
		if d := w.status(h, at); d.Status != StatusPaused {
			t.Errorf("after a cold start it is %s", d.Status)
		}
		if epoch == 2 {
			w.send(at, "add", "1000", CallHeader{})
			w.until("received", func() bool { return w.count(HookReceived) == 4 })
			stop()
		}
	}
	select {
	case <-e.begun:
		t.Error("a step of a paused object runs again")
	default:
	}
	again := ask(h, at, "slow", "s", "10")
	w.result(ask(h, at, HookUnpause, "", ""))
	<-e.begun
	close(e.free)
	if got := code(w.answer(again)); got != "11" {
		t.Errorf("the method that was in progress: %s", got)
	}
	w.until("all applied", func() bool { return w.count(CallCompleted) == 4 })
	if got := code(w.answer(ask(h, at, "get", "", "null"))); got != "1111" {
		t.Errorf("state %s", got)
	}
}

func TestLife_badRequests(t *testing.T) {
	e := newErrands()
	w := newWorld(t)
	h := w.host("a", nil, e.def())
	w.run(h)
	w.own(h, 1, Checkpoint{})
	w.result(ask(h, errand, "do", "", `"a"`))
	for _, payload := range []string{`{"reason":1}`, `[]`, `{`, "\xff", `{"reason":"` + strings.Repeat("x", MaxReasonLen+1) + `"}`} {
		if got := code(w.answer(ask(h, errand, HookCancel, "", payload))); got != "400" {
			t.Errorf("%.20q: %s", payload, got)
		}
	}
	w.send(errand, HookTerminate, "null", CallHeader{})
	w.until("dead letter", func() bool { return len(w.dead) == 1 })
	if w.dead[0].Cause.Code != CodeInvalid {
		t.Errorf("%+v", w.dead[0].Cause)
	}
	if d := w.status(h, errand); d.Status != StatusRunning {
		t.Errorf("it is %s", d.Status)
	}
}
