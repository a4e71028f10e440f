package actor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"
)

// A purse has had three shapes: a number, a sum with a currency, and one in cents.
type (
	purse2 struct {
		Sum      int
		Currency string
	}
	purse3 struct {
		Cents    int
		Currency string
	}
)

var (
	toPurse2 = func(n int) (purse2, error) { return purse2{n, "EUR"}, nil }
	toPurse3 = func(p purse2) (purse3, error) { return purse3{p.Sum * 100, p.Currency}, nil }
)

// purses1 to purses3 are the code of the purse's three versions: add adds to what there is, get shows all of it.
func purses1() *Object[int] {
	o := NewObject[int]("purse")
	NewMethod(o, "add", func(s *int, _ Context, n int) (int, error) { *s += n; return *s, nil })
	NewMethod(o, "fail", func(*int, Context, None) (None, error) { return None{}, errors.New("no") })
	NewQuery(o, "get", func(s int, _ ReadContext, _ None) (string, error) { return fmt.Sprint(s), nil })
	return o
}

func purses2(ms ...Declaration) *Object[purse2] {
	o := NewObject[purse2]("purse", ms...)
	NewMethod(o, "add", func(s *purse2, _ Context, n int) (int, error) { s.Sum += n; return s.Sum, nil })
	NewMethod(o, "fail", func(*purse2, Context, None) (None, error) { return None{}, errors.New("no") })
	NewQuery(o, "get", func(s purse2, _ ReadContext, _ None) (string, error) { return fmt.Sprint(s), nil })
	return o
}

func purses3() *Object[purse3] {
	o := NewObject[purse3]("purse", Migrate(2, toPurse2), Migrate(3, toPurse3))
	NewMethod(o, "add", func(s *purse3, _ Context, n int) (int, error) { s.Cents += n; return s.Cents, nil })
	NewMethod(o, "fail", func(*purse3, Context, None) (None, error) { return None{}, errors.New("no") })
	NewQuery(o, "get", func(s purse3, _ ReadContext, _ None) (string, error) { return fmt.Sprint(s), nil })
	return o
}

var purse = Address{"purse", "k"}

// deploy is a world whose only node is replaced by ones with other code.
type deploy struct {
	*world
	h     *Host
	epoch uint64
	stop  func()        // ends the node's readers
	cfg   func(*Config) // of nodes to come
}

// next stops the node and starts one with this code, which knows nothing of the one before.
func (d *deploy) next(defs ...Definition) {
	d.t.Helper()
	if d.stop != nil {
		d.stop()
		d.stop = nil
	}
	if d.h != nil {
		d.h.Close()
	}
	d.epoch++
	d.change(func() { epoch := d.epoch; d.issued = func() (uint64, error) { return epoch, nil } })
	d.h = d.host(fmt.Sprint("n", d.epoch), d.cfg, defs...)
	d.own(d.h, d.epoch, Checkpoint{})
}

// reads has the node read the inbox.
func (d *deploy) reads() {
	ctx, cancel := context.WithCancel(d.t.Context())
	done := make(chan error, 1)
	h := d.h
	go func() { done <- h.Run(ctx) }()
	d.stop = func() {
		cancel()
		if err := <-done; err != nil {
			d.t.Error(err)
		}
	}
}

// calls asks the purse and compares the answer.
func (d *deploy) calls(hook, payload, want string) {
	d.t.Helper()
	if got := d.result(ask(d.h, purse, hook, "", payload)); got != want {
		d.t.Errorf("%s %s: got %s, want %s", hook, payload, got, want)
	}
}

// last is the last record.
func (d *deploy) last() *Record {
	d.t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	rec, err := DecodeRecord(d.log[len(d.log)-1].Body)
	if err != nil {
		d.t.Fatal(err)
	}
	return rec
}

func (d *deploy) wrote(state string, version int) {
	d.t.Helper()
	if r := d.last(); string(r.State) != state || r.StateVersion != version {
		d.t.Errorf("the last record has state %s of version %d, want %s of %d", r.State, r.StateVersion, state, version)
	}
}

