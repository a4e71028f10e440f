package jetstream

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	js "github.com/nats-io/nats.go/jetstream"

	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/internal/natstest"
	"github.com/perdure/perdure/internal/race"
)

// anything is a schema that takes what it is given.
type anything struct{}

func (anything) For(reflect.Type) (actor.Schema, error) { return anything{}, nil }
func (anything) JSON() json.RawMessage                  { return json.RawMessage("true") }
func (anything) Normalize(data []byte) ([]byte, error)  { return data, nil }

// scroll is a state of several parts.
type scroll struct {
	Text string
	N    int
}

func scrolls(size int) *actor.Object[scroll] {
	o := actor.NewObject[scroll]("scroll")
	actor.NewMethod(o, "write", func(s *scroll, _ actor.Context, n int) (int, error) {
		s.Text, s.N = strings.Repeat(fmt.Sprint(n%10), size), s.N+1
		return s.N, nil
	})
	actor.NewMethod(o, "shrink", func(s *scroll, _ actor.Context, _ actor.None) (int, error) { s.Text = ""; return s.N, nil })
	return o
}

// mortal is a node that dies at a stage of its first append in parts: nothing that it does after that reaches a server.
type mortal struct {
	js.JetStream // publishes the parts
	*Log
	nc, appends *nats.Conn
	host        *actor.Host
	stage       string // "" lives
	part        int    // of the append
	once        sync.Once
	died        chan struct{}
	record      *nats.Msg // that was on its way when the node died
}

var errDead = errors.New("the node is dead")

func (m *mortal) die() {
	m.once.Do(func() {
		m.nc.Close()
		m.appends.Close()
		close(m.died)
	})
}

// Publish stores a part.
func (m *mortal) Publish(ctx context.Context, subject string, data []byte, opts ...js.PublishOpt) (*js.PubAck, error) {
	at := fmt.Sprint("part ", m.part)
	m.part++
	if m.stage == "before "+at {
		m.die()
		return nil, errDead
	}
	ack, err := m.JetStream.Publish(ctx, subject, data, opts...)
	switch m.stage {
	case at + " without answer":
		m.die()
		return nil, errDead
	case "after " + at:
		m.die()
	}
	return ack, err
}

// Append appends a record.
func (m *mortal) Append(ctx context.Context, e *actor.Entry, expected uint64) (uint64, error) {
	if m.stage == "record on its way" && len(e.Body) > m.store.maxBody() {
		manifest, err := m.split(ctx, 0, e, expected)
		if err != nil {
			return 0, err
		}
		m.record = &nats.Msg{Subject: m.names.Log(0, e.Address), Header: formatEntry(e)}
		m.record.Data, err = json.Marshal(manifest)
		m.record.Header.Set(HeaderBlobs, "3")
		expect(m.record.Header, m.names.LogStream(0), expected)
		m.die()
		return 0, errors.Join(actor.ErrAppendUnknown, err)
	}
	seq, err := m.Log.Append(ctx, e, expected)
	if len(e.Body) > m.store.maxBody() {
		switch m.stage {
		case "record without answer":
			m.die()
			return 0, actor.ErrAppendUnknown
		case "record without reply":
			m.die()
		}
	}
	return seq, err
}

// bear starts a node that owns everything.
func (r *rig) bear(t *testing.T, epoch uint64, stage string) *mortal {
	t.Helper()
	m := &mortal{stage: stage, died: make(chan struct{}), nc: natstest.Connect(t, r.server), appends: natstest.Connect(t, r.server, AppendOptions()...)}
	store := provision(t, m.nc, Config{Partitions: 1, LogStreams: 1})
	m.JetStream, store.js = store.js, m
	m.Log = store.Log(m.appends)
	host, err := actor.NewHost(actor.Config{
		Node: fmt.Sprint("n", epoch), Log: m, Inbox: store.Inbox(), Timers: store.Timers(), Tokens: store.Tokens(),
		Outlet: store.Outlet(m.nc, ReplySubjects{}), Outputs: store.Outputs(m.appends), Schemas: anything{},
		Partition: store.Partition, LogStream: store.LogStream,
		Confirm: func(context.Context, int) (uint64, error) { return epoch, nil },
	}, scrolls(cmp.Or(r.scroll, 500<<10)))
	if err != nil {
		t.Fatal(err)
	}
	m.host = host
	host.SetTrusted(true)
	t.Cleanup(host.Close)
	if err := host.Own(short(t), []actor.Claim{{Partition: 0, Epoch: epoch, Unclean: true}}); err != nil {
		t.Fatal(err)
	}
	return m
}

// call returns the outcome; nil when the node dies.
func (m *mortal) call(t *testing.T, addr actor.Address, hook, id string) *actor.Outcome {
	t.Helper()
	out := make(chan *actor.Outcome, 1)
	m.host.Call(&actor.Request{
		Address: addr, Hook: hook, Header: actor.CallHeader{CallID: id}, Payload: []byte("3"), Received: time.Now(),
		Reply: func(o *actor.Outcome) { out <- o },
	})
	select {
	case <-m.died:
		return nil
	case o := <-out:
		select {
		case <-m.died:
			return nil
		default:
			return o
		}
	case <-short(t).Done():
		t.Fatalf("%s of %s is not answered", hook, addr)
		return nil
	}
}

