package actor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
)

// TestOutbox_Bound: while the stream takes nothing, a run takes calls until so many effects wait. What it took is not
// lost.
func TestOutbox_Bound(t *testing.T) {
	const most = 20
	w := newWorld(t)
	out := &memoryOutputs{world: w}
	out.fail = func(*Chunk) (bool, error) { return false, ErrAppendRefused }
	def := crier(NewStream[string]("default"))
	h := w.host("a", func(c *Config) { c.Outputs, c.MaxEffects = out, most }, def)
	w.own(h, 1, Checkpoint{})
	w.run(h)
	for i := range most {
		if got := w.result(ask(h, def.At("k"), "say", "", fmt.Sprintf(`"%d"`, i))); got != `"ok"` {
			t.Fatalf("call %d: %s", i, got)
		}
	}
	refused := w.answer(ask(h, def.At("k"), "say", "", `"too many"`)).Err
	var details struct{ Limit string }
	if refused == nil || refused.Code != CodeLimit || json.Unmarshal(refused.Details, &details) != nil || details.Limit != "effects of one run" {
		t.Errorf("call %d: %v", most, refused)
	}
	w.send(def.At("k"), "say", `"too many"`, CallHeader{})
	w.until("the dead letter", func() bool { return len(w.dead) == 1 && w.dead[0].Cause.Code == CodeLimit })
	out.mu.Lock()
	out.fail = nil
	out.mu.Unlock()
	w.until("all chunks", func() bool { got, _ := out.read(); return len(got) == most })
	if got := w.result(ask(h, def.At("k"), "say", "", `"more"`)); got != `"ok"` {
		t.Errorf("afterwards: %s", got)
	}
	w.until("one more chunk", func() bool { got, _ := out.read(); return len(got) == most+1 })
}

// TestHost_deadLetterOfUntaken: a send that nobody took keeps in its dead letter what it takes to send it again, also when
// a checkpoint came between.
func TestHost_deadLetterOfUntaken(t *testing.T) {
	for _, rounds := range []int{0, 2} {
		t.Run(fmt.Sprint(rounds), func(t *testing.T) {
			w := newWorld(t)
			addr := Address{"meter", "k"}
			def := meters(2)
			def.parts = append(def.parts, KeepNeeded())
			h := w.host("a", nil, def)
			w.run(h)
			w.own(h, 1, Checkpoint{})
			w.result(ask(h, addr, HookStart, "", "null"))
			w.send(addr, "held", "7", CallHeader{CallID: "mine", Token: "held:k", Trace: []string{"tp", "ts"}, ReplyTo: "_INBOX.x"})
			w.until("received", func() bool { return w.count(HookReceived) == 1 })
			for range 2 * rounds {
				w.result(ask(h, addr, "add", "", "1"))
			}
			if n := w.count(Snapshot); n != rounds {
				t.Fatalf("%d checkpoints", n)
			}
			if got := w.result(ask(h, addr, HookTerminate, "", "")); got != "null" {
				t.Fatal(got)
			}
			w.until("dead letter", func() bool { return len(w.dead) == 1 })
			d := w.dead[0]
			if d.CallID != "mine" || d.Token != "held:k" || !slices.Equal(d.Trace, []string{"tp", "ts"}) || d.ReplyTo != "_INBOX.x" || string(d.Payload) != "7" {
				t.Errorf("dead letter %+v", d)
			}
		})
	}
}

// deaf is an outlet that takes no outcomes.
type deaf struct {
	Outlet
	tried chan<- struct{}
}

func (d deaf) Outcome(context.Context, string, *Outcome) error {
	select {
	case d.tried <- struct{}{}:
	default:
	}
	return errors.New("deaf")
}

// TestHost_startIsTold: whoever sends a $start is told that it is durable, by the next node where this one cannot.
func TestHost_startIsTold(t *testing.T) {
	w := newWorld(t)
	addr := Address{"shopping", "k"}
	tried := make(chan struct{}, 1)
	h := w.host("a", func(c *Config) { c.Outlet = deaf{c.Outlet, tried} }, shopping1())
	stop := w.running(h)
	w.own(h, 1, Checkpoint{})
	w.send(addr, HookStart, `{"Item":"tea"}`, CallHeader{ReplyTo: "_INBOX.start"})
	select {
	case <-tried:
	case <-time.After(atLongLast):
		t.Fatal("nobody is told")
	}
	stop()
	w.change(func() { w.issued = func() (uint64, error) { return 2, nil } })
	next := w.host("b", nil, shopping1())
	w.run(next)
	w.own(next, 2, Checkpoint{})
	w.until("told", func() bool { return len(w.outcomes["_INBOX.start"]) == 1 })
	if o := w.outcomes["_INBOX.start"][0]; string(o.Result) != "null" || o.Err != nil || o.Seq == 0 {
		t.Errorf("got %+v", o)
	}
	if n := w.count(RunStarted); n != 1 {
		t.Errorf("started %d times", n)
	}
}