func TestMigrate_definitions(t *testing.T) {
	same := func(n int) (int, error) { return n, nil }
	for _, tc := range []struct {
		def  Definition
		want string
	}{
		{purses2(), ""},
		{purses2(Migrate(2, toPurse2)), ""},
		{purses2(Migrate(7, toPurse2)), ""}, // nothing older is stored any more
		{purses2(Migrate(1, toPurse2)), "purse state: migration to version 1: the first version that a migration makes is 2"},
		{purses2(Migrate(2, same), Migrate(4, toPurse2)), "purse state: migration to version 4 follows one to version 2: want 3"},
		{purses2(Migrate(2, toPurse2), Migrate(2, toPurse2)), "purse state: migration to version 2 follows one to version 2: want 3\npurse state: the last"},
		{purses2(Migrate(2, same)), "purse state: the last migration makes int, want actor.purse2"},
		{purses2(Migrate(2, same), Migrate(3, toPurse3)), "purse state: migration to version 3 takes actor.purse2, and the one before it makes int"},
		{NewWorkflow("w", func(Context, string) (None, error) { return None{}, nil }, Migrate(2, same)), "w input: the last migration makes int, want string"},
		{NewWorkflow("w", func(Context, int) (None, error) { return None{}, nil }, NewHook[string, None]("h", Migrate(2, same))), "w.h payload: the last migration makes int, want string"},
		{larders2(toOrder2, Migrate(3, same)), "larder.deliver payload: migration to version 3 takes int, and the one before it makes actor.order2"},
		{tours2(MigrateCheckpoint(2, same), MigrateCheckpoint(4, same)), "tour checkpoint: migration to version 4 follows one to version 2: want 3"},
		{NewObject[purse2]("purse", MigrateCheckpoint(2, same)), "purse: MigrateCheckpoint is for workflows"},
	} {
		_, err := newRegistry(openSchemas{}, []Definition{tc.def})
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), strings.Split(tc.want, "\n")[0])) {
			t.Errorf("got %v, want %q", err, tc.want)
		}
	}
}

// TestMigrate_state: what an earlier version stored is seen as it is today, written with the next record, and by no read.
func TestMigrate_state(t *testing.T) {
	d := &deploy{world: newWorld(t)}
	d.next(purses1())
	d.calls("add", "5", "5")
	d.wrote("5", 0)
	d.next(purses2(Migrate(2, toPurse2)))
	if got := d.result(ask(d.h, purse, HookState, "", "")); got != `{"Sum":5,"Currency":"EUR"}` {
		t.Errorf("$state: %s", got)
	}
	d.calls("get", "null", `"{5 EUR}"`)
	d.wrote("5", 0)
	d.calls("fail", "null", "no (422, object)")
	d.wrote(`{"Sum":5,"Currency":"EUR"}`, 2)
	d.calls("add", "1", "6")
	d.next(purses3())
	d.calls("get", "null", `"{600 EUR}"`)
	d.wrote(`{"Sum":6,"Currency":"EUR"}`, 2)
	d.calls("add", "50", "650")
	d.wrote(`{"Cents":650,"Currency":"EUR"}`, 3)
	d.next(purses3())
	d.calls("get", "null", `"{650 EUR}"`)

	old := &deploy{world: newWorld(t)}
	old.next(purses1())
	old.calls("add", "5", "5")
	old.next(purses3()) // two versions at once
	old.calls("add", "1", "501")
	old.wrote(`{"Cents":501,"Currency":"EUR"}`, 3)

	fresh := &deploy{world: newWorld(t)}
	fresh.next(purses3()) // no state: nothing is migrated
	fresh.calls("get", "null", `"{0 }"`)
	fresh.calls("fail", "null", "no (422, object)")
	fresh.wrote("", 0)
	fresh.calls("add", "1", "1")
	fresh.wrote(`{"Cents":1,"Currency":""}`, 3)
}

