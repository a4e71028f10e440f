package actor

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
)

// begin starts the run contest/k under a policy.
func begin(h *Host, p IDPolicy, id, input string, wait Wait) <-chan *Outcome {
	out := make(chan *Outcome, 1)
	h.Call(&Request{
		Address: contest, Hook: HookStart, Header: CallHeader{CallID: id, IDPolicy: p, Wait: wait}, Payload: []byte(input),
		Received: time.Now(), Reply: func(o *Outcome) { out <- o },
	})
	return out
}

func TestStartAgain(t *testing.T) {
	for name, tc := range map[string]struct {
		end           string // how the first one ends
		policy        IDPolicy
		answer        string // to a start with another input
		incarnations  int
		sendIsRefused bool
	}{
		"once":                    {`"return"`, Once, "409", 1, false},
		"failed, completed":       {`"return"`, AfterFailure, "409", 1, true},
		"failed, terminated":      {HookTerminate, AfterFailure, "null", 2, true},
		"failed, cancelled":       {HookCancel, AfterFailure, "null", 2, true},
		"ended, completed":        {`"return"`, AfterEnd, "null", 2, true},
		"ended, has not ended":    {`"x"`, AfterEnd, "409", 1, true},
		"ended, had been stopped": {HookPause, AfterEnd, "409", 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			h := w.host("a", nil, contests())
			stop := w.running(h)
			w.own(h, 1, Checkpoint{})
			w.result(begin(h, tc.policy, "first", "1", WaitReply))
			w.result(ask(h, contest, "do", "id", `"x"`))
			if tc.end[0] == '$' {
				w.result(ask(h, contest, tc.end, "", ""))
			} else {
				w.answer(ask(h, contest, "do", "e", tc.end))
			}
			if got := code(w.answer(begin(h, tc.policy, "first", "1", WaitReply))); got != "null" {
				t.Errorf("the first start again: %s", got)
			}
			if got := code(w.answer(begin(h, tc.policy, "second", "2", WaitReply))); got != tc.answer {
				t.Errorf("a second start: %s, want %s", got, tc.answer)
			}
			if tc.sendIsRefused {
				w.send(contest, HookStart, "3", CallHeader{IDPolicy: tc.policy})
				w.until("dead letter", func() bool { return len(w.dead) == 1 })
			}
			for epoch := uint64(2); epoch < 4; epoch++ {
				var lives []string
				w.mu.Lock()
				for _, e := range w.log {
					if rec, _ := DecodeRecord(e.Body); !slices.Contains(lives, rec.Incarnation) {
						lives = append(lives, rec.Incarnation)
					}
				}
				w.mu.Unlock()
				if len(lives) != tc.incarnations {
					t.Errorf("%d incarnations, want %d: %v", len(lives), tc.incarnations, w.events())
				}
				if d := w.status(h, contest); tc.incarnations == 2 && (d.Incarnation != lives[1] || d.Status.Ended() && epoch == 2) {
					t.Errorf("described as %+v", d)
				}
				if tc.incarnations == 2 && epoch == 2 { // it knows nothing of the one before
					if got := code(w.answer(ask(h, contest, "do", "id", `"work"`))); got != `"work"` {
						t.Errorf("a call id of the run before: %s", got)
					}
					w.until("token", func() bool { return w.holders["contest"].Incarnation == lives[1] })
					ended := begin(h, tc.policy, "second", "2", WaitEnd)
					w.answer(ask(h, contest, "do", "r", `"return"`))
					if got := code(w.answer(ended)); got != "3" {
						t.Errorf("result %s, want that of the second input and one step", got)
					}
				}
				stop()
				h = w.host("b", nil, contests())
				w.change(func() { w.issued = func() (uint64, error) { return epoch, nil } })
				stop = w.running(h)
				w.own(h, epoch, Checkpoint{Inbox: uint64(len(w.inbox))})
			}
			var records []loggedRecord
			if err := json.Unmarshal(w.answer(ask(h, contest, HookEvents, "", "{}")).Result, &records); err != nil {
				t.Fatal(err)
			}
			if records[0].N != 1 || tc.incarnations == 2 && records[0].Events[0].Previous == 0 {
				t.Errorf("the log begins with %+v", records[0].Events[0])
			}
		})
	}
}

