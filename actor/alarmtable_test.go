package actor

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/perdure/perdure/internal/bubble"
)

// TestAlarmTable_Order compares the table with a list that is sorted anew each time, over a store and a load.
func TestAlarmTable_Order(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	began := time.Unix(1_800_000_000, 0).UTC()
	var table alarmTable
	var want []*alarm
	keys := func(all []*alarm) (out []string) {
		for _, a := range all {
			out = append(out, fmt.Sprint(a.key, " ", a.due.Unix()-began.Unix(), " ", a.id))
		}
		return out
	}
	for i := range 3000 {
		n := alarmName{"ring", fmt.Sprint(rng.IntN(200))}
		if old := table.get(n); old != nil {
			table.remove(n, "another")
			table.remove(n, old.id)
			want = slices.DeleteFunc(want, func(a *alarm) bool { return a == old })
		}
		if rng.IntN(3) > 0 {
			a := &alarm{id: fmt.Sprint(i), name: n.name, key: n.key, due: began.Add(time.Duration(rng.IntN(50)) * time.Second), payload: json.RawMessage(`"x"`), attempt: 1}
			table.put(a)
			want = append(want, a)
			slices.SortStableFunc(want, func(a, b *alarm) int { return cmp.Compare(a.due.Unix(), b.due.Unix()) })
		}
		if i%100 == 0 {
			b, err := json.Marshal(table.entries())
			if err != nil {
				t.Fatal(err)
			}
			var entries []AlarmEntry
			if err := json.Unmarshal(b, &entries); err != nil {
				t.Fatal(err)
			}
			table.restore(entries)
			want = slices.Clone(table.order)
		}
		if diff := gocmp.Diff(keys(table.order), keys(want)); diff != "" {
			t.Fatalf("after %d changes (-got +want):\n%s", i, diff)
		}
		if table.bytes != 3*len(want) || len(table.byName) != len(want) {
			t.Fatalf("%d bytes, %d names for %d settings", table.bytes, len(table.byName), len(want))
		}
	}
}

// TestAlarm_LargeTable: a large table is not written again with each record, and found again over crashes.
func TestAlarm_LargeTable(t *testing.T) {
	bubble.Run(t, func(t *testing.T) {
		w, s, h := ringer(t, nil)
		var all []chimeOp
		for i := range 200 {
			all = append(all, chimeOp{Key: fmt.Sprintf("%03d", i), In: 3_600_000 + i})
		}
		w.result(ask(h, bell, "do", "", ops(all...)))
		whole := 0
		for i := range 150 {
			w.result(ask(h, bell, "do", "", ops()))
			rec, _ := DecodeRecord(w.log[len(w.log)-1].Body)
			if len(rec.Alarms) > 0 {
				whole++
			} else if rec.AlarmsAt == 0 {
				t.Fatalf("record %d says nothing of the alarms", i)
			}
		}
		if whole != 2 {
			t.Errorf("the table was written again %d times in 150 records", whole)
		}
		w.result(ask(h, bell, "do", "", ops(chimeOp{Key: "007", Cancel: true})))
		w.result(ask(h, bell, "do", "", ops()))
		synctest.Wait() // its worker ends after the answer
		if n := h.owned(0).evict(time.Now().Add(time.Hour), time.Minute); n != 1 {
			t.Fatal("it does not leave memory")
		}
		if got := w.strings(h, "list"); len(got) != 199 || got[6] != "006 1" || got[7] != "008 1" {
			t.Errorf("list after an eviction: %v", got)
		}
		time.Sleep(2 * time.Hour)
		if rang := w.strings(h, "rang"); len(rang) != 199 || !slices.IsSorted(rang) {
			t.Errorf("rang: %v", rang)
		}
		if armed, firings := s.left(); armed+firings > 0 {
			t.Errorf("%d schedules and %d firings are left", armed, firings)
		}
		if rec, _ := DecodeRecord(w.log[len(w.log)-1].Body); rec.AlarmsAt != 0 || rec.Alarms != nil {
			t.Errorf("the last record still has alarms")
		}
	})
}