// TestMigrate_onceWritten: a migration runs for as long as its result is in no record, and then never again.
func TestMigrate_onceWritten(t *testing.T) {
	d := &deploy{world: newWorld(t)}
	d.next(purses1())
	d.calls("add", "5", "5")
	runs := 0
	counted := func(n int) (purse2, error) { runs++; return toPurse2(n) }
	for want := 1; want <= 3; want++ {
		d.next(purses2(Migrate(2, counted)))
		if d.calls("get", "null", `"{5 EUR}"`); runs != want {
			t.Errorf("node %d: %d runs", want, runs)
		}
	}
	d.calls("add", "1", "6")
	d.next(purses2(Migrate(2, counted)))
	if d.calls("add", "1", "7"); runs != 3 {
		t.Errorf("%d runs, want 3: the result is written", runs)
	}
}

// TestMigrate_faults: the first record with the migrated state is lost, in doubt, or somebody else's; the call is applied once.
func TestMigrate_faults(t *testing.T) {
	for name, fault := range map[string]func() (bool, error){
		"refused":             func() (bool, error) { return false, ErrAppendRefused },
		"unknown, not stored": func() (bool, error) { return false, ErrAppendUnknown },
		"unknown, stored":     func() (bool, error) { return true, ErrAppendUnknown },
		"conflict":            func() (bool, error) { return false, ErrAppendConflict },
	} {
		t.Run(name, func(t *testing.T) {
			d := &deploy{world: newWorld(t)}
			d.next(purses1())
			d.calls("add", "5", "5")
			d.next(purses2(Migrate(2, toPurse2)))
			faults := 1
			d.change(func() {
				d.onAppend = func(*Entry) (bool, error) {
					if faults--; faults >= 0 {
						return fault()
					}
					return true, nil
				}
			})
			got := d.result(ask(d.h, purse, "add", "id", "1"))
			if name == "refused" { // nothing was written: the caller asks again
				if !strings.Contains(got, "503") {
					t.Errorf("got %s, want 503", got)
				}
				got = d.result(ask(d.h, purse, "add", "id", "1"))
			}
			if got != "6" {
				t.Errorf("got %s, want 6", got)
			}
			d.wrote(`{"Sum":6,"Currency":"EUR"}`, 2)
		})
	}
	t.Run("killed once it is stored", func(t *testing.T) {
		d := &deploy{world: newWorld(t)}
		d.next(purses1())
		d.calls("add", "5", "5")
		d.next(purses2(Migrate(2, toPurse2)))
		h := d.h
		d.change(func() { d.onAppend = func(*Entry) (bool, error) { h.cancel(); return true, nil } })
		ask(d.h, purse, "add", "id", "1")
		d.until("stored", func() bool { return len(d.log) == 2 })
		d.change(func() { d.onAppend = nil })
		d.next(purses2(Migrate(2, toPurse2)))
		if got := d.result(ask(d.h, purse, "add", "id", "1")); got != "6" {
			t.Errorf("got %s, want 6", got)
		}
	})
}

// TestMigrate_fails: a migration that fails parks the run with its state as it is; sends are kept, mended code goes on.
func TestMigrate_fails(t *testing.T) {
	for name, tc := range map[string]struct {
		migration Declaration
		want      string
	}{
		"error": {Migrate(2, func(int) (purse2, error) { return purse2{}, errors.New("too poor") }), "does not migrate to version 2: too poor"},
		"panic": {Migrate(2, func(int) (purse2, error) { panic("oh") }), "does not migrate to version 2: panic: oh"},
		"shape": {Migrate(2, func(string) (purse2, error) { return purse2{}, nil }), "does not migrate to version 2: json: cannot unmarshal number"},
		"gap":   {Migrate(3, toPurse2), "does not migrate from version 1: this code migrates from version 2 on"},
		"large": {Migrate(2, func(int) (purse2, error) { return purse2{1, strings.Repeat("x", 2000)}, nil }), "does not migrate: it has 2023 bytes then; at most 1000 are allowed"},
	} {
		t.Run(name, func(t *testing.T) {
			d := &deploy{world: newWorld(t)}
			d.next(purses1())
			d.calls("add", "5", "5")
			if name == "large" {
				d.cfg = func(c *Config) { c.MaxState = 1000 }
			}
			for range 2 {
				d.next(purses2(tc.migration))
				o := d.answer(ask(d.h, purse, "get", "", "null"))
				if !errors.Is(o.Err, ErrStopped) || !strings.Contains(o.Err.Message, "the state in record") || !strings.Contains(o.Err.Message, tc.want) {
					t.Errorf("got %v, want 423 that says %q", o.Err, tc.want)
				}
				var details struct{ Kind string }
				if err := json.Unmarshal(o.Err.Details, &details); err != nil || details.Kind != "migration" {
					t.Errorf("details %s", o.Err.Details)
				}
				d.wrote("5", 0)
			}
			if n := d.count(RunParked); n != 1 {
				t.Errorf("parked %d times", n)
			}
			d.reads()
			d.send(purse, "add", "1", CallHeader{CallID: "s"})
			d.until("received", func() bool { return d.count(HookReceived) == 2 })
			d.wrote("5", 0)
			d.next(purses2(Migrate(2, toPurse2)))
			d.calls("add", "1", "7")
			if n := d.count(RunResumed); n != 1 {
				t.Errorf("resumed %d times", n)
			}
		})
	}
}

