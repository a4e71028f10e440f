package actor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perdure/perdure/internal/bubble"
)

// kept is the sequences of the records of an object that the log still has; under mu.
func (w *world) kept(a Address) (seqs []uint64) {
	for _, e := range w.log {
		if e.Address == a {
			seqs = append(seqs, e.Seq)
		}
	}
	return seqs
}

func keeping(policy Declaration) *Object[sum] {
	o := sums()
	o.parts = append(o.parts, policy)
	return o
}

// TestHost_keeps counts what is left of logs after many calls.
func TestHost_keeps(t *testing.T) {
	big := func(policy Declaration) Definition {
		o := notebooks()
		o.parts = append(o.parts, policy)
		return o
	}
	flow := func(policy Declaration) Definition {
		f := meters(5)
		f.parts = append(f.parts, policy)
		return f
	}
	note := func(i int) (string, string) {
		if i == 0 {
			return "fill", "1000"
		}
		return "note", fmt.Sprintf(`{"Line":%d,"Text":"%d"}`, i%1000, i)
	}
	add := func(int) (string, string) { return "add", "1" }
	for name, tc := range map[string]struct {
		def    Definition
		addr   Address
		call   func(i int) (hook, payload string)
		ids    bool
		calls  int
		want   string
		lo, hi int
	}{
		"all":             {keeping(KeepAll()), at, add, true, 300, "all", 300, 300},
		"by default":      {sums(), at, add, true, 300, "all", 300, 300},
		"last 1":          {keeping(KeepLast(1)), at, add, false, 300, "last 1", 2, 2},
		"last 50":         {keeping(KeepLast(50)), at, add, false, 300, "last 50", 50, 50},
		"last 50 of 20":   {keeping(KeepLast(50)), at, add, false, 20, "last 50", 20, 20},
		"needed":          {keeping(KeepNeeded()), at, add, false, 300, "needed", 2, 2},
		"large, last 3":   {big(KeepLast(3)), Address{"notebook", "k"}, note, false, 700, "last 3", 3, 260},
		"large, last 600": {big(KeepLast(600)), Address{"notebook", "k"}, note, false, 700, "last 600", 600, 600},
		"flow, needed":    {flow(KeepNeeded()), Address{"meter", "k"}, add, false, 300, "needed", 2, 16},
		"flow, last 100":  {flow(KeepLast(100)), Address{"meter", "k"}, add, false, 300, "last 100", 100, 100},
		"flow without checkpoints": {func() Definition {
			f := meters(1 << 30)
			f.parts = append(f.parts, KeepNeeded())
			return f
		}(), Address{"meter", "k"}, add, false, 100, "needed", 100, 300},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			h := w.host("n", nil, tc.def)
			w.own(h, 1, Checkpoint{})
			calls := 0
			call := func() {
				id := ""
				if tc.ids {
					id = fmt.Sprint(calls)
				}
				hook, payload := tc.call(calls)
				if o := w.answer(ask(h, tc.addr, hook, id, payload)); o.Err != nil {
					t.Fatal(o.Err)
				}
				calls++
			}
			for range tc.calls {
				call()
			}
			left := 0
			for range 50 { // while 128 records wait to be removed, or effects to be let out, a record adds none: a later one does
				w.until("what nobody needs is removed", func() bool {
					seqs := w.kept(tc.addr)
					left = len(seqs)
					i := slices.IndexFunc(w.log, func(e *Entry) bool { return e.Seq == seqs[left-1] })
					last, err := DecodeRecord(w.log[i].Body)
					return err == nil && (last.Kept == nil || seqs[0] >= last.Kept.From)
				})
				if left <= tc.hi {
					break
				}
				call()
			}
			if left < tc.lo || left > tc.hi {
				t.Errorf("%d records are left, want %d to %d", left, tc.lo, tc.hi)
			}
			var d description
			if b, _ := h.Describe(tc.addr.Type); json.Unmarshal(b, &d) != nil || d.Policy.History != tc.want {
				t.Errorf("its policy is described as %q, want %q", d.Policy.History, tc.want)
			}
		})
	}
}

// trimKind is an object that is trimmed, and what is known of it.
type trimKind struct {
	def   func() Definition
	addr  Address
	call  func(turn int) (hook, payload string)
	state func(turns int) string // $state after as many calls begins with it
	most  int                    // records that are left
}