// TestStartAgain_killed: a new run begins once, also when its node dies at the last record of the run before or at its
// own first one, before or after that is stored. Its stream begins anew.
func TestStartAgain_killed(t *testing.T) {
	for kill := 1; kill <= 2; kill++ {
		for _, stored := range []bool{false, true} {
			t.Run(fmt.Sprint(kill, stored), func(t *testing.T) {
				w := newWorld(t)
				out := &memoryOutputs{world: w}
				words := NewStream[string]("default")
				do := NewHook[string, string]("do")
				def := NewWorkflow("contest", func(ctx Context, n int) (int, error) {
					for call, err := range do.Create(ctx).All(ctx) {
						if err != nil || call.Payload == "return" {
							return n, err
						}
						if err := words.Emit(ctx, fmt.Sprint(n, call.Payload)); err != nil {
							return n, err
						}
						call.Reply(ctx, call.Payload)
					}
					return n, errors.New("over")
				}, do, words)
				h := w.host("a", func(c *Config) { c.Outputs = out }, def)
				stop := w.running(h)
				w.own(h, 1, Checkpoint{})
				w.result(begin(h, AfterEnd, "one", "1", WaitReply))
				w.result(ask(h, contest, "do", "a", `"a"`))
				died := make(chan struct{})
				w.change(func() {
					left := kill
					w.onAppend = func(*Entry) (bool, error) {
						if left--; left != 0 {
							return left > 0, nil
						}
						h.cancel()
						close(died)
						return stored, ErrAppendUnknown
					}
				})
				ask(h, contest, "do", "r", `"return"`)
				begin(h, AfterEnd, "two", "2", WaitReply)
				<-died
				stop()
				w.change(func() { w.onAppend, w.issued = nil, func() (uint64, error) { return 2, nil } })
				h = w.host("b", func(c *Config) { c.Outputs = out }, def)
				w.running(h)
				w.own(h, 2, Checkpoint{})
				if kill == 1 { // later it is a call that the second run does not know, and would end it
					w.answer(ask(h, contest, "do", "r", `"return"`))
				}
				if got := code(w.answer(begin(h, AfterEnd, "two", "2", WaitReply))); got != "null" {
					t.Fatal(got)
				}
				w.result(ask(h, contest, "do", "b", `"b"`))
				w.until("chunk", func() bool { got, _ := out.read(); return slices.Equal(got, []string{`0:"2b"`}) })
				if n := w.count(RunCreated); n != 2 {
					t.Errorf("%d runs began: %v", n, w.events())
				}
			})
		}
	}
}

// TestStartAgain_deadLetter: a send that found its run ended is a dead letter. It is not applied by the next run too, where
// its node dies before it is ticked off.
func TestStartAgain_deadLetter(t *testing.T) {
	w := newWorld(t)
	h := w.host("a", nil, contests())
	stop := w.running(h)
	w.own(h, 1, Checkpoint{})
	w.result(begin(h, AfterEnd, "one", "1", WaitReply))
	w.result(ask(h, contest, HookTerminate, "", ""))
	w.send(contest, "do", `"x"`, CallHeader{CallID: "late"})
	w.until("dead letter", func() bool { return len(w.dead) == 1 })
	stop()
	w.change(func() { w.issued = func() (uint64, error) { return 2, nil } })
	h = w.host("b", nil, contests())
	w.own(h, 2, Checkpoint{})
	if got := code(w.answer(begin(h, AfterEnd, "two", "2", WaitReply))); got != "null" {
		t.Fatal(got)
	}
	w.running(h) // now the send is read again
	w.until("it is buried again", func() bool { return len(w.dead) == 2 })
	if n := w.count(HookReceived); n != 0 {
		t.Errorf("it was applied, too: %v", w.events())
	}
}
