package actor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perdure/perdure/internal/bubble"
)

// trips is a run function that does what its calls say. It answers with what it has taken since its run began.
func trips(taken *sync.Map, policy Declaration) *Workflow[int, int] {
	do, other := NewHook[string, []string]("do"), NewHook[string, []string]("other")
	hold := NewStep("hold", func(ctx context.Context, ms int) (int, error) {
		return ms, pause(ctx, time.Duration(ms)*time.Millisecond)
	})
	flaky := NewStep("flaky", func(ctx context.Context, _ None) (int, error) {
		if info, _ := StepMetadata(ctx); info.Attempt < 3 {
			return 0, errors.New("not yet")
		}
		return 1, nil
	})
	return NewWorkflow("trip", func(ctx Context, _ int) (int, error) {
		all, _ := Continued[[]string](ctx)
		hook, beside := do.Create(ctx), other.Create(ctx, Token("trip:"+Metadata(ctx).Key))
		take := func(ctx Context, from *Pending[string, []string]) (*Call[string, []string], error) {
			call, err := from.Await(ctx)
			if err == nil {
				taken.Store(call.ID, true)
				all = append(all, call.ID)
			}
			return call, err
		}
		for {
			call, err := take(ctx, hook)
			if err == nil {
				switch call.Payload {
				case "hold":
					_, err = hold.Run(ctx, 400)
				case "flaky":
					_, err = flaky.Run(ctx, None{})
				case "future":
					f := hold.Start(ctx, 5000)
					if _, err = f.Await(WithTimeout(ctx, time.Second)); errors.Is(err, ErrTimeout) {
						err = nil
					}
				case "nap":
					err = Sleep(ctx, 3*time.Second)
				case "race":
					var which int
					if which, err = Race(ctx, After(ctx, time.Second), beside); err == nil && which == 1 {
						var second *Call[string, []string]
						if second, err = take(ctx, beside); err == nil {
							second.Reply(ctx, all)
						}
					}
				case "silent":
					continue
				case "return":
					return len(all), nil
				case "fail":
					return 0, errors.New("no luck")
				case "full":
					call.Reply(ctx, []string{strings.Repeat("x", 200<<10)})
				case "continue":
					ContinueFrom(ctx, all)
				}
			}
			if errors.Is(err, ErrCancelled) {
				if _, again := beside.Await(ctx); !errors.Is(again, ErrCancelled) {
					return 0, errors.New("an await after the cancellation goes on")
				}
				clean := WithoutCancel(ctx)
				if _, err := hold.Run(clean, 300); err != nil {
					return 0, err
				}
				if len(all)%3 == 0 {
					ContinueFrom(ctx, append(all, "cancelled"))
				}
				if err := Sleep(clean, time.Second); err != nil {
					return 0, err
				}
			}
			if err != nil {
				return len(all), err
			}
			call.Reply(ctx, all)
		}
	}, do, other, policy)
}

// TestHost_randomRuns: whatever requests, failures and deaths the runs of one key meet, each ends once, all that was accepted
// has one outcome, no code leaves its log, and every node sees the same.
func TestHost_randomRuns(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			bubble.Run(t, func(t *testing.T) { randomRun(t, seed) })
		})
	}
}

