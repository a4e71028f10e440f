package actor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perdure/perdure/internal/bubble"
)

func TestIDFilter(t *testing.T) {
	for _, n := range []int{0, 1, 7, 1000, 50_000} {
		f := newIDFilter(n)
		for i := range n {
			f.add(digest(fmt.Append(nil, "in", i)))
		}
		for i := range n {
			if !f.mayHave(digest(fmt.Append(nil, "in", i))) {
				t.Fatalf("%d of %d is not found", i, n)
			}
		}
		wrong := 0
		for i := range 10_000 {
			if f.mayHave(digest(fmt.Append(nil, "out", i))) {
				wrong++
			}
		}
		if wrong > 400 {
			t.Errorf("a filter of %d is wrong about %d in 10,000", n, wrong)
		}
	}
}

// forgetful is a log whose records below a sequence cannot be read for now.
type forgetful struct {
	*world
	below   atomic.Uint64
	refused atomic.Int64 // reads
}

func (f *forgetful) Read(ctx context.Context, a Address, seq uint64) (*Entry, error) {
	if seq < f.below.Load() {
		f.refused.Add(1)
		return nil, errors.New("not now")
	}
	return f.world.Read(ctx, a, seq)
}

// table returns where the last table of ids is.
func (w *world) table() (last uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.log {
		if rec, err := DecodeRecord(e.Body); err == nil && rec.IDs != nil {
			last = e.Seq
		}
	}
	return last
}

// TestHost_olderIDs restarts an object of many calls: the next call needs no older table, repeated ones have their first
// outcome, and the log goes on as it would have, tables and removals included.
func TestHost_olderIDs(t *testing.T) {
	bubble.Run(t, func(t *testing.T) {
		w := newWorld(t)
		log := &forgetful{world: w}
		def := keeping(KeepLast(1))
		with := func(c *Config) { c.Log = log }
		h := w.host("1", with, def)
		w.own(h, 1, Checkpoint{})
		const calls = 3 * idsFullTable
		call := func(id string) <-chan *Outcome { return ask(h, at, "add", id, "1") }
		first := make([]string, calls)
		for i := 0; i < calls; i += 64 {
			var answers []<-chan *Outcome
			for j := range 64 {
				answers = append(answers, call(fmt.Sprint(i+j)))
			}
			for j, out := range answers {
				first[i+j] = w.result(out)
			}
		}
		for node := uint64(2); node < 4; node++ {
			h.Close()
			h = w.host(fmt.Sprint(node), with, def)
			w.own(h, node, Checkpoint{})
			log.below.Store(w.table())
			id := fmt.Sprint("of node ", node)
			fresh := w.result(call(id))
			if o := w.answer(call("0")); o.Err == nil || o.Err.Code != CodeUnavailable {
				t.Fatalf("node %d: call 0 again, while its table cannot be read: %s, %v", node, o.Result, o.Err)
			}
			log.below.Store(0)
			for i, want := range first {
				if got := w.result(call(fmt.Sprint(i))); got != want {
					t.Fatalf("node %d: call %d again: %s, want %s", node, i, got, want)
				}
			}
			if got := w.result(call(id)); got != fresh {
				t.Errorf("node %d: %s, want %s", node, got, fresh)
			}
		}
		h.Close()
		time.Sleep(25 * time.Hour) // now the ids are of no use
		h = w.host("4", with, def)
		w.own(h, 4, Checkpoint{})
		for i := range 3 * idsEvery {
			w.result(call(fmt.Sprint("later ", i)))
			synctest.Wait() // what is looked for and removed in the background
		}
		if e := w.log[slices.IndexFunc(w.log, func(e *Entry) bool { return e.Address == at })]; e.Epoch != 4 {
			t.Errorf("the log begins with record %d of epoch %d: what held the ids is not removed", e.Seq, e.Epoch)
		}
	})
}