func trimKinds(t *testing.T) map[string]trimKind {
	small := trimKind{
		addr: at, most: 5,
		def:   func() Definition { return keeping(KeepLast(5)) },
		call:  func(int) (string, string) { return "add", "1" },
		state: func(turns int) string { return fmt.Sprintf(`{"N":%d}`, turns) },
	}
	needed := small
	needed.most, needed.def = 2, func() Definition { return keeping(KeepNeeded()) }
	large := trimKind{
		addr: Address{"notebook", "k"}, most: 150,
		def: func() Definition { o := notebooks(); o.parts = append(o.parts, KeepNeeded()); return o },
		call: func(turn int) (string, string) {
			if turn == 0 {
				return "fill", "300"
			}
			return "note", fmt.Sprintf(`{"Line":%d,"Text":"%d"}`, turn%300, turn)
		},
		state: func(turns int) string {
			lines := people(rand.New(rand.NewPCG(300, 1)), 300)
			for turn := 1; turn < turns; turn++ {
				lines[turn%300] = fmt.Sprint(turn)
			}
			return jsonOf(t, notebook{lines})
		},
	}
	flow := trimKind{
		addr: Address{"meter", "k"}, most: 16,
		def:  func() Definition { f := meters(5); f.parts = append(f.parts, KeepLast(7)); return f },
		call: func(int) (string, string) { return "add", "1" },
		state: func(turns int) string {
			return fmt.Sprintf(`{"Sum":%d,"Rounds":%d,`, turns/5*10, turns/5)
		},
	}
	return map[string]trimKind{"small": small, "needed": needed, "large": large, "flow": flow}
}

// TestHost_trimAttacked kills nodes before, within and after removals, with removals and appends that fail, for each
// kind of object: nothing that anybody needs is gone, ever, and what is left over goes later.
func TestHost_trimAttacked(t *testing.T) {
	for name, k := range trimKinds(t) {
		for seed := range uint64(4) {
			t.Run(fmt.Sprint(name, seed), func(t *testing.T) {
				w := newWorld(t)
				r := rand.New(rand.NewPCG(seed, 3))
				fail := 0 // how many removals go well before they fail; below 0: none fails
				w.onRemove = func(seq uint64) error {
					w.mu.Lock()
					defer w.mu.Unlock()
					rec, err := DecodeRecord(w.lastOf(k.addr).Body)
					if err != nil || rec.Kept == nil || seq >= rec.Kept.From {
						t.Errorf("record %d is removed, and the last record says %+v", seq, rec.Kept)
					}
					if fail == 0 {
						return errors.New("not now")
					}
					fail--
					return nil
				}
				epoch, turns := uint64(1), 0
				h := w.host("n", nil, k.def())
				w.own(h, epoch, Checkpoint{})
				for range 60 {
					w.change(func() { fail = r.IntN(12) - 4 })
					for range r.IntN(12) {
						if r.IntN(5) == 0 {
							w.change(func() {
								store, err := r.IntN(2) == 0, []error{ErrAppendUnknown, ErrAppendConflict}[r.IntN(2)]
								first := true
								w.onAppend = func(*Entry) (bool, error) {
									if first {
										first = false
										return store, err
									}
									return true, nil
								}
							})
						}
						hook, payload := k.call(turns)
						if o := w.answer(ask(h, k.addr, hook, "", payload)); o.Err != nil {
							t.Fatalf("turn %d: %v", turns, o.Err)
						}
						turns++
					}
					done, _ := h.Checkpoint(0)
					if r.IntN(2) == 0 {
						done = Checkpoint{} // it was not written for long
					}
					h.Close()
					epoch++
					h = w.host("n", nil, k.def())
					w.own(h, epoch, done)
					if got := w.result(ask(h, k.addr, HookState, "", "")); turns > 5 && !strings.HasPrefix(got, k.state(turns)) {
						t.Fatalf("after %d turns the state is %.300s", turns, got)
					}
					if o := w.answer(ask(h, k.addr, HookEvents, "", "")); o.Err != nil {
						t.Fatalf("after %d turns: $events: %v", turns, o.Err)
					}
				}
				w.change(func() { fail = -1; w.onAppend = nil })
				call := func() {
					hook, payload := k.call(turns)
					w.result(ask(h, k.addr, hook, "", payload))
					turns++
				}
				for range 150 {
					call()
				}
				for tries := 0; !w.within(200*time.Millisecond, func() bool { return len(w.kept(k.addr)) <= k.most }); tries++ {
					if tries == 50 {
						t.Fatalf("%d records are left, want at most %d", len(w.kept(k.addr)), k.most)
					}
					call()
				}
				if got := w.result(ask(h, k.addr, HookState, "", "")); !strings.HasPrefix(got, k.state(turns)) {
					t.Fatalf("after %d turns the state is %.300s", turns, got)
				}
			})
		}
	}
}