// parts returns the parts of an object that are stored, and those that its records name.
func (r *rig) parts(t *testing.T, addr actor.Address) (stored, named []uint64) {
	t.Helper()
	each := func(stream string, fn func(*js.RawStreamMsg)) {
		s, err := r.store.js.Stream(short(t), stream)
		if err != nil {
			t.Fatal(err)
		}
		for seq := max(s.CachedInfo().State.FirstSeq, 1); seq <= s.CachedInfo().State.LastSeq; seq++ {
			m, err := s.GetMsg(short(t), seq)
			if err == nil {
				fn(m)
			} else if !errors.Is(err, js.ErrMsgNotFound) {
				t.Fatal(err)
			}
		}
	}
	each(r.store.names.BlobsStream(), func(m *js.RawStreamMsg) {
		if of, _, err := r.store.names.ParseBlob(m.Subject); err == nil && of == addr {
			stored = append(stored, m.Sequence)
		}
	})
	each(r.store.LogStreamOf(0), func(m *js.RawStreamMsg) {
		if of, err := parseManifest(m.Data); err == nil && m.Subject == r.store.names.Log(0, addr) {
			named = append(named, of.Blobs...)
		}
	})
	return stored, named
}

// onlyNamed waits until no parts are left but those that records name.
func (r *rig) onlyNamed(t *testing.T, addr actor.Address) {
	t.Helper()
	limit, look := short(t), time.NewTicker(20*time.Millisecond)
	defer look.Stop()
	for {
		stored, named := r.parts(t, addr)
		if gocmp.Equal(stored, named) {
			return
		}
		select {
		case <-look.C:
		case <-limit.Done():
			t.Fatalf("parts %v are stored, records name %v", stored, named)
		}
	}
}

// TestLog_killed kills nodes at every stage of an append in parts, one or two of them in a row, while the object is new and
// while it is not: its state is right, and the parts left are those that its records name.
func TestLog_killed(t *testing.T) {
	opts := natstest.Options(t.TempDir())
	smallMessages(opts)
	s := natstest.Start(t, opts)
	r := &rig{server: s, store: provision(t, natstest.Connect(t, s), Config{Partitions: 1, LogStreams: 1})}
	for _, stage := range stages(0, 1, 2) {
		for deaths := 1; deaths <= 2; deaths++ {
			for _, old := range []bool{false, true} {
				name := fmt.Sprintf("%s, %d deaths, old=%v", stage, deaths, old)
				t.Run(name, func(t *testing.T) { r.killed(t, name, stage, deaths, old) })
			}
		}
	}
}

// TestLog_killedAtSize is the same with the largest states, and the parts that messages of the usual size have.
func TestLog_killedAtSize(t *testing.T) {
	for _, tc := range []struct {
		mib   int
		parts []int // of which the append is stopped
		full  bool
	}{{10, []int{0, 1}, false}, {63, []int{0, 4, 8}, true}} {
		t.Run(fmt.Sprint(tc.mib, " MiB"), func(t *testing.T) {
			if race.Enabled {
				t.Skip("the race detector looks at each byte: minutes")
			}
			if tc.full && os.Getenv("FULL") == "" {
				t.Skip("takes a minute: FULL=1, or make large")
			}
			s := natstest.Server(t)
			r := &rig{server: s, store: provision(t, natstest.Connect(t, s), Config{Partitions: 1, LogStreams: 1}), scroll: tc.mib << 20}
			for _, stage := range stages(tc.parts...) {
				t.Run(stage, func(t *testing.T) { r.killed(t, stage, stage, 1, true) })
			}
		})
	}
}

// stages are those of an append whose parts are looked at.
func stages(parts ...int) []string {
	all := []string{"record without answer", "record without reply"}
	for _, part := range parts {
		for _, format := range []string{"before part %d", "part %d without answer", "after part %d"} {
			all = append(all, fmt.Sprintf(format, part))
		}
	}
	return all
}

// killed has nodes die at a stage of an append to an object, which is old or new.
func (r *rig) killed(t *testing.T, key, stage string, deaths int, old bool) {
	t.Helper()
	addr := actor.Address{Type: "scroll", Key: key}
	next := func(stage string) *mortal {
		t.Helper()
		r.epoch++
		return r.bear(t, r.epoch, stage)
	}
	want := 1
	if old {
		m := next("")
		if o := m.call(t, addr, "write", "first"); o == nil || o.Err != nil {
			t.Fatalf("first: %v", o)
		}
		m.host.Close()
		want++
	}
	for range deaths {
		m := next(stage)
		if o := m.call(t, addr, "write", "second"); o != nil && (o.Err != nil || string(o.Result) != fmt.Sprint(want)) {
			t.Fatalf("it lives and answers %s, %v", o.Result, o.Err)
		}
		m.host.Close()
	}
	m := next("")
	if o := m.call(t, addr, "write", "second"); o == nil || o.Err != nil || string(o.Result) != fmt.Sprint(want) {
		t.Fatalf("the call is answered %+v, want %d", o, want)
	}
	r.onlyNamed(t, addr)
	state := m.call(t, addr, actor.HookState, "")
	var got scroll
	if state == nil || json.Unmarshal(state.Result, &got) != nil && state.Err == nil || state.Err == nil && got.N != want {
		t.Errorf("the state is %+v", state)
	}
	if o := m.call(t, addr, "shrink", "third"); o == nil || string(o.Result) != fmt.Sprint(want) {
		t.Errorf("the next call is answered %+v", o)
	}
	m.host.Close()
}

