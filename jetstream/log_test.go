package jetstream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/nats-io/nats.go"
	"golang.org/x/sync/errgroup"

	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/internal/natstest"
)

var ignoreTime = cmpopts.IgnoreFields(actor.Entry{}, "Time")

func testLog(t *testing.T, r *rig) {
	l, ctx := r.log(t), short(t)
	addr := actor.Address{Type: "log", Key: "a key.with/äll >*"}
	if _, err := l.Last(ctx, addr); !errors.Is(err, actor.ErrNoRecord) {
		t.Fatalf("last of nothing: %v", err)
	}
	one := entry(addr, "t1", `{"v":1}`)
	one.Seq = mustAppend(t, l, one, 0)
	two := entry(addr, "t2", `{"v":2}`)
	two.Unsettled, two.Index = true, actor.Index{Page: []uint64{one.Seq}, Base: one.Seq, IDs: one.Seq}
	two.Seq = mustAppend(t, l, two, one.Seq)
	got, err := l.Last(ctx, addr)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(got, two, ignoreTime); diff != "" {
		t.Errorf("last (-got +want):\n%s", diff)
	}
	if age := time.Since(got.Time); age < 0 || age > time.Minute {
		t.Errorf("stored %v ago", age)
	}
	if got, err := l.Read(ctx, addr, one.Seq); err != nil || cmp.Diff(got, one, ignoreTime) != "" {
		t.Errorf("read: %v %v", err, cmp.Diff(got, one, ignoreTime))
	}
	other := actor.Address{Type: "log", Key: "other"}
	for _, seq := range []uint64{0, one.Seq, 1 << 40} {
		if _, err := l.Read(ctx, other, seq); !errors.Is(err, actor.ErrNoRecord) {
			t.Errorf("read of another object's record %d: %v", seq, err)
		}
	}
	if diff := cmp.Diff(scan(t, l, addr), []*actor.Entry{one, two}, ignoreTime); diff != "" {
		t.Errorf("scan (-got +want):\n%s", diff)
	}
	if got := scan(t, l, other); len(got) != 0 {
		t.Errorf("scan of nothing gives %d", len(got))
	}
	if end, err := l.End(ctx, r.store.Partition(addr)); err != nil || end < two.Seq {
		t.Errorf("end %d, %v", end, err)
	}
}

func scan(t *testing.T, l *Log, addr actor.Address) []*actor.Entry {
	t.Helper()
	var all []*actor.Entry
	for e, err := range l.Scan(short(t), addr) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

func testLogOutcomes(t *testing.T, r *rig) {
	addr := actor.Address{Type: "outcomes", Key: "x"}
	first := mustAppend(t, r.log(t), entry(addr, "t1", "{}"), 0)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		do   func(*Log) error
		want error
	}{
		"conflict": {want: actor.ErrAppendConflict, do: func(l *Log) error {
			_, err := l.Append(short(t), entry(addr, "t2", "{}"), 0)
			return err
		}},
		"conflict beyond the end": {want: actor.ErrAppendConflict, do: func(l *Log) error {
			_, err := l.Append(short(t), entry(addr, "t2", "{}"), first+1<<30)
			return err
		}},
		"context ended before": {want: actor.ErrAppendRefused, do: func(l *Log) error {
			_, err := l.Append(cancelled, entry(addr, "t2", "{}"), first)
			return err
		}},
		"connection closed": {want: actor.ErrAppendRefused, do: func(l *Log) error {
			l.conn.Close()
			_, err := l.Append(short(t), entry(addr, "t2", "{}"), first)
			return err
		}},
		"nobody there": {want: actor.ErrAppendRefused, do: func(l *Log) error {
			_, err := l.publish(short(t), &nats.Msg{Subject: "nobody.there"}, "X")
			return err
		}},
		"too large for a message": {want: actor.ErrAppendRefused, do: func(l *Log) error {
			_, err := l.publish(short(t), &nats.Msg{Subject: "log.0.a.b", Data: make([]byte, 9<<20)}, "X")
			return err
		}},
		"too large for a record": {want: actor.ErrAppendRefused, do: func(l *Log) error {
			_, err := l.Append(short(t), entry(addr, "t2", strings.Repeat(" ", MaxRecord+1)), first)
			return err
		}},
		"another stream": {want: actor.ErrAppendRefused, do: func(l *Log) error {
			m := &nats.Msg{Subject: r.store.names.Log(0, addr), Header: nats.Header{nats.ExpectedStreamHdr: {"X"}}}
			_, err := l.publish(short(t), m, "X")
			return err
		}},
		"header too large": {want: actor.ErrAppendRefused, do: func(l *Log) error {
			e := entry(addr, "t2", "{}")
			e.Node = strings.Repeat("n", 66_000)
			_, err := l.Append(short(t), e, first)
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.do(r.log(t))
			if !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			t.Log(err)
		})
	}
	if got := scan(t, r.log(t), addr); len(got) != 1 {
		t.Errorf("%d records, want 1", len(got))
	}
	t.Run("cut", func(t *testing.T) { testLogCut(t, r) })
}

