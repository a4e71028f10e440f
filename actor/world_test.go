package actor

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"math"
	"slices"
	"sync"
	"testing"
	"time"
)

// atLongLast is how long tests in real time wait for what must come: it costs nothing where that comes at once.
const atLongLast = time.Minute

// world is what hosts stand on, in memory: one log, one inbox, one set of tokens. It counts every change, so that tests
// wait for what they want to see without a clock.
type world struct {
	t       *testing.T
	mu      sync.Mutex
	changed chan struct{}
	limit   time.Duration // how long tests wait for what must come

	log      []*Entry               // seq = index + 1
	decoded  int                    // how much of it events has seen
	types    []EventType            // of the events in that
	onRemove func(seq uint64) error // fails a removal
	removed  []uint64
	cursor   uint64                     // in the partition's record
	onAppend func(*Entry) (bool, error) // whether the append is stored, and what Append returns; nil: both fine
	issued   func() (uint64, error)     // Confirm
	inbox    []*Message                 // seq = index + 1
	firings  chan *Firing               // what schedules fire
	armed    map[string]time.Time       // schedules
	dropped  []uint64                   // firings that are Done
	dead     []*DeadLetter              //
	outcomes map[string][]*Outcome      // by reply-to
	holders  map[string]TokenHolder     //
	onClaim  func(string) error         //
}

func newWorld(t *testing.T) *world {
	w := &world{
		t: t, changed: make(chan struct{}), limit: atLongLast, armed: map[string]time.Time{}, firings: make(chan *Firing, 16),
		cursor: math.MaxUint64, outcomes: map[string][]*Outcome{}, holders: map[string]TokenHolder{},
	}
	if time.Now().Year() == 2000 { // in a bubble no machine is slow: what comes later is late
		w.limit = 5 * time.Second
	}
	w.issued = func() (uint64, error) { return 1, nil }
	return w
}

func (w *world) change(do func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	do()
	close(w.changed)
	w.changed = make(chan struct{})
}

// until blocks until ok holds; it fails the test after the world's limit.
func (w *world) until(what string, ok func() bool) {
	w.t.Helper()
	if !w.within(w.limit, ok) {
		w.t.Fatalf("never: %s", what)
	}
}

func (w *world) within(d time.Duration, ok func() bool) bool {
	limit := time.After(d)
	for {
		w.mu.Lock()
		good, next := ok(), w.changed
		w.mu.Unlock()
		if good {
			return true
		}
		select {
		case <-next:
		case <-limit:
			return false
		}
	}
}

func (w *world) host(node string, cfg func(*Config), defs ...Definition) *Host {
	w.t.Helper()
	c := Config{
		Node: node, Log: w, Inbox: worldInbox{w}, Timers: worldTimers{w}, Tokens: worldTokens{w}, Outlet: worldOutlet{w},
		Remains: worldRemains{w}, Cursor: func(context.Context, int) (uint64, error) { w.mu.Lock(); defer w.mu.Unlock(); return w.cursor, nil },
		Schemas: openSchemas{}, Partition: func(Address) int { return 0 }, LogStream: func(int) int { return 0 },
		Confirm: func(context.Context, int) (uint64, error) { w.mu.Lock(); defer w.mu.Unlock(); return w.issued() },
	}
	if cfg != nil {
		cfg(&c)
	}
	h, err := NewHost(c, defs...)
	if err != nil {
		w.t.Fatal(err)
	}
	h.SetTrusted(true)
	w.t.Cleanup(h.Close)
	return h
}

func (w *world) own(h *Host, epoch uint64, c Checkpoint) {
	w.t.Helper()
	if err := h.Own(w.t.Context(), []Claim{{Partition: 0, Epoch: epoch, Checkpoint: c}}); err != nil {
		w.t.Fatal(err)
	}
}

// run has the host read the inbox and the timers until the test ends.
func (w *world) run(h *Host) {
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	w.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Error(err)
		}
	})
}

