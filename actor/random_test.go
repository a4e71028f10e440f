package actor

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/perdure/perdure/internal/bubble"
)

// ordeal drives a world at random: requests of all kinds, appends that fail, nodes that die, objects that leave memory.
type ordeal struct {
	*world
	r      *rand.Rand
	s      *server
	def    func() Definition
	addr   Address
	epoch  uint64
	stop   func()
	left   Checkpoint
	calls  sync.WaitGroup
	giveUp chan struct{} // the test has failed

	mu      sync.Mutex
	h       *Host
	answers map[string]*Outcome // definite ones, by call id
	waits   map[string]*Error   // by calls without a definite answer

	told []entryRecord // every record that was ever in the log
	seen int
}

func newOrdeal(t *testing.T, seed uint64, addr Address, def func() Definition) *ordeal {
	o := &ordeal{
		world: newWorld(t), r: rand.New(rand.NewPCG(seed, 77)), def: def, addr: addr, answers: map[string]*Outcome{}, waits: map[string]*Error{},
		giveUp: make(chan struct{}),
	}
	o.s = newServer(o.world)
	o.world.onAppend = o.note
	o.next()
	return o
}

// note takes down what is in the log, before anything of it can be removed.
func (o *ordeal) note(*Entry) (bool, error) {
	o.world.mu.Lock()
	defer o.world.mu.Unlock()
	for ; o.seen < len(o.log); o.seen++ {
		e := o.log[o.seen]
		rec, err := DecodeRecord(e.Body)
		if err != nil {
			o.t.Errorf("record %d: %v", e.Seq, err)
			continue
		}
		o.told = append(o.told, entryRecord{e.Seq, rec, e.Index})
	}
	return true, nil
}

func (o *ordeal) host() *Host {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.h
}

// next has a node take over.
func (o *ordeal) next() {
	if o.stop != nil {
		o.stop()
	}
	o.epoch++
	epoch := o.epoch
	o.change(func() { o.onAppend, o.issued = o.note, func() (uint64, error) { return epoch, nil } })
	h := o.world.host(fmt.Sprint("n", epoch), func(c *Config) { c.Timers, c.Idle = o.s, 3*time.Second }, o.def())
	claim := Claim{Partition: 0, Epoch: epoch, Checkpoint: o.left, Unclean: o.r.IntN(2) == 0}
	if err := h.Own(o.t.Context(), []Claim{claim}); err != nil {
		o.t.Fatal(err)
	}
	o.stop = o.running(h)
	o.mu.Lock()
	o.h = h
	o.mu.Unlock()
}

// call asks until there is a definite answer, which is kept by id.
func (o *ordeal) call(hook, id, payload string, header CallHeader) {
	header.CallID = id
	o.calls.Go(func() {
		for {
			out := make(chan *Outcome, 1)
			o.host().Call(&Request{
				Address: o.addr, Hook: hook, Header: header, Payload: []byte(payload), Received: time.Now(),
				Reply: func(got *Outcome) { out <- got },
			})
			select {
			case got := <-out:
				o.mu.Lock()
				o.waits[hook+" "+id] = got.Err
				o.mu.Unlock()
				if got.Err == nil || got.Err.Code != CodeUnavailable && (got.Err.Code != CodeTimeout || strings.Contains(got.Err.Message, "checkpoint")) {
					o.mu.Lock()
					defer o.mu.Unlock()
					o.answers[id] = got
					delete(o.waits, hook+" "+id)
					return
				}
			case <-time.After(time.Minute):
				o.t.Errorf("call %s %s has no answer", hook, id)
			case <-o.giveUp:
				return
			}
			select {
			case <-o.giveUp:
				return
			case <-time.After(30 * time.Millisecond):
			}
		}
	})
}

// control asks for something that needs no id, until a node has answered.
func (o *ordeal) control(hook, payload string) *Outcome {
	o.t.Helper()
	for range 1000 {
		select {
		case got := <-ask(o.h, o.addr, hook, "", payload):
			if got.Err == nil || got.Err.Code != CodeUnavailable {
				return got
			}
		case <-o.h.ctx.Done():
		case <-time.After(10 * time.Second):
			o.t.Fatalf("%s has no answer", hook)
		}
		if time.Sleep(30 * time.Millisecond); o.h.ctx.Err() != nil {
			o.next()
		}
	}
	o.t.Fatalf("%s is never answered", hook)
	return nil
}