// testLogCut loses the answer, then the connection: the append is unknown at once, and was written.
func testLogCut(t *testing.T, r *rig) {
	l, wire := r.cuttable(t)
	addr := actor.Address{Type: "outcomes", Key: "cut"}
	first := mustAppend(t, l, entry(addr, "t1", "{}"), 0)
	wire.Mute()
	ctx, muted := short(t), time.Now()
	written := func() bool {
		last, err := l.Last(ctx, addr)
		return err == nil && last.Turn == "t2"
	}
	var g errgroup.Group
	g.Go(func() error {
		for {
			_, err := l.Append(ctx, entry(addr, "t2", "{}"), first)
			if ctx.Err() != nil || !errors.Is(err, actor.ErrAppendUnknown) || errors.Is(err, nats.ErrDisconnected) || written() {
				return err
			}
		}
	})
	for !written() {
		if ctx.Err() != nil {
			t.Fatal("it is not written")
		}
	}
	wire.Cut()
	err := g.Wait()
	// An append that is without answer for long is given up before the cut.
	if told := errors.Is(err, nats.ErrDisconnected); !errors.Is(err, actor.ErrAppendUnknown) || !told && time.Since(muted) < appendPatience {
		t.Errorf("got %v, want to be told of the cut", err)
	}
	if _, err := l.Append(short(t), entry(addr, "t3", "{}"), first+1); !errors.Is(err, actor.ErrAppendRefused) {
		t.Errorf("while cut: %v", err)
	}
	wire.Mend()
	reconnected(t, l.conn)
	last, err := l.Last(short(t), addr)
	if err != nil || last.Turn != "t2" {
		t.Fatalf("%+v %v: an append made while disconnected landed", last, err)
	}
	mustAppend(t, l, entry(addr, "t4", "{}"), last.Seq)
}

// TestLog_cut is testLogCut in virtual time, in which no append waits for so long that it is given up before the cut.
func TestLog_cut(t *testing.T) {
	natstest.InBubble(t, func(t *testing.T) {
		s := natstest.Bubble(t)
		began := time.Now()
		testLogCut(t, &rig{server: s, store: provision(t, natstest.Connect(t, s), Config{Partitions: 1, LogStreams: 1})})
		if took := time.Since(began); took >= appendPatience {
			t.Errorf("took %v: the append may have been given up", took)
		}
	})
}

func reconnected(t *testing.T, nc *nats.Conn) {
	t.Helper()
	ch := nc.StatusChanged(nats.CONNECTED)
	defer nc.RemoveStatusListener(ch)
	if nc.IsConnected() {
		return
	}
	select {
	case <-ch:
	case <-time.After(guard):
		t.Fatal("does not reconnect")
	}
}