// ask calls and returns where the outcome will be.
func ask(h *Host, addr Address, hook, id, payload string) <-chan *Outcome {
	out := make(chan *Outcome, 1)
	h.Call(&Request{
		Address: addr, Hook: hook, Header: CallHeader{CallID: id}, Payload: []byte(payload), Received: time.Now(),
		Reply: func(o *Outcome) { out <- o },
	})
	return out
}

func (w *world) answer(out <-chan *Outcome) *Outcome {
	w.t.Helper()
	select {
	case o := <-out:
		return o
	case <-time.After(w.limit):
		w.t.Fatal("no answer")
		return nil
	}
}

func (w *world) result(out <-chan *Outcome) string {
	w.t.Helper()
	o := w.answer(out)
	if o.Err != nil {
		return o.Err.Error()
	}
	return string(o.Result)
}

// events is all event types in the log, in order; under mu.
// events returns the types of all events in the log. It decodes each record once: it is asked after every append.
func (w *world) events() []EventType {
	for ; w.decoded < len(w.log); w.decoded++ {
		if rec, err := DecodeRecord(w.log[w.decoded].Body); err == nil {
			for _, ev := range rec.Events {
				w.types = append(w.types, ev.Type)
			}
		}
	}
	return slices.Clone(w.types)
}

func (w *world) count(t EventType) (n int) {
	for _, e := range w.events() {
		if e == t {
			n++
		}
	}
	return n
}

func (w *world) Append(_ context.Context, e *Entry, expected uint64) (seq uint64, err error) {
	store := true
	w.mu.Lock()
	on := w.onAppend
	w.mu.Unlock()
	if on != nil {
		store, err = on(e)
	}
	w.change(func() {
		if last := w.lastOf(e.Address); store && (last == nil && expected != 0 || last != nil && last.Seq != expected) {
			err, store = ErrAppendConflict, false
		}
		if store {
			c := *e
			c.Seq, c.Time = uint64(len(w.log)+1), time.Now()
			w.log = append(w.log, &c)
			seq = c.Seq
		}
	})
	return seq, err
}

func (w *world) lastOf(a Address) *Entry {
	for _, e := range slices.Backward(w.log) {
		if e.Address == a {
			return e
		}
	}
	return nil
}

// put appends whatever others write.
func (w *world) put(e Entry) {
	w.change(func() { e.Seq = uint64(len(w.log) + 1); w.log = append(w.log, &e) })
}

func (w *world) Last(ctx context.Context, a Address) (*Entry, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if e := w.lastOf(a); e != nil {
		return e, nil
	}
	return nil, ErrNoRecord
}

func (w *world) Read(_ context.Context, a Address, seq uint64) (*Entry, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if seq == 0 || seq > uint64(len(w.log)) || w.log[seq-1].Address != a {
		return nil, ErrNoRecord
	}
	return w.log[seq-1], nil
}

func (w *world) Remove(ctx context.Context, a Address, seq uint64) (err error) {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	w.mu.Lock()
	on := w.onRemove
	w.mu.Unlock()
	if on != nil {
		if err := on(seq); err != nil {
			return err
		}
	}
	w.change(func() {
		if w.log[seq-1].Address == a {
			w.log[seq-1] = &Entry{Seq: seq} // nobody's
			w.removed = append(w.removed, seq)
		}
	})
	return nil
}

func (w *world) Attempts(context.Context, int, Address) (map[Address][]Attempt, error) {
	return nil, nil
}

func (w *world) RemoveAttempt(context.Context, Address, Attempt, uint64) error { return nil }

func (w *world) Scan(_ context.Context, a Address) iter.Seq2[*Entry, error] {
	return func(yield func(*Entry, error) bool) {
		w.mu.Lock()
		all := slices.Clone(w.log)
		w.mu.Unlock()
		for _, e := range all {
			if e.Address == a && !yield(e, nil) {
				return
			}
		}
	}
}

func (w *world) Tail(_ context.Context, floors map[int]uint64) iter.Seq2[*Entry, error] {
	return func(yield func(*Entry, error) bool) {
		w.mu.Lock()
		all := slices.Clone(w.log)
		w.mu.Unlock()
		for _, e := range all {
			if e.Seq > floors[0] && !yield(e, nil) {
				return
			}
		}
	}
}

