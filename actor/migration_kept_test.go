package actor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure/internal/bubble"
)

// larder is an object whose alarm delivers an order, as it was written when the alarm was set.
var larder = Address{"larder", "k"}

func larders1() Definition {
	o := NewObject[[]string]("larder")
	deliver := NewAlarm(o, "deliver", func(s *[]string, _ Context, in order1) error { *s = append(*s, in.Item); return nil })
	NewMethod(o, "order", func(_ *[]string, ctx Context, in order1) (None, error) {
		return None{}, deliver.Set(ctx, in.Item, Now(ctx).Add(time.Hour), in)
	})
	step := never()
	NewMethod(o, "wait", func(_ *[]string, ctx Context, _ None) (None, error) { return step.Run(ctx, None{}) })
	return o
}

func larders2(ms ...AlarmOption) Definition {
	o := NewObject[[]string]("larder")
	deliver := NewAlarm(o, "deliver", func(s *[]string, _ Context, in order2) error {
		if len(in.Items) > 1 {
			return errors.New("one after the other")
		}
		*s = append(*s, in.Items...)
		return nil
	}, ms...)
	NewMethod(o, "order", func(_ *[]string, ctx Context, in order2) (None, error) {
		return None{}, deliver.Set(ctx, in.Items[0], Now(ctx).Add(time.Hour), in)
	})
	NewQuery(o, "list", func(_ []string, ctx ReadContext, _ None) (string, error) {
		all, err := deliver.List(ctx)
		return fmt.Sprint(all), err
	})
	step := NewStep("never", func(context.Context, None) (None, error) { return None{}, nil })
	NewMethod(o, "wait", func(_ *[]string, ctx Context, _ None) (None, error) { return step.Run(ctx, None{}) })
	return o
}

func (d *deploy) asks(addr Address, hook, payload, want string) {
	d.t.Helper()
	if got := d.result(ask(d.h, addr, hook, "", payload)); !strings.Contains(got, want) {
		d.t.Errorf("%s %s: got %s, want %s", hook, payload, got, want)
	}
}

// TestMigrate_alarm: what was set years ago fires with its payload as it is today.
func TestMigrate_alarm(t *testing.T) {
	bubble.Run(t, func(t *testing.T) {
		d := &deploy{world: newWorld(t)}
		d.next(larders1())
		d.asks(larder, "order", `{"Item":"tea"}`, "null")
		d.asks(larder, "order", `{"Item":"milk"}`, "null")
		d.next(larders2(toOrder2))
		d.asks(larder, "list", "null", "{[tea]}")
		if e := d.last().Alarms; len(e) != 2 || e[0].Version != 0 {
			t.Errorf("a read has made of the table %+v", e)
		}
		d.asks(larder, "order", `{"Items":["eggs"]}`, "null")
		if e := d.last().Alarms; len(e) != 3 || e[0].Version != 2 || string(e[0].Payload) != `{"Items":["tea"]}` {
			t.Errorf("the next record has the table %+v", e)
		}
		d.next(larders1())
		n := len(d.log)
		d.asks(larder, "order", `{"Item":"jam"}`, `the payload of alarm deliver, key "tea", in record 3 has version 2, and this node's code knows 1: upgrade it (503`)
		if len(d.log) != n {
			t.Error("older code has written")
		}
		d.next(larders2(toOrder2))
		d.asks(larder, "list", "null", "{[tea]}")
		time.Sleep(2 * time.Hour)
		d.asks(larder, HookState, "", `["tea","milk","eggs"]`)
	})
}

// TestMigrate_alarmDue: one that has fired, and waits for its turn in the log, gets its payload as it is today too, and so does
// one that is tried again.
func TestMigrate_alarmDue(t *testing.T) {
	bubble.Run(t, func(t *testing.T) {
		d := &deploy{world: newWorld(t)}
		d.next(larders1())
		d.asks(larder, "order", `{"Item":"tea"}`, "null")
		ask(d.h, larder, "wait", "w", "null")
		d.until("started", func() bool { return d.count(StepStarted) == 1 })
		time.Sleep(2 * time.Hour)
		d.until("fired", func() bool { return d.count(WaitCompleted) == 1 })
		d.asks(larder, HookState, "", "null")
		twice := Migrate(3, func(o order2) (order2, error) { return order2{append(o.Items, "more")}, nil })
		d.next(larders2(toOrder2, twice, Retry(RetryPolicy{Backoff: 24 * time.Hour, MaxBackoff: 24 * time.Hour})))
		d.until("failed", func() bool { return d.count(CallFailed) == 1 })
		d.asks(larder, "list", "null", "2 {[tea more]}")
		if e := d.last().Alarms; len(e) != 1 || e[0].Version != 3 {
			t.Errorf("it is tried again as %+v", e)
		}
	})
}