// testLogContested lets writers race: each sequence has one winner, and the others are told.
func testLogContested(t *testing.T, r *rig) {
	addr := actor.Address{Type: "contested", Key: "x"}
	const writers, rounds = 4, 10
	var (
		mu   sync.Mutex
		wins = map[string]uint64{}
		g    errgroup.Group
	)
	for w := range writers {
		l, ctx := r.log(t), short(t)
		g.Go(func() error {
			for n := range rounds {
				turn := fmt.Sprintf("w%d-%d", w, n)
				for won, doubt := false, false; !won; {
					var expected uint64
					last, err := l.Last(ctx, addr)
					if err == nil {
						expected = last.Seq
					} else if !errors.Is(err, actor.ErrNoRecord) {
						return err
					}
					seq, err := l.Append(ctx, entry(addr, turn, "{}"), expected)
					unknown := errors.Is(err, actor.ErrAppendUnknown)
					if err != nil && !unknown && !errors.Is(err, actor.ErrAppendConflict) && !errors.Is(err, actor.ErrAppendRefused) {
						return err
					}
					won, doubt = err == nil, doubt || unknown
					if !won && doubt { // it may have been written without an answer
						if seq, won, err = landed(ctx, l, addr, turn); err != nil {
							return err
						}
					}
					if won {
						mu.Lock()
						wins[turn] = seq
						mu.Unlock()
					}
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	got := map[string]uint64{}
	for _, e := range scan(t, r.log(t), addr) {
		got[e.Turn] = e.Seq
	}
	if diff := cmp.Diff(got, wins); diff != "" || len(wins) != writers*rounds {
		t.Errorf("%d wins (-log +told):\n%s", len(wins), diff)
	}
}

// landed looks for the record of a turn that was appended without an answer.
func landed(ctx context.Context, l *Log, addr actor.Address, turn string) (seq uint64, ok bool, err error) {
	for e, err := range l.Scan(ctx, addr) {
		if err != nil {
			return 0, false, err
		}
		if e.Turn == turn {
			return e.Seq, true, nil
		}
	}
	return 0, false, nil
}

func testLogForeign(t *testing.T, r *rig) {
	l, ctx := r.log(t), short(t)
	addr := actor.Address{Type: "foreign", Key: "x"}
	subject := r.store.names.Log(r.store.Partition(addr), addr)
	own := mustAppend(t, l, entry(addr, "t1", "{}"), 0)
	for name, h := range map[string]nats.Header{
		"no header":    nil,
		"no epoch":     {HeaderTurn: {"t"}},
		"no turn":      {HeaderEpoch: {"1"}},
		"bad epoch":    {HeaderTurn: {"t"}, HeaderEpoch: {"-1"}},
		"long turn":    {HeaderTurn: {strings.Repeat("t", 65)}, HeaderEpoch: {"1"}},
		"bad page":     {HeaderTurn: {"t"}, HeaderEpoch: {"1"}, HeaderPage: {"1,x"}},
		"page unequal": {HeaderTurn: {"t"}, HeaderEpoch: {"1"}, HeaderPage: {"3,2"}},
		"from future":  {HeaderTurn: {"t"}, HeaderEpoch: {"1"}, HeaderPrev: {"99999999"}},
		"no manifest":  {HeaderTurn: {"t"}, HeaderEpoch: {"1"}, HeaderBlobs: {"2"}},
	} {
		if _, err := r.store.js.PublishMsg(ctx, &nats.Msg{Subject: subject, Header: h, Data: []byte("hello")}); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		last, err := l.Last(ctx, addr)
		if err != nil || !last.Foreign || last.Turn != "" || last.Body != nil || last.Seq <= own {
			t.Errorf("%s: %+v, %v", name, last, err)
		}
	}
	if got := scan(t, l, addr); len(got) != 10 || got[0].Foreign || !got[9].Foreign {
		t.Errorf("scan gives %d", len(got))
	}
	last, err := l.Last(ctx, addr)
	if err != nil {
		t.Fatal(err)
	}
	mustAppend(t, l, entry(addr, "t2", "{}"), last.Seq)
}

func testLogTail(t *testing.T, r *rig) {
	l, ctx := r.log(t), short(t)
	var (
		floors = map[int]uint64{}
		want   = map[actor.Address][]string{}
	)
	for p := range r.store.Partitions() {
		end, err := l.End(ctx, p)
		if err != nil {
			t.Fatal(err)
		}
		floors[p] = end
	}
	for i := range 24 {
		addr := actor.Address{Type: "tail", Key: fmt.Sprint(i)}
		seq := mustAppend(t, l, entry(addr, "t1", "{}"), 0)
		mustAppend(t, l, entry(addr, "t2", "{}"), seq)
		want[addr] = []string{"t1", "t2"}
	}
	stranger := actor.Address{Type: "tail", Key: "0"}
	wrong := (r.store.Partition(stranger) + 1) % r.store.Partitions()
	for _, subject := range []string{r.store.names.Log(wrong, stranger), strings.Replace(r.store.names.LogAll(0), "*.*", "Bad.%zz", 1)} {
		if _, err := r.store.js.Publish(ctx, subject, nil); err != nil {
			t.Fatal(err)
		}
	}
	tail := func(floors map[int]uint64) map[actor.Address][]string {
		got := map[actor.Address][]string{}
		for e, err := range l.Tail(ctx, floors) {
			if err != nil {
				t.Fatal(err)
			}
			if e.Body != nil {
				t.Error("an entry of the tail has a body")
			}
			if e.Address.Type == "tail" {
				got[e.Address] = append(got[e.Address], e.Turn)
			}
		}
		return got
	}
	if diff := cmp.Diff(tail(floors), want); diff != "" {
		t.Errorf("tail (-got +want):\n%s", diff)
	}
	p := r.store.Partition(stranger)
	few := map[actor.Address][]string{}
	for addr, turns := range want {
		if r.store.Partition(addr) == p {
			few[addr] = turns
		}
	}
	if diff := cmp.Diff(tail(map[int]uint64{p: floors[p]}), few); diff != "" {
		t.Errorf("tail of one partition (-got +want):\n%s", diff)
	}
	for p := range floors {
		floors[p] = 1 << 40
	}
	if got := tail(floors); len(got) != 0 {
		t.Errorf("tail above the end gives %v", got)
	}
	for _, err := range l.Tail(ctx, map[int]uint64{p: 0}) {
		if err != nil {
			t.Error(err)
		}
		break // must not hang or panic
	}
}

func testLogBlobs(t *testing.T, r *rig) {
	l, ctx := r.log(t), short(t)
	addr := actor.Address{Type: "blobs", Key: "x"}
	var last uint64
	left := 0 // appends that were in vain, whose parts may be there still
	for _, size := range []int{l.store.maxBody(), l.store.maxBody() + 1, 3 * l.store.maxBody()} {
		body := bytes.Repeat([]byte("x"), size)
		copy(body, `{"v":1,"run":"blobs/x","incarnation":"i","epoch":3,"events":[{"type":"a"}],"state":"`)
		copy(body[size-2:], `"}`)
		e := entry(addr, fmt.Sprint(size), string(body))
		var failed int
		if last, failed = mustAppendTries(t, l, e, last); size > l.store.maxBody() {
			left += failed
		}
		got, err := l.Last(ctx, addr)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Body, body) || got.Turn != e.Turn {
			t.Errorf("a record of %d bytes comes back with %d", size, len(got.Body))
		}
	}
	raw, err := r.store.get(ctx, r.store.LogStreamOf(r.store.Partition(addr)), getRequest{Seq: last})
	if err != nil {
		t.Fatal(err)
	}
	m, err := parseManifest(raw.Data)
	if err != nil || len(m.Blobs) != 3 || m.Run != "blobs/x" || m.Epoch != 3 || !bytes.Contains(raw.Data, []byte(`"events":[]`)) {
		t.Errorf("manifest %s: %v", raw.Data, err)
	}
	if got := scan(t, l, addr); len(got) != 3 {
		t.Errorf("scan gives %d", len(got))
	}
	large := string(bytes.Repeat([]byte(" "), 2*l.store.maxBody()))
	late := func() error {
		_, err := l.Append(ctx, entry(addr, "late", `{"v":1,"incarnation":"i"}`+large), 1)
		return err
	}
	err = late()
	for ; errors.Is(err, actor.ErrAppendUnknown) && ctx.Err() == nil; err = late() { // without an answer in time
		left++
	}
	if !errors.Is(err, actor.ErrAppendConflict) {
		t.Errorf("an append after another record: %v", err)
	}
	attempts, err := l.Attempts(ctx, r.store.Partition(addr), addr)
	want := 2
	if l.replicated {
		want++ // the answer to the third is no proof
	}
	if n := len(attempts[addr]); err != nil || n < want || n > want+left {
		t.Errorf("parts of %v are left, %v; want those of %d appends, and up to %d more", attempts, err, want, left)
	}
	blobs, err := r.store.js.Stream(ctx, r.store.names.BlobsStream())
	if err != nil {
		t.Fatal(err)
	}
	if err := blobs.DeleteMsg(ctx, m.Blobs[1]); err != nil {
		t.Fatal(err)
	}
	if e, err := l.Last(ctx, addr); err == nil || errors.Is(err, actor.ErrNoRecord) {
		t.Errorf("with a part missing: %+v %v", e, err)
	}
}

func testLogWatch(t *testing.T, r *rig) {
	mine, other := r.log(t), r.log(t)
	addr := actor.Address{Type: "watch", Key: "x"}
	seen := make(chan actor.Address, 1000)
	stop, err := mine.WatchAppends(short(t), r.store.Partition(addr), func(a actor.Address) {
		if a.Type == "watch" {
			seen <- a
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	seq := mustAppend(t, mine, entry(addr, "t1", "{}"), 0)
	_, failed := mustAppendTries(t, other, entry(addr, "t2", "{}"), seq)
	select {
	case got := <-seen:
		if got != addr {
			t.Errorf("saw %v", got)
		}
	case <-time.After(guard):
		t.Error("saw nothing")
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if len(seen) > failed { // each of the other's appends is seen, also one in vain
		t.Error("saw its own append")
	}
}
