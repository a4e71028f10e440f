package actor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/perdure/perdure/internal/bubble"
)

// purge asks for one, and returns what the outcome says in short.
func (w *world) purge(h *Host, a Address) string {
	w.t.Helper()
	return code(w.answer(ask(h, a, HookPurge, "", `{"reason":"over"}`)))
}

// TestPurge_allowed says what may be purged, and when.
func TestPurge_allowed(t *testing.T) {
	for name, tc := range map[string]struct{ before, want string }{
		"nothing":          {"", "404"},
		"a running one":    {"a", "409"},
		"a sleeping one":   {"sleep", "409"},
		"a parked one":     {"panic", "409"},
		"a paused one":     {"a $pause", "409"},
		"a completed one":  {"return", "null"},
		"a failed one":     {"fail", "null"},
		"a cancelled one":  {"a $cancel", "null"},
		"a terminated one": {"hold $terminate", "null"},
		"twice":            {"return $purge", "404"},
	} {
		t.Run(name, func(t *testing.T) {
			e := newErrands()
			w := newWorld(t)
			h := w.host("a", nil, e.def())
			w.own(h, 1, Checkpoint{})
			for what := range strings.FieldsSeq(tc.before) {
				if what[0] == '$' {
					w.result(tell(h, what, "because"))
					continue
				}
				w.order(h, what)
			}
			w.until("its steps are done", func() bool { return tc.before != "a $cancel" || w.lastOf(errand).Status == StatusCancelled })
			if got := w.purge(h, errand); got != tc.want {
				t.Errorf("answer %s, want %s", got, tc.want)
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			if left := w.kept(errand); (len(left) == 0) != (tc.want != "409") {
				t.Errorf("records %v are left", left)
			}
		})
	}
}

// TestPurge_object: an object is purged while it does nothing, and begins anew then, with what came meanwhile.
func TestPurge_object(t *testing.T) {
	w := newWorld(t)
	h := w.host("a", nil, sums())
	w.run(h)
	w.own(h, 1, Checkpoint{})
	for i := range 100 {
		w.result(ask(h, at, "add", fmt.Sprint(i), "1"))
	}
	w.send(at, "add", "1", CallHeader{})
	w.until("the send is applied", func() bool { return w.count(HookReceived) == 101 })
	w.change(func() { w.cursor = 0 })
	purged := ask(h, at, HookPurge, "", "null")
	w.until("only the tombstone is left", func() bool { return len(w.kept(at)) == 1 })
	w.until("which is unsettled", func() bool { e := w.lastOf(at); return e.Status == StatusPurged && e.Unsettled })
	if got := code(w.answer(ask(h, at, "add", "0", "1"))); got != "503" {
		t.Errorf("a call meanwhile: %s", got)
	}
	again := ask(h, at, HookPurge, "", "null")
	w.send(at, "add", "7", CallHeader{})
	w.change(func() { w.cursor = 1 })
	for _, out := range []<-chan *Outcome{purged, again} {
		if got := w.result(out); got != "null" {
			t.Errorf("purged: %s", got)
		}
	}
	w.until("the send is applied to the next one", func() bool { return len(w.kept(at)) == 1 })
	if got := w.result(ask(h, at, "add", "0", "1")); got != "8" {
		t.Errorf("the first call of the next one with an id of before: %s, want 8", got)
	}
}

// TestPurge_killed kills the node at every removal, and before the tombstone goes: the next one goes on by itself, and
// the send that the run had received is not applied to another.
func TestPurge_killed(t *testing.T) {
	const calls = 80
	for kill := 0; kill <= calls+3; kill++ {
		w := newWorld(t)
		h := w.host("a", nil, sums())
		stop := w.running(h)
		w.own(h, 1, Checkpoint{})
		w.send(at, "add", "1", CallHeader{})
		w.until("the send is applied", func() bool { return w.count(HookReceived) == 1 })
		for range calls {
			w.result(ask(h, at, "add", "", "1"))
		}
		removed, killed := 0, false
		w.change(func() {
			w.cursor = 0
			w.onRemove = func(uint64) error {
				if removed++; removed <= kill {
					return nil
				}
				w.change(func() { killed = true })
				return errors.New("gone")
			}
			if kill > calls {
				w.cursor = 1 // the last removal is the tombstone's
			}
		})
		h.Call(&Request{Address: at, Hook: HookPurge, Payload: []byte("null"), Received: time.Now()})
		w.until("the node is killed, or all is removed", func() bool { return killed || len(w.kept(at)) <= 1 })
		stop()
		var cursor uint64
		w.change(func() {
			cursor, w.onRemove = w.cursor, nil
			w.issued = func() (uint64, error) { return 2, nil }
		})
		next := w.host("b", nil, sums())
		w.run(next) // before the cursor has passed it, it reads the send again
		w.own(next, 2, Checkpoint{Inbox: cursor})
		w.until("the rest is removed", func() bool { return len(w.kept(at)) <= 1 })
		w.change(func() { w.cursor = 1 })
		w.until("all is removed", func() bool { return len(w.kept(at)) == 0 })
		if got := w.result(ask(next, at, "add", "", "5")); got != "5" {
			t.Errorf("killed at removal %d: the next one begins with %s, want 5", kill, got)
		}
	}
}

// TestPurge_busy: an object that has something to do is not purged.
func TestPurge_busy(t *testing.T) {
	w := newWorld(t)
	o := NewObject[int]("busy")
	ring := NewAlarm(o, "ring", func(*int, Context, None) error { return nil })
	NewMethod(o, "set", func(_ *int, ctx Context, _ None) (None, error) {
		return None{}, ring.Set(ctx, "", time.Now().Add(time.Hour), None{})
	})
	h := w.host("a", nil, o)
	w.own(h, 1, Checkpoint{})
	w.result(ask(h, o.At("k"), "set", "", "null"))
	out := w.answer(ask(h, o.At("k"), HookPurge, "", "null"))
	if out.Err == nil || out.Err.Code != CodeConflict || !strings.Contains(out.Err.Message, "alarms") {
		t.Errorf("with an alarm: %s, %v", out.Result, out.Err)
	}
}

// closing is a log whose host is closed while it reads the last record of an object that is being purged.
type closing struct {
	*world
	host *Host
}

func (l *closing) Last(ctx context.Context, a Address) (*Entry, error) {
	e, err := l.world.Last(ctx, a)
	if err == nil && e.Status == StatusPurged {
		go l.host.Close()
		for l.host.spawn(func() {}) {
			runtime.Gosched()
		}
	}
	return e, err
}

// TestPurge_closed: a host that closes while it finds a tombstone leaves it to the next.
func TestPurge_closed(t *testing.T) {
	w := newWorld(t)
	log := &closing{world: w}
	log.host = w.host("a", func(c *Config) { c.Log = log }, sums())
	w.own(log.host, 1, Checkpoint{})
	w.result(ask(log.host, at, "add", "", "1"))
	if got := w.purge(log.host, at); got != "503" {
		t.Errorf("answer %s, want 503", got)
	}
	log.host.Close()
	next := w.host("b", nil, sums())
	w.own(next, 2, Checkpoint{})
	w.until("the next one goes on", func() bool { return len(w.kept(at)) == 0 })
}

// latecomer is a log that tells of one object only after the remains of others were swept.
type latecomer struct {
	*world
	of    Address
	left  atomic.Int32 // others
	swept chan struct{}
}

func (l *latecomer) Last(ctx context.Context, a Address) (*Entry, error) {
	if a == l.of {
		<-l.swept
	}
	return l.world.Last(ctx, a)
}

func (l *latecomer) Sweep(ctx context.Context, a Address, seq uint64, streams []string) error {
	if l.left.Add(-1) == 0 {
		close(l.swept)
	}
	return worldRemains{l.world}.Sweep(ctx, a, seq, streams)
}

// TestPurge_many: runs that wait for the cursor do not keep one from being purged whose sends the cursor waits for.
func TestPurge_many(t *testing.T) {
	w := newWorld(t)
	h := w.host("a", nil, sums())
	stop := w.running(h)
	w.own(h, 1, Checkpoint{})
	w.change(func() { w.cursor = 0 })
	all := []Address{at}
	for i := range trimmers {
		all = append(all, Address{at.Type, fmt.Sprint(i)})
	}
	for i, a := range all {
		w.send(a, "add", "1", CallHeader{})
		w.until("the send is applied", func() bool { return w.count(HookReceived) == i+1 })
		h.Call(&Request{Address: a, Hook: HookPurge, Payload: []byte("null")})
		w.until("it has a tombstone", func() bool { e := w.lastOf(a); return e != nil && e.Status == StatusPurged })
		if i == 0 {
			w.send(a, "add", "7", CallHeader{}) // for the next one: the cursor stays below it
		}
	}
	stop()

	var next *Host
	log := &latecomer{world: w, of: at, swept: make(chan struct{})}
	log.left.Store(trimmers)
	w.change(func() { w.issued = func() (uint64, error) { return 2, nil } })
	next = w.host("b", func(c *Config) {
		c.Log, c.Remains = log, log
		c.Cursor = func(context.Context, int) (uint64, error) { c, _ := next.Checkpoint(0); return c.Inbox, nil }
	}, sums())
	w.run(next)
	w.own(next, 2, Checkpoint{})
	for _, a := range all[1:] {
		w.until("all are gone", func() bool { return len(w.kept(a)) == 0 })
	}
	if got := w.result(ask(next, at, "add", "", "1")); got != "8" {
		t.Errorf("the next one has %s, want 8", got)
	}
}

// TestPurge_late: a former owner's tombstone arrives while what that owner has left is let out again. The next object
// under the key lets out its own.
func TestPurge_late(t *testing.T) {
	w := newWorld(t)
	former := w.host("a", nil, sums())
	stop := w.running(former)
	w.own(former, 1, Checkpoint{})
	w.send(at, "add", "1", CallHeader{ReplyTo: "first"})
	w.until("the outcome is out", func() bool { return len(w.outcomes["first"]) == 1 })
	stop()
	var tombstone Entry
	w.change(func() { // which the former owner was about to write
		last := w.lastOf(at)
		rec, err := DecodeRecord(last.Body)
		if err != nil {
			t.Error(err)
			return
		}
		rec.N, rec.V, rec.Events = rec.N+1, RecordVersion, []Event{{Type: RunPurged, At: time.Now()}}
		rec.entomb()
		tombstone = *last
		tombstone.Turn, tombstone.Status, tombstone.Unsettled, tombstone.Index.Page = "late", StatusPurged, true, []uint64{last.Seq}
		tombstone.Body, _ = json.Marshal(rec)
		w.cursor = 0
	})
	out := &heldOutlet{worldOutlet: worldOutlet{w}, begun: make(chan struct{}), goOn: make(chan struct{})}
	h := w.host("b", func(c *Config) { c.Outlet = out }, sums())
	w.run(h)
	w.own(h, 2, Checkpoint{})
	<-out.begun
	w.put(tombstone)
	h.Touched(at)
	if got := w.result(ask(h, at, "add", "", "1")); !strings.Contains(got, "is being purged") {
		t.Errorf("a call meanwhile: %s", got)
	}
	close(out.goOn)
	w.send(at, "add", "7", CallHeader{ReplyTo: "second"})
	w.change(func() { w.cursor = 1 })
	w.until("the next one's outcome is out", func() bool { return len(w.outcomes["second"]) == 1 })
	p := h.owned(0)
	settled := func() bool { p.mu.Lock(); defer p.mu.Unlock(); return len(p.unsettled) == 0 }
	for limit := time.Now().Add(atLongLast); !settled(); runtime.Gosched() {
		if time.Now().After(limit) {
			t.Fatal("it is never settled")
		}
	}
}

// heldOutlet lets out the first outcome when it is told to.
type heldOutlet struct {
	worldOutlet
	begun, goOn chan struct{}
	once        sync.Once
}

func (o *heldOutlet) Outcome(ctx context.Context, to string, out *Outcome) error {
	o.once.Do(func() { close(o.begun); <-o.goOn })
	return o.worldOutlet.Outcome(ctx, to, out)
}

// pausing is a log whose next answer to what the last record is waits.
type pausing struct {
	*world
	asked, goOn chan struct{}
	armed       atomic.Bool
}

func (l *pausing) Last(ctx context.Context, a Address) (*Entry, error) {
	e, err := l.world.Last(ctx, a)
	if l.armed.CompareAndSwap(true, false) {
		close(l.asked)
		<-l.goOn
	}
	return e, err
}

// TestPurge_lateBatch: what comes together with the news of a former owner's tombstone does nothing more to the run.
func TestPurge_lateBatch(t *testing.T) {
	bubble.Run(t, func(t *testing.T) {
		w := newWorld(t)
		log := &pausing{world: w, asked: make(chan struct{}), goOn: make(chan struct{})}
		def := NewWorkflow("once", func(ctx Context, _ None) (None, error) { return None{}, Sleep(ctx, time.Hour) })
		h := w.host("b", func(c *Config) { c.Log = log }, def)
		a := Address{"once", "k"}
		w.own(h, 2, Checkpoint{})
		w.result(ask(h, a, HookStart, "", "null"))
		w.result(ask(h, a, HookTerminate, "", "null"))
		log.armed.Store(true)
		h.Touched(a)
		<-log.asked
		w.mu.Lock()
		tombstone := *w.lastOf(a)
		w.mu.Unlock()
		rec, err := DecodeRecord(tombstone.Body)
		if err != nil {
			t.Fatal(err)
		}
		rec.N, rec.V, rec.Events = rec.N+1, RecordVersion, []Event{{Type: RunPurged, At: time.Now()}}
		rec.entomb()
		tombstone.Turn, tombstone.Status, tombstone.Unsettled = "late", StatusPurged, true
		tombstone.Index.Page = append(tombstone.Index.Page, tombstone.Seq)
		tombstone.Body, _ = json.Marshal(rec)
		w.put(tombstone)
		h.Touched(a)
		h.owned(0).deliver(a, item{kind: itemResume, seq: 1})
		w.change(func() { w.onRemove = func(uint64) error { time.Sleep(20 * time.Millisecond); return nil } })
		close(log.goOn)
		w.until("all is removed", func() bool { return len(w.kept(a)) == 0 })
	})
}

// TestPurge_buried: a run is purged that has refused a send, also when it was not in memory since.
func TestPurge_buried(t *testing.T) {
	w := newWorld(t)
	e := newErrands()
	h := w.host("a", nil, e.def())
	w.run(h)
	w.own(h, 1, Checkpoint{})
	w.result(tell(h, HookStart, "null"))
	w.result(ask(h, errand, "do", "", `"return"`))
	w.send(errand, "do", `"a"`, CallHeader{})
	w.until("the send is refused", func() bool { return len(w.dead) == 1 })
	for limit := time.Now().Add(atLongLast); h.owned(0).evict(time.Now().Add(time.Hour), 0) == 0; runtime.Gosched() {
		if time.Now().After(limit) {
			t.Fatal("it is never evicted")
		}
	}
	if got := w.purge(h, errand); got != "null" {
		t.Errorf("answer %s, want null", got)
	}
}