// TestMigrate_downgrade: older code refuses what newer code has stored, writes nothing, and serves the other objects. Sends
// wait for the newer code.
func TestMigrate_downgrade(t *testing.T) {
	d := &deploy{world: newWorld(t)}
	d.next(purses1())
	other := Address{"purse", "other"}
	d.result(ask(d.h, other, "add", "", "3"))
	d.calls("add", "5", "5")
	d.next(purses2(Migrate(2, toPurse2)))
	d.calls("add", "1", "6")
	for _, older := range []Definition{purses1(), purses2()} {
		d.next(older)
		d.reads()
		for _, hook := range []string{"add", "get", HookState, HookDescribe} {
			o := d.answer(ask(d.h, purse, hook, "", "1"))
			if !errors.Is(o.Err, ErrUnavailable) || !strings.Contains(o.Err.Message, "its state has version 2, and this node's code knows 1: upgrade it") {
				t.Errorf("%s: got %v, want 503", hook, o.Err)
			}
		}
	}
	d.send(purse, "add", "10", CallHeader{CallID: "s"})
	if n := len(d.log); n != 3 {
		t.Errorf("%d records, want 3", n)
	}
	d.next(purses2(Migrate(2, toPurse2)))
	d.reads()
	d.until("applied", func() bool { return d.count(CallCompleted) == 4 })
	d.calls("get", "null", `"{16 EUR}"`)
	d.next(purses1())
	if got := d.result(ask(d.h, other, "add", "", "1")); got != "4" {
		t.Errorf("another object: got %s, want 4", got)
	}
}

// TestMigrate_downgradeLog: while a send waits for newer code, the log says why once, however often it is tried.
func TestMigrate_downgradeLog(t *testing.T) {
	d := &deploy{world: newWorld(t)}
	d.next(purses2(Migrate(2, toPurse2)))
	d.calls("add", "1", "1")
	said := make(lines, 16)
	d.cfg = func(c *Config) { c.Logger = slog.New(slog.NewTextHandler(said, nil)) }
	d.next(purses1())
	d.reads()
	d.send(purse, "add", "10", CallHeader{CallID: "s"})
	for first := ""; !strings.Contains(first, "load run"); {
		select {
		case first = <-said:
		case <-time.After(atLongLast):
			t.Fatal("nothing is logged")
		}
	}
	for range 3 {
		d.answer(ask(d.h, purse, "get", "", "null"))
	}
	d.stop()
	d.stop = nil
	d.h.Close()
	close(said)
	for line := range said {
		if strings.Contains(line, "load run") {
			t.Errorf("again: %s", line)
		}
	}
}

// lines has what is written to it, a line at a time.
type lines chan string

func (l lines) Write(p []byte) (int, error) {
	l <- string(p)
	return len(p), nil
}

type (
	order1 struct{ Item string }
	order2 struct{ Items []string }
)

var toOrder2 = Migrate(2, func(o order1) (order2, error) {
	if o.Item == "bad" {
		return order2{}, errors.New("not sold any more")
	}
	return order2{[]string{o.Item}}, nil
})

// never is a step that outlasts the node.
func never() *Step[None, None] {
	return NewStep("never", func(ctx context.Context, _ None) (None, error) { <-ctx.Done(); return None{}, ctx.Err() })
}