// TestAlarm_Limits: what cannot be set is said to the code.
func TestAlarm_Limits(t *testing.T) {
	bubble.Run(t, func(t *testing.T) {
		w, _, h := ringer(t, func(c *Config) { c.MaxPayload = 1 << 20 })
		many := func(from, n int) string {
			var all []chimeOp
			for i := range n {
				all = append(all, chimeOp{Key: fmt.Sprint(from + i), In: 3_600_000})
			}
			return ops(all...)
		}
		w.result(ask(h, bell, "do", "", many(0, maxAlarms-1)))
		if got := w.answer(ask(h, bell, "do", "", many(maxAlarms-1, 2))); got.Err == nil || !strings.Contains(got.Err.Message, "alarms of one object") {
			t.Errorf("one too many: %v", got.Err)
		}
		if got := w.answer(ask(h, bell, "do", "", many(maxAlarms-2, 2))); got.Err != nil {
			t.Errorf("one replaced and one new: %v", got.Err)
		}
		if got := w.answer(ask(h, bell, "do", "", ops(chimeOp{Key: "0", Cancel: true}, chimeOp{Key: "x", In: 1}))); got.Err != nil {
			t.Errorf("one cancelled and one new: %v", got.Err)
		}
		other := Address{"chime", "other"}
		for _, tc := range []struct{ ops, want string }{
			{ops(chimeOp{Key: strings.Repeat("k", 257)}), "at most 256"},
			{ops(chimeOp{Key: "k", Ring: ringing{Set: strings.Repeat("x", 900_000)}}, chimeOp{Key: "l", Ring: ringing{Set: strings.Repeat("x", 200_000)}}), "payload"},
		} {
			if got := w.answer(ask(h, other, "do", "", tc.ops)); got.Err == nil || !strings.Contains(got.Err.Message, tc.want) {
				t.Errorf("got %v, want %q", got.Err, tc.want)
			}
		}
	})
}

// TestAlarm_Elsewhere: only methods of the alarm's own type can set it.
func TestAlarm_Elsewhere(t *testing.T) {
	ring := AlarmRef[int]("ring")
	said := make(chan error, 2)
	flow := NewWorkflow("flow", func(ctx Context, _ None) (None, error) {
		said <- ring.Set(ctx, "x", Now(ctx), 1)
		if ring.Cancel(ctx, "x") {
			said <- fmt.Errorf("cancelled what never was")
		}
		return None{}, nil
	})
	w := newWorld(t)
	h := w.host("a", nil, flow)
	w.own(h, 1, Checkpoint{})
	w.answer(ask(h, Address{"flow", "k"}, HookStart, "", "null"))
	if err := <-said; err == nil || !strings.Contains(err.Error(), `has no alarm "ring"`) {
		t.Errorf("set says %v", err)
	}
}

// TestAlarm_Definition names the mistakes.
func TestAlarm_Definition(t *testing.T) {
	o := NewObject[sum]("sum")
	NewMethod(o, "add", func(*sum, Context, int) (int, error) { return 0, nil })
	NewAlarm(o, "add", func(*sum, Context, int) error { return nil })
	NewAlarm(o, "a.b", func(*sum, Context, int) error { return nil }, Retry(RetryPolicy{Timeout: time.Second}))
	_, err := newRegistry(openSchemas{}, []Definition{o})
	for _, want := range []string{"add is defined twice", `"a.b"`, "timeout"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}

// TestAlarm_Parked: what comes due while an object is parked fires once its code can read its state again.
func TestAlarm_Parked(t *testing.T) {
	bubble.Run(t, func(t *testing.T) {
		w := newWorld(t)
		s := newServer(w)
		var h *Host
		end := func() {}
		epoch := uint64(0)
		run := func(def Definition, c Checkpoint) {
			epoch++
			w.change(func() { w.issued = func() (uint64, error) { return epoch, nil } })
			h = w.host("a", func(c *Config) { c.Timers = s }, def)
			w.own(h, epoch, c)
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func(h *Host) { done <- h.Run(ctx) }(h)
			end = func() {
				cancel()
				if err := <-done; err != nil {
					t.Error(err)
				}
			}
		}
		run(chimes(), Checkpoint{})
		w.result(ask(h, bell, "do", "", ops(chimeOp{Key: "a", In: 60_000}, chimeOp{Key: "b", In: 1000})))
		time.Sleep(2 * time.Second)
		c, _ := h.Checkpoint(0)
		end()
		bad := NewObject[[]int]("chime") // a deployment that cannot read the state
		NewMethod(bad, "do", func(*[]int, Context, chimeOps) (int, error) { return 0, nil })
		run(bad, c)
		if got := w.answer(ask(h, bell, "do", "", ops())); got.Err == nil || got.Err.Code != CodeStopped {
			t.Errorf("got %v", got)
		}
		time.Sleep(2 * time.Minute)
		c, _ = h.Checkpoint(0)
		end()
		run(chimes(), c)
		time.Sleep(time.Second)
		w.rang(h, "b", "a")
		end()
	})
}