// TestMigrate_alarmFails: a setting that cannot be migrated parks the object, with all of them as they are.
func TestMigrate_alarmFails(t *testing.T) {
	bubble.Run(t, func(t *testing.T) {
		d := &deploy{world: newWorld(t)}
		d.next(larders1())
		d.asks(larder, "order", `{"Item":"tea"}`, "null")
		d.asks(larder, "order", `{"Item":"bad"}`, "null")
		d.next(larders2(toOrder2))
		d.asks(larder, "list", "null", `the payload of alarm deliver, key "bad", in record 2 does not migrate to version 2: not sold any more (423`)
		if e := d.last().Alarms; len(e) != 2 || e[0].Version != 0 || string(e[0].Payload) != `{"Item":"tea"}` {
			t.Errorf("the parked object has %+v", e)
		}
		time.Sleep(2 * time.Hour)
		mended := Migrate(2, func(o order1) (order2, error) { return order2{[]string{o.Item}}, nil })
		d.next(larders2(mended))
		d.until("fired", func() bool { return d.count(WaitCompleted) == 2 })
		d.asks(larder, HookState, "", `["tea","bad"]`)
	})
}

// tours are run functions that continue from what they have seen.
func tours1() Definition {
	hook := NewHook[string, string]("see")
	return NewWorkflow("tour", func(ctx Context, _ None) (None, error) {
		seen, _ := Continued[string](ctx)
		for call, err := range hook.Create(ctx).All(ctx) {
			if err != nil {
				return None{}, err
			}
			seen += call.Payload
			call.Reply(ctx, seen)
			ContinueFrom(ctx, seen)
		}
		return None{}, nil
	}, hook)
}

type tour2 struct{ Seen []string }

func tours2(parts ...Declaration) Definition {
	hook := NewHook[string, string]("see")
	return NewWorkflow("tour", func(ctx Context, _ None) (None, error) {
		at, _ := Continued[tour2](ctx)
		for call, err := range hook.Create(ctx).All(ctx) {
			if err != nil {
				return None{}, err
			}
			at.Seen = append(at.Seen, call.Payload)
			call.Reply(ctx, strings.Join(at.Seen, " "))
			ContinueFrom(ctx, at)
		}
		return None{}, nil
	}, append(parts, hook)...)
}

// TestMigrate_checkpoint: a run function goes on from its checkpoint as it is today, and older code refuses a newer one.
func TestMigrate_checkpoint(t *testing.T) {
	addr := Address{"tour", "k"}
	toTour2 := MigrateCheckpoint(2, func(s string) (tour2, error) {
		if s == "" {
			return tour2{}, errors.New("nothing seen")
		}
		return tour2{strings.Split(s, "")}, nil
	})
	d := &deploy{world: newWorld(t)}
	d.next(tours1())
	d.asks(addr, "see", `"a"`, `"a"`)
	d.asks(addr, "see", `"b"`, `"ab"`)
	d.next(tours2(toTour2))
	d.asks(addr, "see", `"c"`, `"a b c"`)
	d.next(tours2(toTour2))
	d.asks(addr, "see", `"d"`, `"a b c d"`)
	n := len(d.log)
	d.next(tours1())
	d.asks(addr, "see", `"e"`, "has version 2, and this node's code knows 1: upgrade it (503")
	if len(d.log) != n {
		t.Error("older code has written")
	}
	d.next(tours2(toTour2, MigrateCheckpoint(3, func(s tour2) ([]string, error) { return s.Seen, nil })))
	d.asks(addr, "see", `"e"`, "the checkpoint has type actor.tour2, and the last migration of checkpoints makes []string (500")
	d.next(tours2(toTour2))
	d.asks(addr, "see", `"f"`, `"a b c d f"`)

	addr.Key = "other" // one whose checkpoint does not migrate
	d = &deploy{world: newWorld(t)}
	d.next(tours1())
	d.asks(addr, "see", `""`, `""`)
	d.next(tours2(toTour2))
	d.asks(addr, "see", `"a"`, "does not migrate to version 2: nothing seen (423")
	d.next(tours1())
	d.asks(addr, "see", `"a"`, `"a"`)
}