// TestHost_olderIDsUnreadable: older ids that cannot be read are not asked for again and again.
func TestHost_olderIDsUnreadable(t *testing.T) {
	bubble.Run(t, func(t *testing.T) {
		w := newWorld(t)
		log := &forgetful{world: w}
		with := func(c *Config) { c.Log = log }
		h := w.host("1", with, sums())
		w.own(h, 1, Checkpoint{})
		for i := 0; i < 2*idsFullTable+64; i += 64 {
			var answers []<-chan *Outcome
			for j := range 64 {
				answers = append(answers, ask(h, at, "add", fmt.Sprint(i+j), "1"))
			}
			for _, out := range answers {
				w.result(out)
			}
		}
		h.Close()
		h = w.host("2", with, sums())
		w.own(h, 2, Checkpoint{})
		log.below.Store(w.table())
		w.result(ask(h, at, "add", "new", "1"))
		time.Sleep(50 * time.Millisecond)
		w.result(ask(h, at, "add", "newer", "1"))
		time.Sleep(50 * time.Millisecond)
		if n := log.refused.Load(); n == 0 || n > 2 {
			t.Errorf("within 100 ms they were read %d times", n)
		}
		log.below.Store(0)
		time.Sleep(olderAgainIn)
		if got := w.result(ask(h, at, "add", "0", "1")); got != "1" {
			t.Errorf("call 0 again: %s, want 1", got)
		}
	})
}

// TestIDTable_olderOpen: an id that an older table has as that of a call without outcome, which had its outcome and was
// forgotten since, does not come back with that table.
func TestIDTable_olderOpen(t *testing.T) {
	now := time.Now()
	known := newIDTable()
	event := func(typ EventType, id int, until time.Duration, seq uint64) {
		due := now.Add(until)
		known.observe(&Event{Type: typ, ID: fmt.Sprint(id), Hash: "h", At: now, Due: &due}, seq)
	}
	calls := 0
	add := func(n int, until time.Duration) {
		for range n {
			calls++
			event(HookReceived, calls, until, uint64(calls))
			event(CallCompleted, calls, until, uint64(calls))
		}
	}
	var tables []entryRecord
	table := func() {
		ids, whole := known.table(now)
		if ids == nil {
			t.Fatal("no table is due")
		}
		tables = append(tables, entryRecord{uint64(calls), &Record{IDs: ids}, Index{}})
		if !whole {
			_, seen := known.rest(ids)
			tables[len(tables)-1].IDsSeen = seen
		}
		known.written(true)
	}
	event(HookReceived, 0, time.Second, 1)
	add(2*idsFullTable, time.Hour)
	table()
	event(CallCompleted, 0, time.Second, 2)
	add(2*idsFullTable, time.Hour)
	table()
	now = now.Add(time.Minute)

	restarted := newIDTable()
	restarted.restore(tables[1].IDs)
	restarted.older = &olderIDs{seen: tables[1].IDsSeen}
	restarted.expire(now)
	restarted.takeOlder(tables[:1])
	restarted.expire(now)
	if e := restarted.find("0"); e != nil && e.Seq == 0 {
		t.Error("a call that has its outcome is without one for ever")
	}
}

// TestIDTable_forgottenOpen: the same where it was forgotten before the next table was written.
func TestIDTable_forgottenOpen(t *testing.T) {
	table := func(from, to int, open bool) entryRecord {
		rec := &Record{}
		for i := from; i < to; i++ {
			rec.IDs = append(rec.IDs, IDEntry{ID: digest(fmt.Append(nil, i)), Seq: 1, Until: 1})
		}
		if open {
			rec.IDs[0].Seq = 0
		}
		return entryRecord{1, rec, Index{}}
	}
	ids := newIDTable()
	ids.restore(table(2*idsFullTable, 3*idsFullTable, false).IDs)
	ids.takeOlder([]entryRecord{table(0, idsFullTable, true), table(idsFullTable, 2*idsFullTable, false)})
	if e := ids.find("0"); e != nil {
		t.Errorf("%+v", e)
	}
}
