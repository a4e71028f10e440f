package actor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/perdure/perdure/internal/bubble"
)

// server is the schedules of a world as JetStream keeps them: they fire into a stream from which firings are read again until
// they are Done.
type server struct {
	*world
	ctx    context.Context
	mu     sync.Mutex
	armed  map[string]time.Time
	arms   []string // every arming, by id
	stored []*Firing
	gone   map[uint64]bool
	more   chan struct{}
	on     func(what string) (do bool, err error) // before anything is done; nil: do it
}

func newServer(w *world) *server {
	return &server{world: w, ctx: w.t.Context(), armed: map[string]time.Time{}, gone: map[uint64]bool{}, more: make(chan struct{})}
}

// allows reports whether something is done, and what is answered.
func (s *server) allows(ctx context.Context, what string) (bool, error) {
	if err := ctx.Err(); err != nil || s.on == nil {
		return err == nil, err
	}
	return s.on(what)
}

func (s *server) Arm(ctx context.Context, addr Address, id string, at time.Time) error {
	do, err := s.allows(ctx, "arm")
	if !do {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.armed[id]; ok {
		return err
	}
	s.armed[id] = at
	s.arms = append(s.arms, id)
	time.AfterFunc(time.Until(at)+100*time.Millisecond, func() { s.fires(addr, id, at) })
	return err
}

func (s *server) fires(addr Address, id string, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.armed[id].Equal(at) {
		delete(s.armed, id)
		s.stored = append(s.stored, &Firing{Seq: uint64(len(s.stored) + 1), Address: addr, ID: id})
		close(s.more)
		s.more = make(chan struct{})
	}
}

func (s *server) Cancel(ctx context.Context, _ Address, id string) error {
	do, err := s.allows(ctx, "cancel")
	if do {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.armed, id)
	}
	return err
}

func (s *server) Done(ctx context.Context, seq uint64) error {
	do, err := s.allows(ctx, "done")
	if do {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.gone[seq] = true
	}
	return err
}