// TestMigrate_alarmBesideState: while a setting does not migrate, the state stays as it was recorded, and the old code goes on.
func TestMigrate_alarmBesideState(t *testing.T) {
	type shelf struct{ Items []string }
	d := &deploy{world: newWorld(t)}
	d.next(larders1())
	d.asks(larder, "order", `{"Item":"bad"}`, "null")
	o := NewObject[shelf]("larder", Migrate(2, func(s []string) (shelf, error) { return shelf{s}, nil }))
	deliver := NewAlarm(o, "deliver", func(*shelf, Context, order2) error { return nil }, toOrder2)
	NewMethod(o, "order", func(_ *shelf, ctx Context, in order2) (None, error) {
		return None{}, deliver.Set(ctx, "", Now(ctx), in)
	})
	d.next(o)
	d.asks(larder, "order", `{"Items":["x"]}`, "not sold any more (423")
	if r := d.last(); r.StateVersion != 0 || len(r.Alarms) != 1 || r.Alarms[0].Version != 0 {
		t.Errorf("the parked object has a state of version %d and alarms %+v", r.StateVersion, r.Alarms)
	}
	d.next(larders1())
	d.asks(larder, "order", `{"Item":"tea"}`, "null")
}

// TestMigrate_alarmCancelled: one that had fired and was cancelled before its turn needs no payload of today.
func TestMigrate_alarmCancelled(t *testing.T) {
	bubble.Run(t, func(t *testing.T) {
		d := &deploy{world: newWorld(t)}
		release := make(chan struct{})
		hold := NewStep("hold", func(ctx context.Context, _ None) (None, error) {
			select {
			case <-release:
			case <-ctx.Done():
			}
			return None{}, ctx.Err()
		})
		o := larders1().(*Object[[]string])
		NewMethod(o, "cancel", func(_ *[]string, ctx Context, _ None) (bool, error) {
			_, err := hold.Run(ctx, None{})
			return AlarmRef[order1]("deliver").Cancel(ctx, "bad"), err
		})
		d.next(o)
		d.asks(larder, "order", `{"Item":"bad"}`, "null")
		ask(d.h, larder, "cancel", "c", "null")
		d.until("held", func() bool { return d.count(StepStarted) == 1 })
		ask(d.h, larder, "wait", "w", "null")
		d.until("queued", func() bool { return d.count(HookReceived) == 3 })
		time.Sleep(2 * time.Hour)
		d.until("fired", func() bool { return d.count(WaitCompleted) == 1 })
		close(release)
		d.until("cancelled", func() bool { return d.count(WaitCancelled) == 1 })
		d.until("waits", func() bool { return d.count(StepStarted) == 2 })
		d.next(larders2(toOrder2))
		d.asks(larder, "list", "null", "[]")
	})
}

// TestMigrate_checkpointReplaced: of two checkpoints in one record only the last one has to migrate.
func TestMigrate_checkpointReplaced(t *testing.T) {
	addr := Address{"tour", "k"}
	d := &deploy{world: newWorld(t)}
	d.next(tours1())
	d.reads()
	d.asks(addr, "see", `"a"`, `"a"`)
	d.asks(addr, HookPause, "", "null")
	d.send(addr, "see", `"x"`, CallHeader{})
	d.send(addr, "see", `"y"`, CallHeader{})
	d.until("received", func() bool { return d.count(HookReceived) == 3 })
	d.asks(addr, HookUnpause, "", "null")
	d.until("seen", func() bool { return d.count(CallCompleted) == 3 })
	if n := d.count(Snapshot); n != 3 || !d.twoCheckpoints() {
		t.Fatalf("%d checkpoints, of which no two are in one record", n)
	}
	d.next(tours2(MigrateCheckpoint(2, func(s string) (tour2, error) {
		if s == "ax" {
			return tour2{}, errors.New("it was replaced")
		}
		return tour2{strings.Split(s, "")}, nil
	})))
	d.asks(addr, "see", `"z"`, `"a x y z"`)
}

// twoCheckpoints reports whether a record has more than one.
func (d *deploy) twoCheckpoints() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range d.log {
		rec, err := DecodeRecord(e.Body)
		if err != nil {
			d.t.Fatal(err)
		}
		n := 0
		for _, ev := range rec.Events {
			if ev.Type == Snapshot {
				n++
			}
		}
		if n > 1 {
			return true
		}
	}
	return false
}