// TestMigrate_queuedCalls: calls of a method that wait in the log get their payload as it is today.
func TestMigrate_queuedCalls(t *testing.T) {
	d := &deploy{world: newWorld(t)}
	step := never()
	shop := Address{"shop", "k"}
	o := NewObject[[]string]("shop")
	NewMethod(o, "wait", func(_ *[]string, ctx Context, _ None) (None, error) { return step.Run(ctx, None{}) })
	NewMethod(o, "order", func(s *[]string, _ Context, in order1) (None, error) { *s = append(*s, in.Item); return None{}, nil })
	d.next(o)
	ask(d.h, shop, "wait", "w", "null")
	d.until("started", func() bool { return d.count(StepStarted) == 1 })
	ask(d.h, shop, "order", "o1", `{"Item":"tea"}`)
	ask(d.h, shop, "order", "o2", `{"Item":"milk"}`)
	d.until("queued", func() bool { return d.count(HookReceived) == 3 })

	quick := NewStep("never", func(context.Context, None) (None, error) { return None{}, nil })
	newShop := func() *Object[[]string] {
		o := NewObject[[]string]("shop")
		NewMethod(o, "wait", func(_ *[]string, ctx Context, _ None) (None, error) { return quick.Run(ctx, None{}) })
		NewMethod(o, "order", func(s *[]string, _ Context, in order2) (None, error) {
			*s = append(*s, in.Items...)
			return None{}, nil
		}, toOrder2)
		return o
	}
	d.next(newShop())
	if got := d.result(ask(d.h, shop, "order", "o3", `{"Items":["eggs","rice"]}`)); got != "null" {
		t.Errorf("got %s", got)
	}
	if got := d.result(ask(d.h, shop, HookState, "", "")); got != `["tea","milk","eggs","rice"]` {
		t.Errorf("got %s", got)
	}
	var versions []int
	for _, e := range d.log {
		rec, err := DecodeRecord(e.Body)
		if err != nil {
			t.Fatal(err)
		}
		for _, ev := range rec.Events {
			if ev.Type == HookReceived && ev.Name == "order" {
				versions = append(versions, ev.Version)
			}
		}
	}
	if !slices.Equal(versions, []int{0, 0, 2}) {
		t.Errorf("recorded with versions %v", versions)
	}
}

// shopping is a run function: its input is an order, and so is what each call brings; a call is answered with all items.
func shopping1() Definition {
	hook := NewHook[order1, string]("order")
	return NewWorkflow("shopping", func(ctx Context, first order1) (None, error) {
		all := []string{first.Item}
		for call, err := range hook.Create(ctx).All(ctx) {
			if err != nil {
				return None{}, err
			}
			all = append(all, call.Payload.Item)
			call.Reply(ctx, strings.Join(all, " "))
		}
		return None{}, nil
	}, hook)
}

func shopping2(ms ...*Migration) Definition {
	hook := NewHook[order2, string]("order", ms...)
	parts := []Declaration{hook}
	for _, m := range ms {
		parts = append(parts, m)
	}
	return NewWorkflow("shopping", func(ctx Context, first order2) (None, error) {
		all := first.Items
		for call, err := range hook.Create(ctx).All(ctx) {
			if err != nil {
				return None{}, err
			}
			all = append(all, call.Payload.Items...)
			call.Reply(ctx, strings.Join(all, " "))
		}
		return None{}, nil
	}, parts...)
}