func (w *world) End(context.Context, int) (uint64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return uint64(len(w.log)), nil
}

type worldRemains struct{ *world }

func (w worldRemains) Sweep(ctx context.Context, a Address, seq uint64, _ []string) error {
	w.mu.Lock()
	kept := w.kept(a)
	w.mu.Unlock()
	for _, left := range kept {
		if left < seq {
			if err := w.Remove(ctx, a, left); err != nil {
				return err
			}
		}
	}
	return nil
}

type worldInbox struct{ *world }

func (w worldInbox) Follow(ctx context.Context, from uint64, fn func(*Message) error) error {
	for seq := from; ; seq++ {
		for {
			w.mu.Lock()
			have, next := seq <= uint64(len(w.inbox)), w.changed
			w.mu.Unlock()
			if have {
				break
			}
			select {
			case <-next:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		w.mu.Lock()
		m := w.inbox[seq-1]
		w.mu.Unlock()
		if err := fn(m); err != nil {
			return err
		}
	}
}
func (w worldInbox) Bounds(context.Context) (InboxBounds, error) { return InboxBounds{}, nil }
func (w worldInbox) Trim(context.Context, uint64) error          { return nil }

func (w *world) send(a Address, hook, payload string, h CallHeader) *Message {
	m := &Message{Time: time.Now(), Type: a.Type, Key: a.Key, Hook: hook, Header: h, Payload: []byte(payload)}
	w.change(func() { m.Seq = uint64(len(w.inbox) + 1); w.inbox = append(w.inbox, m) })
	return m
}

type worldTimers struct{ *world }

func (w worldTimers) Arm(ctx context.Context, _ Address, id string, at time.Time) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	w.change(func() { w.armed[id] = at })
	return nil
}

func (w worldTimers) Cancel(_ context.Context, _ Address, id string) error {
	w.change(func() { delete(w.armed, id) })
	return nil
}

func (w worldTimers) Follow(ctx context.Context, _ uint64, fn func(*Firing) error) error {
	for {
		select {
		case f := <-w.firings:
			if err := fn(f); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (w worldTimers) Done(_ context.Context, seq uint64) error {
	w.change(func() { w.dropped = append(w.dropped, seq) })
	return nil
}

type worldTokens struct{ *world }

func (w worldTokens) Claim(_ context.Context, token string, mine TokenHolder) (h TokenHolder, err error) {
	if w.onClaim != nil {
		if err := w.onClaim(token); err != nil {
			return h, err
		}
	}
	w.change(func() {
		if _, taken := w.holders[token]; !taken {
			w.holders[token] = mine
		}
		h = w.holders[token]
	})
	return h, nil
}

func (w worldTokens) Release(_ context.Context, token string, mine TokenHolder) error {
	w.change(func() {
		if w.holders[token] == mine {
			delete(w.holders, token)
		}
	})
	return nil
}

func (w worldTokens) Resolve(_ context.Context, token string) (TokenHolder, bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	h, ok := w.holders[token]
	return h, ok, nil
}

type worldOutlet struct{ *world }

func (worldOutlet) Allows(string) bool { return true }
func (worldOutlet) Forward(context.Context, Address, string, CallHeader, []byte) error {
	return errors.New("not here")
}

func (w worldOutlet) Outcome(_ context.Context, to string, o *Outcome) error {
	w.change(func() { w.outcomes[to] = append(w.outcomes[to], o) })
	return nil
}

func (w worldOutlet) DeadLetter(_ context.Context, d *DeadLetter) error {
	w.change(func() { w.dead = append(w.dead, d) })
	return nil
}

type sum struct{ N int }

// sums is an object that adds up; NoteStep is a slow-able step.
func sums() *Object[sum] {
	o := NewObject[sum]("sum")
	NewMethod(o, "add", func(s *sum, _ Context, n int) (int, error) { s.N += n; return s.N, nil })
	NewQuery(o, "get", func(s sum, _ ReadContext, _ None) (int, error) { return s.N, nil })
	return o
}

var at = Address{"sum", "k"}

var _ = json.Valid