// fault makes one of the next appends fail.
func (o *ordeal) fault() {
	store, kill, in := o.r.IntN(2) == 0, o.r.IntN(2) == 0, 1+o.r.IntN(3)
	err := []error{ErrAppendUnknown, ErrAppendConflict, ErrAppendRefused}[o.r.IntN(3)]
	if errors.Is(err, ErrAppendRefused) {
		store = false
	}
	victim := o.h
	o.change(func() {
		o.world.onAppend = func(e *Entry) (bool, error) {
			_, _ = o.note(e)
			if victim.ctx.Err() != nil {
				return false, victim.ctx.Err()
			}
			if in--; in != 0 {
				return true, nil
			}
			if kill {
				o.left, _ = victim.Checkpoint(0)
				victim.cancel()
				return store, ErrAppendUnknown
			}
			return store, err
		}
	})
}

// look is everything of the object that must not depend on which node has it in memory.
func (o *ordeal) look() string {
	o.t.Helper()
	state, describe := o.control(HookState, ""), o.control(HookDescribe, "null")
	var d runDescription
	if err := json.Unmarshal(describe.Result, &d); err != nil {
		o.t.Fatal(err)
	}
	d.Node, d.Session, d.Epoch, d.Log = "", "", 0, logDescription{}
	b, _ := json.MarshalIndent(d, "", " ")
	return string(state.Result) + "\n" + string(b)
}

// moved has another node take the object from the log, and compares what it makes of it with what the last one had.
func (o *ordeal) moved() {
	o.t.Helper()
	before, n := "", -1
	synctest.Wait()
	for n != len(o.log) { // nothing happens while it is looked at
		synctest.Wait()
		n = len(o.log)
		before = o.look()
		synctest.Wait()
	}
	if o.r.IntN(2) == 0 {
		o.left, _ = o.h.Checkpoint(0)
	}
	o.next()
	after := o.look()
	_, _ = o.note(nil)
	for _, rec := range o.told {
		for _, ev := range rec.Events {
			if int(rec.seq) > n && ev.Type != RunClaimed {
				return // it has gone on meanwhile
			}
		}
	}
	if diff := cmp.Diff(before, after); diff != "" {
		o.t.Errorf("after %d records: what another node makes of the log (-last node +next):\n%s", n, diff)
	}
}

// ends lets everything come to rest, and waits for all calls.
func (o *ordeal) ends() {
	o.change(func() { o.world.onAppend = o.note })
	if o.h.ctx.Err() != nil {
		o.next()
	}
}

type ledger struct {
	Done []string
	Pad  string
}

type entry struct {
	ID, Key string
	In      int
	Pad     int
}

// ledgers is an object that writes down what is done to it.
func ledgers(policy Declaration) *Object[ledger] {
	ring := AlarmRef[string]("ring")
	o := NewObject[ledger]("ledger", policy)
	NewMethod(o, "add", func(s *ledger, _ Context, e entry) (int, error) {
		s.Done = append(s.Done, "add "+e.ID)
		if e.Pad > 0 {
			s.Pad = strings.Repeat(e.ID+" ", e.Pad)
		}
		return len(s.Done), nil
	})
	NewMethod(o, "fail", func(s *ledger, ctx Context, e entry) (int, error) {
		s.Done = append(s.Done, "failed "+e.ID)
		ring.Cancel(ctx, e.Key)
		if err := ring.Set(ctx, "wrong", Now(ctx), e.ID); err != nil {
			return 0, err
		}
		return 0, errors.New("no")
	})
	NewMethod(o, "slow", func(s *ledger, ctx Context, e entry) (string, error) {
		all, err := ring.List(ctx)
		if err != nil {
			return "", err
		}
		had := ring.Cancel(ctx, e.Key)
		if err := Sleep(ctx, time.Duration(e.In)*time.Millisecond); err != nil {
			return "", err
		}
		s.Done = append(s.Done, fmt.Sprint("cancel ", e.Key, " ", had))
		var keys []string
		for _, a := range all {
			keys = append(keys, a.Key)
		}
		slices.Sort(keys)
		s.Done = append(s.Done, "saw "+strings.Join(keys, ","))
		return e.ID, nil
	})
	NewMethod(o, "set", func(s *ledger, ctx Context, e entry) (int, error) {
		s.Done = append(s.Done, "set "+e.Key+" "+e.ID)
		return 0, ring.Set(ctx, e.Key, Now(ctx).Add(time.Duration(e.In)*time.Millisecond), e.ID)
	})
	NewAlarm(o, "ring", func(s *ledger, ctx Context, id string) error {
		c := ctx.scope().x.current
		if c.alarm.attempt == 1 && strings.HasSuffix(id, "3") {
			return errors.New("once more")
		}
		if Now(ctx).Before(c.alarm.due) {
			return Terminal(errors.New("too early"))
		}
		s.Done = append(s.Done, "ring "+c.alarm.key+" "+id)
		return nil
	})
	return o
}

// TestHost_randomObjects: whatever requests, failures and deaths an object meets, each call and send is applied once or not at
// all, as its answer says, each alarm fires once unless it was replaced or cancelled, and every node sees the same.
func TestHost_randomObjects(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			bubble.Run(t, func(t *testing.T) { randomObject(t, seed) })
		})
	}
}