// TestHost_trimKeepsOutcomes: a call whose id is remembered has its outcome, whatever the policy. No more is kept.
func TestHost_trimKeepsOutcomes(t *testing.T) {
	bubble.Run(t, func(t *testing.T) {
		w := newWorld(t)
		def := func() Definition { return keeping(KeepLast(5)) }
		h := w.host("n", nil, def())
		w.own(h, 1, Checkpoint{})
		for i := range 1300 {
			w.result(ask(h, at, "add", fmt.Sprint(i), "1"))
		}
		time.Sleep(time.Minute) // until no caller repeats them any more
		for i := 1300; i < 1500; i++ {
			w.result(ask(h, at, "add", fmt.Sprint(i), "1"))
		}
		synctest.Wait()
		if n := len(w.kept(at)); n < idsKept || n > idsKept+idsEvery {
			t.Errorf("%d records are left for %d ids", n, idsKept)
		}
		h.Close()
		h = w.host("n", nil, def())
		w.own(h, 2, Checkpoint{})
		for i := 500; i < 1500; i += 9 {
			if got := w.result(ask(h, at, "add", fmt.Sprint(i), "1")); got != fmt.Sprint(i+1) {
				t.Errorf("call %d repeated: %s", i, got)
			}
		}
		time.Sleep(25 * time.Hour) // nobody remembers them
		for i := range 320 {       // it is a quarter over what was needed before more is looked for
			w.result(ask(h, at, "add", "", "1"))
			if i > 300 {
				synctest.Wait() // each record has as many removed as fit into it
			}
		}
		if n := len(w.kept(at)); n != 5 {
			t.Errorf("%d records are left when all ids are forgotten, want 5", n)
		}
		h.Close()
		h = w.host("n", nil, def())
		w.own(h, 3, Checkpoint{})
		if got := w.result(ask(h, at, "add", "new", "1")); got != "1821" {
			t.Errorf("after a restart: %s", got)
		}
		h.Close()
	})
}

// TestHost_trimKeepsUnanswered: a call without outcome keeps its record, and those behind it.
func TestHost_trimKeepsUnanswered(t *testing.T) {
	w := newWorld(t)
	gate := make(chan struct{})
	slow := NewStep("slow", func(ctx context.Context, _ None) (None, error) {
		select {
		case <-gate:
			return None{}, nil
		case <-ctx.Done():
			return None{}, ctx.Err()
		}
	})
	def := func() Definition {
		o := keeping(KeepLast(2))
		NewMethod(o, "wait", func(s *sum, ctx Context, _ None) (int, error) {
			_, err := slow.Run(ctx, None{})
			return s.N, err
		})
		return o
	}
	h := w.host("n", nil, def())
	w.own(h, 1, Checkpoint{})
	for range 20 {
		w.result(ask(h, at, "add", "", "1"))
	}
	waits := ask(h, at, "wait", "w", "null")
	var queued []<-chan *Outcome
	w.until("it is received", func() bool { return len(w.log) == 21 }) // those removed count, too
	for i := range 30 {
		queued = append(queued, ask(h, at, "add", fmt.Sprint("q", i), "1"))
	}
	h.Close()
	w.answer(waits)
	h = w.host("n", nil, def())
	w.own(h, 2, Checkpoint{})
	waits = ask(h, at, "wait", "w", "null")
	close(gate)
	if got := w.result(waits); got != "20" {
		t.Errorf("the call that waited is answered %s", got)
	}
	for i := range queued {
		if got := w.result(ask(h, at, "add", fmt.Sprint("q", i), "1")); got != fmt.Sprint(21+i) {
			t.Errorf("call %d behind it is answered %s", i, got)
		}
	}
}

func TestKeep_wrong(t *testing.T) {
	for _, parts := range [][]Declaration{{KeepLast(0)}, {KeepLast(-1)}, {KeepAll(), KeepNeeded()}} {
		o := sums()
		o.parts = parts
		if err := Check(openSchemas{}, o); err == nil {
			t.Errorf("%v is no mistake", parts)
		}
	}
}

// TestHost_trimManyIDs: an object that is called so often that it remembers more ids than a table holds is trimmed all the
// same.
func TestHost_trimManyIDs(t *testing.T) {
	bubble.Run(t, func(t *testing.T) {
		w := newWorld(t)
		h := w.host("n", nil, keeping(KeepLast(5)))
		w.own(h, 1, Checkpoint{})
		const calls = 6000
		for i := range calls {
			w.result(ask(h, at, "add", fmt.Sprint(i), "1"))
			time.Sleep(25 * time.Millisecond) // 40 a second: 1,400 of 35 s have to be kept
		}
		if n := len(w.kept(at)); n > 2000 {
			t.Errorf("%d records are left", n)
		}
		h.Close()
		h = w.host("n", nil, keeping(KeepLast(5)))
		w.own(h, 2, Checkpoint{})
		for i := calls - 1000; i < calls; i += 99 {
			if got := w.result(ask(h, at, "add", fmt.Sprint(i), "1")); got != fmt.Sprint(i+1) {
				t.Errorf("call %d repeated: %s", i, got)
			}
		}
		h.Close()
	})
}