// TestLog_lateRecord has the record of a dead node arrive after its parts were seen by the next owner: before that has written
// anything, when it is in the log with its parts, and after that, when neither is.
func TestLog_lateRecord(t *testing.T) {
	opts := natstest.Options(t.TempDir())
	smallMessages(opts)
	s := natstest.Start(t, opts)
	r := &rig{server: s, store: provision(t, natstest.Connect(t, s), Config{Partitions: 1, LogStreams: 1})}
	for i, first := range []bool{true, false} {
		t.Run(fmt.Sprintf("first=%v", first), func(t *testing.T) {
			addr := actor.Address{Type: "scroll", Key: fmt.Sprint(i)}
			old := r.bear(t, uint64(10*i+1), "record on its way")
			if o := old.call(t, addr, "write", "w"); o != nil {
				t.Fatalf("it lives and answers %+v", o)
			}
			old.host.Close()
			stored, named := r.parts(t, addr)
			if len(stored) != 3 || len(named) != 0 {
				t.Fatalf("parts %v, named %v", stored, named)
			}
			m := r.bear(t, uint64(10*i+2), "")
			land := func() error {
				_, err := r.store.js.PublishMsg(short(t), old.record)
				return err
			}
			if first {
				if err := land(); err != nil {
					t.Fatal(err)
				}
			}
			if o := m.call(t, addr, "write", "w"); o == nil || string(o.Result) != "1" {
				t.Fatalf("the call is answered %+v", o)
			}
			if !first {
				if err := land(); err == nil {
					t.Error("the late record was stored")
				}
			}
			r.onlyNamed(t, addr)
			if now, _ := r.parts(t, addr); gocmp.Equal(now, stored) != first {
				t.Errorf("parts %v were stored, and now %v", stored, now)
			}
			if o := m.call(t, addr, "write", "x"); o == nil || string(o.Result) != "2" {
				t.Errorf("the next call is answered %+v", o)
			}
			r.onlyNamed(t, addr)
		})
	}
}

// TestLog_staleConflict has a server that lags answer an append in parts with a conflict, while the one that leads writes the
// record: on replicated streams both may believe to lead. The record keeps its parts.
func TestLog_staleConflict(t *testing.T) {
	opts := natstest.Options(t.TempDir())
	smallMessages(opts)
	s := natstest.Start(t, opts)
	r := &rig{server: s, store: provision(t, natstest.Connect(t, s), Config{Partitions: 1, LogStreams: 1})}
	r.store.replicated = true
	stream, err := r.store.js.Stream(short(t), r.store.LogStreamOf(0))
	if err != nil {
		t.Fatal(err)
	}
	cfg := stream.CachedInfo().Config
	cfg.NoAck = true // the answer of the leader is late
	if _, err := r.store.js.UpdateStream(short(t), cfg); err != nil {
		t.Fatal(err)
	}
	lags := natstest.Connect(t, s)
	if _, err := lags.Subscribe(r.store.names.LogAll(0), func(m *nats.Msg) {
		_ = m.Respond(fmt.Appendf(nil, `{"error":{"code":400,"err_code":%d,"description":"wrong last sequence: 0"},"stream":%q,"seq":0}`,
			js.JSErrCodeStreamWrongLastSequence, cfg.Name))
	}); err != nil {
		t.Fatal(err)
	}
	if err := lags.Flush(); err != nil {
		t.Fatal(err)
	}
	l, addr := r.log(t), actor.Address{Type: "scroll", Key: "stale"}
	e := entry(addr, "t1", `{"v":1,"run":"scroll/stale","incarnation":"i","epoch":3,"events":[],"state":"`+strings.Repeat("x", 2*l.store.maxBody())+`"}`)
	if _, err := l.Append(short(t), e, 0); !errors.Is(err, actor.ErrAppendConflict) {
		t.Fatalf("the append ends with %v", err)
	}
	limit, look := short(t), time.NewTicker(20*time.Millisecond)
	defer look.Stop()
	for {
		got, err := l.Last(short(t), addr)
		if err == nil {
			if string(got.Body) != string(e.Body) {
				t.Error("it comes back with another body")
			}
			return
		}
		if !errors.Is(err, actor.ErrNoRecord) {
			t.Fatalf("the record that was written cannot be read: %v", err)
		}
		select {
		case <-look.C:
		case <-limit.Done():
			t.Fatal("it is never written")
		}
	}
}