func randomRun(t *testing.T, seed uint64) {
	policy := []Declaration{KeepNeeded(), KeepLast(7), KeepAll()}[seed%3]
	var taken sync.Map
	o := newOrdeal(t, seed, Address{"trip", "k"}, func() Definition { return trips(&taken, policy) })
	const steps = 150
	for i := range steps {
		if o.h.ctx.Err() != nil {
			o.next()
		}
		id := fmt.Sprint("c", i)
		what := []string{"x", "hold", "flaky", "future", "nap", "race", "silent", "full", "continue", "continue", "x", "return", "fail"}[o.r.IntN(13)]
		if (what == "return" || what == "fail") && o.r.IntN(2) == 0 {
			what = "x"
		}
		hook := []string{"do", "do", "other"}[o.r.IntN(3)]
		payload, _ := json.Marshal(what)
		switch o.r.IntN(16) {
		case 0, 1, 2, 3, 4:
			o.call(hook, id, string(payload), CallHeader{})
		case 5, 6, 7:
			o.send(o.addr, hook, string(payload), CallHeader{CallID: id, ReplyTo: "_INBOX." + id})
		case 8, 9:
			o.call(HookStart, id, "1", CallHeader{IDPolicy: []IDPolicy{Once, AfterFailure, AfterEnd, AfterEnd}[o.r.IntN(4)]})
		case 10:
			o.control([]string{HookPause, HookUnpause, HookUnpause}[o.r.IntN(3)], "")
		case 11:
			o.control([]string{HookCancel, HookTerminate, HookWake, HookWake}[o.r.IntN(4)], "")
		case 12, 13:
			o.fault()
		case 14:
			o.moved()
		case 15:
			time.Sleep(time.Duration(o.r.IntN(6000)) * time.Millisecond)
		}
		time.Sleep(time.Duration(o.r.IntN(40)) * time.Millisecond)
		if strings.Contains(o.look(), `"status": "parked"`) {
			t.Error("it is parked")
		}
		if t.Failed() {
			t.Fatalf("step %d: %s; log: %v", i, o.look(), o.events())
		}
	}
	o.ends()
	o.control(HookStart, "1") // where it never was
	o.control(HookUnpause, "")
	time.Sleep(2 * time.Minute)
	o.moved()
	done := make(chan struct{})
	go func() { o.calls.Wait(); close(done) }()
	for tries, over := 0, false; !over; tries++ {
		o.control(HookTerminate, "") // a start that is repeated may have begun another run
		select {
		case <-done:
			over = true
		case <-time.After(time.Minute):
		}
		if tries > 20 {
			close(o.giveUp)
			o.calls.Wait()
			t.Fatalf("no answer: %v; log: %v", o.waits, o.events())
		}
	}
	o.control(HookTerminate, "")
	time.Sleep(time.Minute)
	o.moved()
	synctest.Wait()
	o.checkRuns(&taken)
	o.stop()
}

func (o *ordeal) checkRuns(taken *sync.Map) {
	o.t.Helper()
	_, _ = o.note(nil)
	life, ended, runs := "", false, 0
	received, outcomes := map[string]int{}, map[string]int{}
	over := func() {
		for id, n := range outcomes {
			if n > 1 || received[id] > 1 || ended && n != 1 {
				o.t.Errorf("call %s of run %d was received %d times and has %d outcomes", id, runs, received[id], n)
			}
		}
		clear(received)
		clear(outcomes)
		ended = false
	}
	sent := map[string]string{} // what became of sends
	for _, rec := range o.told {
		if rec.Incarnation != life {
			if runs > 0 && !ended {
				o.t.Errorf("run %d has not ended, and record %d is of another", runs, rec.seq)
			}
			over()
			runs++
			life = rec.Incarnation
		}
		for _, ev := range rec.Events {
			_, ends := ev.Type.Ends()
			switch {
			case ends && ended:
				o.t.Errorf("run %d ended twice", runs)
			case ends:
				ended = true
			case ev.Type == HookReceived:
				received[ev.ID]++
				outcomes[ev.ID] += 0
				if ev.Inbox != 0 {
					if was := sent[ev.ID]; was != "" {
						o.t.Errorf("send %s is received, and %s", ev.ID, was)
					}
					sent[ev.ID] = "received"
				}
			case ev.Type == CallCompleted, ev.Type == CallFailed:
				outcomes[ev.ID]++
				if ev.Type == CallFailed && ev.Inbox != 0 {
					sent[ev.ID] = "untaken"
				}
			case ev.Type == RunParked:
				o.t.Errorf("parked: %+v", ev.Error)
			case ended && ev.Type != HookDisposed && ev.Type != WaitCancelled && ev.Type != RunClaimed:
				o.t.Errorf("%s after the end of run %d", ev.Type, runs)
			}
		}
	}
	over()
	dead := map[string]bool{}
	for _, d := range o.dead {
		dead[d.CallID] = true
		if len(d.Payload) == 0 {
			o.t.Errorf("dead letter without payload: %+v", d)
		}
		if sent[d.CallID] == "received" {
			o.t.Errorf("send %s was taken, and is dead: %+v", d.CallID, d.Cause)
		}
	}
	for _, m := range o.inbox {
		id := m.Header.CallID
		switch was := sent[id]; {
		case was != "received" && !dead[id]:
			o.t.Errorf("send %s was %q, and is no dead letter", id, was)
		case len(o.outcomes["_INBOX."+id]) == 0:
			o.t.Errorf("send %s was %s, and nobody is told its outcome", id, was)
		}
		if _, took := taken.Load(id); sent[id] == "received" && !took {
			o.t.Errorf("send %s was never taken, and is no dead letter", id)
		}
	}
	if armed, firings := o.s.left(); armed+firings > 0 && o.t.Failed() {
		o.t.Logf("%d schedules and %d firings are left", armed, firings)
	}
	if len(o.holders) > 0 {
		o.t.Errorf("tokens are left: %v", o.holders)
	}
	o.t.Logf("%d runs, %d records", runs, len(o.told))
}