func randomObject(t *testing.T, seed uint64) {
	policy := []Declaration{KeepNeeded(), KeepLast(7), KeepAll()}[seed%3]
	o := newOrdeal(t, seed, Address{"ledger", "k"}, func() Definition { return ledgers(policy) })
	defer close(o.giveUp)
	paused, sends := false, 0
	const steps = 150
	for i := range steps {
		if o.h.ctx.Err() != nil {
			o.next()
		}
		id, key := fmt.Sprint("c", i), string(rune('a'+o.r.IntN(4)))
		e := entry{ID: id, Key: key, In: []int{20, 700, 2600, 9000}[o.r.IntN(4)], Pad: []int{0, 0, 10, 900}[o.r.IntN(4)]}
		payload, _ := json.Marshal(e)
		switch o.r.IntN(14) {
		case 0, 1, 2:
			o.call("add", id, string(payload), CallHeader{})
		case 3:
			o.call("fail", id, string(payload), CallHeader{})
		case 4, 5:
			o.call("slow", id, string(payload), CallHeader{})
		case 6, 7, 8:
			o.call("set", id, string(payload), CallHeader{})
		case 9:
			sends++
			o.send(o.addr, "add", string(payload), CallHeader{CallID: id})
		case 10:
			hook := []string{HookPause, HookUnpause}[o.r.IntN(2)]
			if got := o.control(hook, ""); got.Err == nil {
				paused = hook == HookPause
			} else if got.Err.Code != CodeNotFound {
				t.Errorf("%s: %v", hook, got.Err)
			}
		case 11:
			o.fault()
		case 12:
			o.moved()
			if is := strings.Contains(o.look(), `"status": "paused"`); is != paused {
				t.Errorf("step %d: paused is %v", i, is)
			}
		case 13:
			time.Sleep(time.Duration(o.r.IntN(6000)) * time.Millisecond)
		}
		time.Sleep(time.Duration(o.r.IntN(40)) * time.Millisecond)
		if t.Failed() {
			t.Fatalf("step %d", i)
		}
	}
	o.ends()
	o.control(HookUnpause, "")
	time.Sleep(5 * time.Minute)
	o.calls.Wait() // each has its answer within its timeout
	o.moved()
	o.checkObject(sends)
	o.stop()
}

func (o *ordeal) checkObject(sends int) {
	o.t.Helper()
	var s ledger
	if err := json.Unmarshal(o.answer(ask(o.h, o.addr, HookState, "", "")).Result, &s); err != nil {
		o.t.Fatal(err)
	}
	done := map[string]int{}
	set := map[string]string{} // by key
	for i, what := range s.Done {
		verb, rest, _ := strings.Cut(what, " ")
		key, arg, _ := strings.Cut(rest, " ")
		done[what]++
		switch verb {
		case "set":
			set[key] = arg
		case "ring":
			if set[key] != arg {
				o.t.Errorf("at %d: %s, and %q is set", i, what, set[key])
			}
			delete(set, key)
		case "cancel":
			if key, had := set[key]; fmt.Sprint(had) != arg {
				o.t.Errorf("at %d: %s, and it is %q", i, what, key)
			}
		case "saw": // stands behind the cancel that followed it
			_, had, _ := strings.Cut(s.Done[i-1], " ")
			cancelled, _, _ := strings.Cut(had, " ")
			if want := strings.Join(slices.Sorted(maps.Keys(set)), ","); rest != want {
				o.t.Errorf("at %d: %s, and %s are set", i, what, want)
			}
			delete(set, cancelled)
		case "failed":
			o.t.Errorf("at %d: %s", i, what)
		}
	}
	if len(set) > 0 {
		o.t.Errorf("never fired: %v", set)
	}
	if armed, firings := o.s.left(); armed+firings > 0 && o.t.Failed() {
		o.t.Logf("%d schedules and %d firings are left", armed, firings)
	}
	for what, n := range done {
		if n > 1 && (strings.HasPrefix(what, "add") || strings.HasPrefix(what, "set") || strings.HasPrefix(what, "ring")) {
			o.t.Errorf("%s is done %d times", what, n)
		}
	}
	applied := 0
	for _, what := range s.Done {
		if strings.HasPrefix(what, "add ") {
			applied++
		}
	}
	for id, got := range o.answers {
		if got.Err == nil && strings.HasPrefix(id, "c") && done["add "+id] == 1 {
			applied--
		}
		if got.Err != nil && done["add "+id] > 0 {
			o.t.Errorf("call %s is answered %v, and was applied", id, got.Err)
		}
	}
	if applied != sends {
		o.t.Errorf("%d sends, and %d applied", sends, applied)
	}
	if len(o.dead) > 0 {
		o.t.Errorf("dead letters: %+v", o.dead[0])
	}
}