func (s *server) Follow(ctx context.Context, from uint64, fn func(*Firing) error) error {
	for seq := max(from, 1); ; {
		s.mu.Lock()
		more, f := s.more, (*Firing)(nil)
		if seq <= uint64(len(s.stored)) {
			if !s.gone[seq] {
				f = s.stored[seq-1]
			}
			seq++
			more = nil
		}
		s.mu.Unlock()
		if f != nil {
			if err := fn(f); err != nil {
				return err
			}
		}
		if more == nil {
			continue
		}
		select {
		case <-more:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// left is how many schedules and firings nobody has dealt with.
func (s *server) left() (armed, firings int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.armed), len(s.stored) - len(s.gone)
}

// chime is an object whose alarm notes that it was run.
type chime struct{ Rang []string }

// ringing is what a setting of the alarm does.
type ringing struct {
	Fails int    `json:",omitempty"` // attempts that fail, by their number
	As    string `json:",omitempty"` // how they do: "", "terminal", "panic", "after"
	Again int    `json:",omitempty"` // how many times more it sets itself, a second later each
	Sleep int    `json:",omitempty"` // ms
	Set   string `json:",omitempty"` // an alarm that it sets before it fails or ends
}

// chimeOp is one thing that a method does to the alarms.
type chimeOp struct {
	Key    string
	In     int  `json:",omitempty"` // ms from now
	Cancel bool `json:",omitempty"`
	Ring   ringing
}

type chimeOps struct {
	Ops   []chimeOp
	Sleep int  // ms, before
	Fail  bool // after
}

func chimes() *Object[chime] {
	ring := AlarmRef[ringing]("ring")
	o := NewObject[chime]("chime")
	NewMethod(o, "do", func(_ *chime, ctx Context, in chimeOps) ([]bool, error) {
		if err := Sleep(ctx, time.Duration(in.Sleep)*time.Millisecond); err != nil {
			return nil, err
		}
		var had []bool
		for _, op := range in.Ops {
			if op.Cancel {
				had = append(had, ring.Cancel(ctx, op.Key))
			} else if err := ring.Set(ctx, op.Key, Now(ctx).Add(time.Duration(op.In)*time.Millisecond), op.Ring); err != nil {
				return nil, err
			}
		}
		if in.Fail {
			return nil, errors.New("failed")
		}
		return had, nil
	})
	list := func(ctx ReadContext) (out []string, err error) {
		all, err := ring.List(ctx)
		for _, s := range all {
			out = append(out, fmt.Sprintf("%s %d", s.Key, s.Attempt))
		}
		return out, err
	}
	NewMethod(o, "listed", func(_ *chime, ctx Context, in chimeOps) ([]string, error) {
		for _, op := range in.Ops {
			if op.Cancel {
				ring.Cancel(ctx, op.Key)
			} else if err := ring.Set(ctx, op.Key, Now(ctx).Add(time.Duration(op.In)*time.Millisecond), op.Ring); err != nil {
				return nil, err
			}
		}
		return list(ctx)
	})
	NewQuery(o, "list", func(_ chime, ctx ReadContext, _ None) ([]string, error) { return list(ctx) })
	NewQuery(o, "rang", func(s chime, _ ReadContext, _ None) ([]string, error) { return s.Rang, nil })
	NewAlarm(o, "ring", func(s *chime, ctx Context, in ringing) error {
		x := ctx.scope().x
		key, attempt := x.current.alarm.key, x.current.alarm.attempt
		s.Rang = append(s.Rang, key)
		if in.Set != "" {
			if err := ring.Set(ctx, in.Set, Now(ctx).Add(time.Second), ringing{}); err != nil {
				return err
			}
		}
		if err := Sleep(ctx, time.Duration(in.Sleep)*time.Millisecond); err != nil {
			return err
		}
		if in.Again > 0 {
			in.Again--
			if err := ring.Set(ctx, key, Now(ctx).Add(time.Second), in); err != nil {
				return err
			}
		}
		err := fmt.Errorf("attempt %d", attempt)
		switch {
		case attempt > in.Fails:
			return nil
		case in.As == "terminal":
			return Terminal(err)
		case in.As == "panic":
			panic(err)
		case in.As == "after":
			return RetryAfter(err, 7*time.Second)
		}
		return err
	})
	return o
}

var bell = Address{"chime", "k"}

func ops(all ...chimeOp) string {
	b, _ := json.Marshal(chimeOps{Ops: all})
	return string(b)
}

// ringer is a host with chimes on a world with schedules, inside a bubble.
func ringer(t *testing.T, change func(*Config)) (*world, *server, *Host) {
	w := newWorld(t)
	s := newServer(w)
	h := w.host("a", func(c *Config) {
		c.Timers = s
		if change != nil {
			change(c)
		}
	}, chimes())
	w.own(h, 1, Checkpoint{})
	w.run(h)
	return w, s, h
}

func (w *world) strings(h *Host, hook string) (out []string) {
	w.t.Helper()
	o := w.answer(ask(h, bell, hook, "", "null"))
	if o.Err != nil {
		w.t.Fatal(o.Err)
	}
	_ = json.Unmarshal(o.Result, &out)
	return out
}

func (w *world) rang(h *Host, want ...string) {
	w.t.Helper()
	if diff := cmp.Diff(w.strings(h, "rang"), want); diff != "" {
		w.t.Errorf("rang (-got +want):\n%s", diff)
	}
}

// TestAlarm_Order: settings fire at their times, in the order of their times, those of equal times as they were set.
func TestAlarm_Order(t *testing.T) {
	bubble.Run(t, func(t *testing.T) {
		w, s, h := ringer(t, nil)
		w.result(ask(h, bell, "do", "", ops(
			chimeOp{Key: "c", In: 3000}, chimeOp{Key: "b", In: 2500}, chimeOp{Key: "a", In: 2500}, chimeOp{Key: "now", In: -5}, chimeOp{Key: "", In: 1000},
		)))
		time.Sleep(999 * time.Millisecond)
		w.rang(h, "now")
		time.Sleep(2 * time.Millisecond)
		w.rang(h, "now", "")
		if got := w.strings(h, "list"); !slices.Equal(got, []string{"b 1", "a 1", "c 1"}) {
			t.Errorf("list: %v", got)
		}
		time.Sleep(1500 * time.Millisecond)
		w.rang(h, "now", "", "b", "a")
		time.Sleep(time.Second)
		w.rang(h, "now", "", "b", "a", "c")
		time.Sleep(time.Minute)
		if armed, firings := s.left(); armed+firings > 0 {
			t.Errorf("%d schedules and %d firings are left", armed, firings)
		}
		if c, _ := h.Checkpoint(0); len(c.Unsettled) > 0 {
			t.Errorf("unsettled: %v", c.Unsettled)
		}
	})
}

// TestAlarm_Replace: what is replaced or cancelled never fires, also when it is due already and waits behind the method that takes
// it back, and a method that fails has done nothing to the alarms.
func TestAlarm_Replace(t *testing.T) {
	bubble.Run(t, func(t *testing.T) {
		w, s, h := ringer(t, nil)
		w.result(ask(h, bell, "do", "", ops(
			chimeOp{Key: "near", In: 1000}, chimeOp{Key: "far", In: 5000}, chimeOp{Key: "moved", In: 4000}, chimeOp{Key: "kept", In: 9000},
		)))
		had := w.result(ask(h, bell, "do", "", ops(
			chimeOp{Key: "near", Cancel: true}, chimeOp{Key: "near", Cancel: true}, chimeOp{Key: "never", Cancel: true}, chimeOp{Key: "far", Cancel: true},
			chimeOp{Key: "moved", In: 6000}, chimeOp{Key: "brief", In: 1}, chimeOp{Key: "brief", Cancel: true},
		)))
		if had != "[true,false,false,true,true]" {
			t.Errorf("cancel says %s", had)
		}
		w.answer(ask(h, bell, "do", "", `{"Fail":true,"Ops":[{"Key":"kept","Cancel":true},{"Key":"new","In":10}]}`))
		time.Sleep(5999 * time.Millisecond)
		w.rang(h)
		time.Sleep(time.Hour)
		w.rang(h, "moved", "kept")

		// A method that runs for two seconds takes back what comes due meanwhile.
		w.result(ask(h, bell, "do", "", ops(chimeOp{Key: "due", In: 1000}, chimeOp{Key: "due2", In: 1001}, chimeOp{Key: "due3", In: 1002})))
		slow := ask(h, bell, "do", "", `{"Sleep":2000,"Ops":[{"Key":"due","Cancel":true},{"Key":"due2","In":5000}]}`)
		time.Sleep(1500 * time.Millisecond)
		if got := w.strings(h, "list"); !slices.Equal(got, []string{"due 1", "due2 1", "due3 1"}) {
			t.Errorf("list: %v", got)
		}
		if got := w.result(slow); got != "[true]" {
			t.Errorf("cancel says %s", got)
		}
		time.Sleep(time.Second)
		w.rang(h, "moved", "kept", "due3")
		time.Sleep(time.Hour)
		w.rang(h, "moved", "kept", "due3", "due2")
		if armed, firings := s.left(); armed+firings > 0 {
			t.Errorf("%d schedules and %d firings are left", armed, firings)
		}
	})
}

// TestAlarm_List shows settings as the running method leaves them.
func TestAlarm_List(t *testing.T) {
	bubble.Run(t, func(t *testing.T) {
		w, _, h := ringer(t, nil)
		w.result(ask(h, bell, "do", "", ops(chimeOp{Key: "a", In: 4000}, chimeOp{Key: "b", In: 3000})))
		if got := w.result(ask(h, bell, "listed", "", ops(chimeOp{Key: "b", Cancel: true}, chimeOp{Key: "c", In: 3500}, chimeOp{Key: "a", In: 1000}))); got != `["a 1","c 1"]` {
			t.Errorf("listed %s", got)
		}
		d := w.result(ask(h, bell, HookDescribe, "", "null"))
		var about struct{ Alarms []alarmInRun }
		if err := json.Unmarshal([]byte(d), &about); err != nil || len(about.Alarms) != 2 || about.Alarms[0].Key != "a" || about.Alarms[1].Name != "ring" {
			t.Errorf("describe: %s", d)
		}
		if b, _ := h.Describe("chime"); !strings.Contains(string(b), `"alarms":[{"name":"ring","input":true,"attempts":7}]`) {
			t.Errorf("describe of the type: %s", b)
		}
	})
}

// TestAlarm_Retry: an alarm whose method fails is tried again, as its error and policy say, and state is as before.
func TestAlarm_Retry(t *testing.T) {
	for _, tc := range []struct {
		ring  ringing
		rings bool
		least time.Duration // until the last attempt
		most  time.Duration
	}{
		{ringing{Fails: 2}, true, 4500 * time.Millisecond, 6 * time.Second},
		{ringing{Fails: 2, As: "panic"}, true, 4500 * time.Millisecond, 6 * time.Second},
		{ringing{Fails: 2, As: "after"}, true, 14 * time.Second, 14 * time.Second},
		{ringing{Fails: 9, As: "terminal"}, false, 0, 0},
		{ringing{Fails: 6}, true, 91 * time.Second, 122 * time.Second},
		{ringing{Fails: 7}, false, 91 * time.Second, 122 * time.Second},
	} {
		t.Run(fmt.Sprintf("%+v", tc.ring), func(t *testing.T) {
			bubble.Run(t, func(t *testing.T) {
				w, s, h := ringer(t, func(c *Config) { c.Idle = time.Second })
				tc.ring.Set = "other"
				w.result(ask(h, bell, "do", "", ops(chimeOp{Key: "a", In: 1000, Ring: tc.ring})))
				due := time.Now().Add(time.Second)
				time.Sleep(time.Hour)
				if tc.rings {
					w.rang(h, "a", "other")
				} else {
					w.rang(h)
				}
				var last time.Time
				fails := 0
				for _, e := range w.log {
					rec, _ := DecodeRecord(e.Body)
					for _, ev := range rec.Events {
						switch {
						case ev.Type == WaitCompleted && ev.Key == "a":
							last = ev.At
						case ev.Type == CallFailed:
							fails++
						}
					}
				}
				if took := last.Sub(due); took < tc.least || took > tc.most+time.Second {
					t.Errorf("the last attempt came after %s", took)
				}
				if want := min(tc.ring.Fails, 7); tc.ring.As != "terminal" && fails != want {
					t.Errorf("%d attempts failed, want %d", fails, want)
				}
				if armed, firings := s.left(); armed+firings > 0 {
					t.Errorf("%d schedules and %d firings are left", armed, firings)
				}
			})
		})
	}
}

// TestAlarm_RetrySuperseded: a setting made or cancelled under a key takes the place of a retry.
func TestAlarm_RetrySuperseded(t *testing.T) {
	bubble.Run(t, func(t *testing.T) {
		w, _, h := ringer(t, nil)
		w.result(ask(h, bell, "do", "", ops(
			chimeOp{Key: "set", In: 100, Ring: ringing{Fails: 1}}, chimeOp{Key: "cancelled", In: 100, Ring: ringing{Fails: 1}},
			chimeOp{Key: "running", In: 200, Ring: ringing{Fails: 1, Sleep: 1000, Set: "running"}},
		)))
		time.Sleep(500 * time.Millisecond)
		w.result(ask(h, bell, "do", "", ops(chimeOp{Key: "set", In: 50}, chimeOp{Key: "cancelled", Cancel: true})))
		time.Sleep(time.Hour)
		w.rang(h, "set", "running", "running")
	})
}

// TestAlarm_Schedule: an object has one schedule, that of the alarm which fires next, if that is far; with it the object may leave
// memory, and the firing brings it back.
func TestAlarm_Schedule(t *testing.T) {
	bubble.Run(t, func(t *testing.T) {
		w, s, h := ringer(t, func(c *Config) { c.Idle = time.Second })
		w.result(ask(h, bell, "do", "", ops(
			chimeOp{Key: "3", In: 300_000}, chimeOp{Key: "1", In: 100_000}, chimeOp{Key: "2", In: 200_000}, chimeOp{Key: "2b", In: 200_050},
		)))
		time.Sleep(10 * time.Second)
		if armed, _ := s.left(); armed != 1 || h.resident.Load() != 0 {
			t.Fatalf("%d schedules armed, %d objects in memory", armed, h.resident.Load())
		}
		time.Sleep(100 * time.Second)
		if armed, firings := s.left(); armed != 1 || firings != 0 || h.resident.Load() != 0 || len(s.arms) != 2 {
			t.Fatalf("%d schedules armed, %d objects in memory", armed, h.resident.Load())
		}
		w.rang(h, "1")
		w.result(ask(h, bell, "do", "", ops(chimeOp{Key: "2", Cancel: true})))
		time.Sleep(time.Hour)
		w.rang(h, "1", "2b", "3")
		if armed, firings := s.left(); armed+firings > 0 || len(s.arms) != 4 {
			t.Errorf("%d schedules and %d firings are left, armed %v", armed, firings, s.arms)
		}
	})
}

// TestAlarm_Again: an alarm that sets itself goes on, and each setting is an arming of its own.
func TestAlarm_Again(t *testing.T) {
	bubble.Run(t, func(t *testing.T) {
		w, _, h := ringer(t, nil)
		w.result(ask(h, bell, "do", "", ops(chimeOp{Key: "a", In: 1000, Ring: ringing{Again: 4, Sleep: 300}})))
		time.Sleep(time.Minute)
		w.rang(h, "a", "a", "a", "a", "a")
		ids := map[string]bool{}
		for _, e := range w.log {
			rec, _ := DecodeRecord(e.Body)
			for _, ev := range rec.Events {
				if ev.Type == WaitCreated && ev.alarm() {
					ids[ev.ID] = true
				}
			}
		}
		if len(ids) != 5 {
			t.Errorf("%d armings, want 5", len(ids))
		}
	})
}

// TestAlarm_ChangedBeforeDue: what a method did to an alarm, and saw of it, holds when the alarm comes due while the method
// waits, and another node goes on with it.
func TestAlarm_ChangedBeforeDue(t *testing.T) {
	for _, moved := range []bool{false, true} {
		t.Run(fmt.Sprint(moved), func(t *testing.T) {
			bubble.Run(t, func(t *testing.T) {
				ring := AlarmRef[None]("ring")
				o := NewObject[chime]("chime")
				NewMethod(o, "set", func(_ *chime, ctx Context, key string) (None, error) {
					return None{}, ring.Set(ctx, key, Now(ctx).Add(time.Second), None{})
				})
				NewMethod(o, "take", func(_ *chime, ctx Context, _ None) (string, error) {
					all, err := ring.List(ctx)
					if err != nil {
						return "", err
					}
					had := ring.Cancel(ctx, "a")
					return fmt.Sprint(len(all), had), Sleep(ctx, 1500*time.Millisecond)
				})
				NewAlarm(o, "ring", func(s *chime, ctx Context, _ None) error {
					s.Rang = append(s.Rang, ctx.scope().x.current.alarm.key)
					return nil
				})
				d := &deploy{world: newWorld(t)}
				d.next(o)
				d.result(ask(d.h, bell, "set", "", `"a"`))
				d.result(ask(d.h, bell, "set", "", `"b"`))
				out := ask(d.h, bell, "take", "take", "null")
				d.until("both are due", func() bool {
					n := 0
					for _, e := range d.log {
						rec, _ := DecodeRecord(e.Body)
						for _, ev := range rec.Events {
							if ev.Type == WaitCompleted && ev.alarm() {
								n++
							}
						}
					}
					return n == 2
				})
				if moved {
					d.next(o)
					out = ask(d.h, bell, "take", "take", "null")
				}
				if got := d.result(out); got != `"2 true"` {
					t.Errorf("the method found %s", got)
				}
				if got := d.result(ask(d.h, bell, HookState, "", "")); got != `{"Rang":["b"]}` {
					t.Errorf("state %s: a was cancelled", got)
				}
				d.h.Close()
			})
		})
	}
}