// TestMigrate_workflow: a run function is replayed with its input and all its calls as they are today; older code refuses
// the run once newer code has recorded something.
func TestMigrate_workflow(t *testing.T) {
	d := &deploy{world: newWorld(t)}
	addr := Address{"shopping", "k"}
	call := func(hook, payload, want string) {
		t.Helper()
		if got := d.result(ask(d.h, addr, hook, "", payload)); !strings.Contains(got, want) || want == "" {
			t.Errorf("%s %s: got %s, want %s", hook, payload, got, want)
		}
	}
	d.next(shopping1())
	call(HookStart, `{"Item":"tea"}`, "null")
	call("order", `{"Item":"milk"}`, `"tea milk"`)
	d.next(shopping2(toOrder2))
	call(HookStart, `{"Items":["tea"]}`, "null") // it was started with that
	call(HookStart, `{"Items":["rum"]}`, "409")
	d.next(shopping1()) // nothing new is in the log yet
	call("order", `{"Item":"eggs"}`, `"tea milk eggs"`)
	d.next(shopping2(toOrder2))
	call("order", `{"Items":["rice","salt"]}`, `"tea milk eggs rice salt"`)
	d.next(shopping1())
	n := len(d.log)
	call("order", `{"Item":"jam"}`, "has version 2, and this node's code knows 1: upgrade it (503, runtime)")
	if len(d.log) != n {
		t.Error("older code has written")
	}
	d.next(shopping2(toOrder2))
	call("order", `{"Items":[]}`, `"tea milk eggs rice salt"`)

	addr = Address{"shopping", "other"} // one whose second call does not migrate
	d.next(shopping1())
	call(HookStart, `{"Item":"tea"}`, "null")
	call("order", `{"Item":"bad"}`, `"tea bad"`)
	d.next(shopping2(toOrder2))
	call("order", `{"Items":[]}`, "does not migrate to version 2: not sold any more (423, runtime)")
	d.next(shopping1())
	call("order", `{"Item":"milk"}`, `"tea bad milk"`)
}

// TestMigrate_answered: a call that has its outcome needs no payload of today.
func TestMigrate_answered(t *testing.T) {
	type in2 struct{ N int }
	def := func(ms ...*Migration) Definition {
		o := NewObject[int]("purse")
		if len(ms) == 0 {
			NewMethod(o, "add", func(s *int, _ Context, n int) (int, error) { *s += n; return *s, nil })
		} else {
			NewMethod(o, "add", func(s *int, _ Context, n in2) (int, error) { *s += n.N; return *s, nil }, ms...)
		}
		return o
	}
	d := &deploy{world: newWorld(t)}
	d.next(def())
	d.calls("add", "13", "13")
	d.next(def(Migrate(2, func(n int) (in2, error) {
		if n == 13 {
			return in2{}, errors.New("unlucky")
		}
		return in2{n}, nil
	})))
	d.calls("add", `{"N":1}`, "14")
}

// FuzzMigrations: whatever a record says of its version, it is refused, or led to the version of today.
func FuzzMigrations(f *testing.F) {
	f.Add(0, []byte("5"))
	f.Add(2, []byte(`{"Sum":5}`))
	f.Add(9, []byte(`{}`))
	ms := migrations{Migrate(3, toPurse2), Migrate(4, toPurse3)}
	f.Fuzz(func(t *testing.T, version int, data []byte) {
		if ms.tooNew(version) {
			return
		}
		made, err := ms.migrate(data, version)
		if err == nil && max(version, 1) != 4 && json.Unmarshal(made, &purse3{}) != nil {
			t.Errorf("%d %s became %s", version, data, made)
		}
		if err != nil && !errors.Is(err, errMigration) {
			t.Errorf("got %v", err)
		}
	})
}

// TestLife_pausedObjectParks: a paused object that a bad deployment parks is paused when the code is mended.
func TestLife_pausedObjectParks(t *testing.T) {
	d := &deploy{world: newWorld(t)}
	d.next(purses1())
	d.calls("add", "1", "1")
	if got := d.result(ask(d.h, purse, HookPause, "", `{"reason":"audit"}`)); got != "null" {
		t.Fatal(got)
	}
	d.next(purses2(Migrate(2, func(int) (purse2, error) { return purse2{}, errors.New("bad") })))
	if s := d.status(d.h, purse); s.Status != StatusParked {
		t.Errorf("with bad code it is %s", s.Status)
	}
	for range 2 {
		d.next(purses2(Migrate(2, toPurse2)))
		if s := d.status(d.h, purse); s.Status != StatusPaused || s.Reason != "audit" {
			t.Errorf("with mended code it is %s, %q", s.Status, s.Reason)
		}
	}
	if got := d.result(ask(d.h, purse, HookUnpause, "", "")); got != "null" {
		t.Error(got)
	}
	d.calls("add", "1", "2")
}
