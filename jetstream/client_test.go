package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/internal/natstest"
	"github.com/perdure/perdure/router"
)

var alice = actor.Address{Type: "tally", Key: "alice"}

func wantCode(t *testing.T, err error, want actor.Code) {
	t.Helper()
	_ = failure(t, err, want)
}

// failure is err with the code that it must have.
func failure(t *testing.T, err error, want actor.Code) *actor.Error {
	t.Helper()
	var e *actor.Error
	if !errors.As(err, &e) || e.Code != want {
		t.Fatalf("got %v, want code %d", err, want)
	}
	return e
}

func TestClient_Call(t *testing.T) {
	s := callServer(t)
	host := echoHost("n1")
	answer := host.call
	host.call = func(req *actor.Request) {
		switch req.Hook {
		case "fail":
			req.Reply(&actor.Outcome{Run: "tally/alice", Seq: 9, Err: &actor.Error{Code: actor.CodeUser, Message: "no", Source: actor.SourceObject, Details: json.RawMessage(`{"a":1}`)}})
		case "header":
			req.Reply(&actor.Outcome{Result: fmt.Appendf(nil, `{"id":%q,"timeout":%t,"wait":%q}`, req.Header.CallID, req.Header.Timeout > 30*time.Second, req.Header.Wait)})
		default:
			answer(req)
		}
	}
	startFront(t, s, "n1", host, allPartitions)
	c := NewClient(natstest.Connect(t, s), ClientConfig{})
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	ctx := t.Context()
	t.Run("outcome", func(t *testing.T) {
		got, err := c.Call(ctx, actor.Address{Type: "tally", Key: "a.b"}, "add", []byte(`1`), actor.CallHeader{})
		if err != nil {
			t.Fatal(err)
		}
		want := &actor.Outcome{Run: "tally/a.b", Seq: 5, Node: "n1", Result: json.RawMessage(`{"hook":"add","key":"a.b","payload":"1"}`)}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	})
	t.Run("failure of user code", func(t *testing.T) {
		_, err := c.Call(ctx, alice, "fail", nil, actor.CallHeader{})
		if e := failure(t, err, 422); e.Source != actor.SourceObject || string(e.Details) != `{"a":1}` {
			t.Errorf("got %+v", e)
		}
	})
	t.Run("unknown type", func(t *testing.T) {
		_, err := c.Call(ctx, actor.Address{Type: "nothing", Key: "x"}, "add", nil, actor.CallHeader{})
		wantCode(t, err, 404)
	})
	t.Run("bad address", func(t *testing.T) {
		for _, addr := range []actor.Address{{Type: "tally"}, {Type: "Tally", Key: "a"}, {Type: "tally", Key: strings.Repeat("k", 257)}, {Key: "a"}} {
			_, err := c.Call(ctx, addr, "add", nil, actor.CallHeader{})
			wantCode(t, err, 400)
			_, err = c.Send(ctx, addr, "add", nil, actor.CallHeader{})
			wantCode(t, err, 400)
		}
	})
	t.Run("bad hook or header", func(t *testing.T) {
		_, err := c.Call(ctx, alice, "a.b", nil, actor.CallHeader{})
		wantCode(t, err, 400)
		_, err = c.Send(ctx, alice, "a b", nil, actor.CallHeader{})
		wantCode(t, err, 400)
		_, err = c.Call(ctx, alice, "add", nil, actor.CallHeader{CallID: "a\r\nb"})
		wantCode(t, err, 400)
		_, err = c.Send(ctx, alice, "add", nil, actor.CallHeader{ReplyTo: "a.>"})
		wantCode(t, err, 400)
	})
	t.Run("too large", func(t *testing.T) {
		_, err := c.Call(ctx, alice, "add", make([]byte, 1<<20-64<<10+1), actor.CallHeader{})
		wantCode(t, err, 413)
		_, err = c.Send(ctx, alice, "add", make([]byte, 1<<20-64<<10+1), actor.CallHeader{})
		wantCode(t, err, 413)
	})
	t.Run("headers", func(t *testing.T) {
		o, err := c.Call(ctx, alice, "header", nil, actor.CallHeader{CallID: "c1", Timeout: time.Minute, Wait: actor.WaitEnd})
		if err != nil || string(o.Result) != `{"id":"c1","timeout":true,"wait":"end"}` {
			t.Errorf("got %+v, %v", o, err)
		}
	})
	t.Run("token", func(t *testing.T) {
		o, err := c.Call(ctx, actor.Address{Type: actor.TypeToken, Key: "a b"}, actor.HookResume, nil, actor.CallHeader{})
		if err != nil || string(o.Result) != `{"hook":"$resume","key":"a b","payload":""}` {
			t.Errorf("got %+v, %v", o, err)
		}
	})
	t.Run("reads", func(t *testing.T) {
		state, err := c.State(ctx, alice)
		if err != nil || string(state) != `{"hook":"$state","key":"alice","payload":""}` {
			t.Errorf("got %s, %v", state, err)
		}
		d, err := c.DescribeType(ctx, "tally")
		if err != nil || string(d) != `{"type":"tally"}` {
			t.Errorf("got %s, %v", d, err)
		}
	})
}

// inBubble runs a test in virtual time against a server with an INBOX stream.
func inBubble(t *testing.T, test func(t *testing.T, nc *nats.Conn, front func(Host) *Front)) {
	t.Helper()
	natstest.InBubble(t, func(t *testing.T) {
		s := natstest.Bubble(t)
		test(t, natstest.Connect(t, s), func(h Host) *Front { return startFront(t, s, "n1", h, nil) })
	})
}

func TestClient_NobodyAnswers(t *testing.T) {
	inBubble(t, func(t *testing.T, nc *nats.Conn, _ func(Host) *Front) {
		c := NewClient(nc, ClientConfig{})
		begin := time.Now()
		_, err := c.Call(t.Context(), alice, "add", nil, actor.CallHeader{Timeout: 3 * time.Second})
		wantCode(t, err, 503)
		if took := time.Since(begin); took < 2900*time.Millisecond || took > 3100*time.Millisecond {
			t.Errorf("gave up after %v", took)
		}
		_, err = c.Send(t.Context(), alice, "add", nil, actor.CallHeader{Timeout: time.Second})
		wantCode(t, err, 503)

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = c.Call(ctx, alice, "add", nil, actor.CallHeader{})
		wantCode(t, err, 503)
		if !errors.Is(err, actor.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		nc.Close()
		_, err = c.Call(t.Context(), alice, "add", nil, actor.CallHeader{})
		wantCode(t, err, 503)
	})
}

func TestClient_RepeatsUntilThereIsAnOwner(t *testing.T) {
	inBubble(t, func(t *testing.T, nc *nats.Conn, front func(Host) *Front) {
		f := front(echoHost("n1"))
		time.AfterFunc(5*time.Second, func() { _ = f.Own(router.Partition(alice, 4)) })
		begin := time.Now()
		if _, err := NewClient(nc, ClientConfig{}).Call(t.Context(), alice, "add", nil, actor.CallHeader{}); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took < 5*time.Second || took > 7*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// silentHost loses the first calls, and says which ids it saw.
func silentHost(lose int32) (*fakeHost, func() []string) {
	var mu sync.Mutex
	var ids []string
	var seen atomic.Int32
	h := echoHost("n1")
	answer := h.call
	h.call = func(req *actor.Request) {
		mu.Lock()
		ids = append(ids, req.Header.CallID)
		mu.Unlock()
		if seen.Add(1) > lose {
			answer(req)
		}
	}
	return h, func() []string { mu.Lock(); defer mu.Unlock(); return ids }
}

func TestClient_RepeatsAfterSilence(t *testing.T) {
	inBubble(t, func(t *testing.T, nc *nats.Conn, front func(Host) *Front) {
		host, ids := silentHost(1)
		if err := front(host).Own(router.Partition(alice, 4)); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		if _, err := NewClient(nc, ClientConfig{}).Call(t.Context(), alice, "add", nil, actor.CallHeader{}); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took > 3*time.Second {
			t.Errorf("took %v", took)
		}
		if got := ids(); len(got) != 2 || got[0] != got[1] || got[0] == "" {
			t.Errorf("call ids %q", got)
		}
	})
}

func TestClient_UnknownOutcome(t *testing.T) {
	inBubble(t, func(t *testing.T, nc *nats.Conn, front func(Host) *Front) {
		host, _ := silentHost(100)
		f := front(host)
		if err := f.Own(router.Partition(alice, 4)); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(3*time.Second, func() { f.Disown(router.Partition(alice, 4)) })
		_, err := NewClient(nc, ClientConfig{}).Call(t.Context(), alice, "add", nil, actor.CallHeader{Timeout: 5 * time.Second})
		wantCode(t, err, 504) // although at the end nobody owned it

		ctx, cancel := context.WithCancelCause(t.Context())
		why := errors.New("why")
		time.AfterFunc(time.Second, func() { cancel(why) })
		if err := f.Own(router.Partition(alice, 4)); err != nil {
			t.Fatal(err)
		}
		_, err = NewClient(nc, ClientConfig{}).Call(ctx, alice, "add", nil, actor.CallHeader{})
		if !errors.Is(err, actor.ErrTimeout) || !errors.Is(err, why) {
			t.Errorf("got %v", err)
		}
	})
}

// A call that an owner has received and given away with its partition is not one with which nothing was done.
func TestClient_ReceivedThenMoved(t *testing.T) {
	inBubble(t, func(t *testing.T, nc *nats.Conn, front func(Host) *Front) {
		host := echoHost("n1")
		f := front(host)
		p := router.Partition(alice, 4)
		host.call = func(req *actor.Request) {
			f.Disown(p)
			req.Reply(&actor.Outcome{Err: actor.Errorf(actor.CodeUnavailable, "not the owner any more").Doubtful()})
		}
		if err := f.Own(p); err != nil {
			t.Fatal(err)
		}
		_, err := NewClient(nc, ClientConfig{}).Call(t.Context(), alice, "add", nil, actor.CallHeader{Timeout: 3 * time.Second})
		wantCode(t, err, 504)
	})
}

func TestClient_RepeatsAfterLostConnection(t *testing.T) {
	inBubble(t, func(t *testing.T, nc *nats.Conn, front func(Host) *Front) {
		host, ids := silentHost(1)
		if err := front(host).Own(router.Partition(alice, 4)); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(500*time.Millisecond, func() { _ = nc.ForceReconnect() })
		begin := time.Now()
		if _, err := NewClient(nc, ClientConfig{}).Call(t.Context(), alice, "add", nil, actor.CallHeader{}); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took > time.Second {
			t.Errorf("took %v", took)
		}
		if got := ids(); len(got) != 2 || got[0] != got[1] {
			t.Errorf("call ids %q", got)
		}
	})
}

// TestClient_Send is in virtual time: a send whose answer takes a second is repeated, and stored twice.
func TestClient_Send(t *testing.T) {
	natstest.InBubble(t, func(t *testing.T) {
		s := natstest.Bubble(t)
		nc := natstest.Connect(t, s)
		js, err := jetstream.New(nc)
		if err != nil {
			t.Fatal(err)
		}
		ctx := t.Context()
		stream, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "PERDURE_INBOX", Subjects: []string{"hook.*.*.*"}, MaxMsgs: 3, Discard: jetstream.DiscardNew})
		if err != nil {
			t.Fatal(err)
		}
		var after atomic.Uint64
		host := echoHost("n1")
		answer := host.call
		host.call = func(req *actor.Request) { after.Store(req.Header.After); answer(req) }
		startFront(t, s, "n1", host, allPartitions)
		c := NewClient(nc, ClientConfig{})

		for want := range uint64(2) {
			seq, err := c.Send(ctx, alice, "add", []byte(`1`), actor.CallHeader{})
			if err != nil || seq != want+1 {
				t.Fatalf("got %d, %v, want %d", seq, err, want+1)
			}
		}
		m, err := stream.GetMsg(ctx, 2)
		if err != nil {
			t.Fatal(err)
		}
		if m.Subject != "hook.tally.alice.add" || m.Header.Get(HeaderCallID) == "" || m.Header.Get(nats.MsgIdHdr) != "" {
			t.Errorf("stored %s %v", m.Subject, m.Header)
		}
		if _, err := c.Call(ctx, actor.Address{Type: "tally", Key: "bob"}, "add", nil, actor.CallHeader{}); err != nil || after.Load() != 0 {
			t.Errorf("a call to another object says after %d, %v", after.Load(), err)
		}
		if _, err := c.Call(ctx, alice, "add", nil, actor.CallHeader{}); err != nil || after.Load() != 2 {
			t.Errorf("the call that follows says after %d, %v", after.Load(), err)
		}
		if _, err := c.Call(ctx, alice, "add", nil, actor.CallHeader{}); err != nil || after.Load() != 0 {
			t.Errorf("a second call says after %d, %v", after.Load(), err)
		}
		if _, err := c.Call(ctx, alice, "add", nil, actor.CallHeader{After: 77}); err != nil || after.Load() != 77 {
			t.Errorf("a given After becomes %d, %v", after.Load(), err)
		}
		if _, err := c.Send(ctx, alice, "add", nil, actor.CallHeader{}); err != nil {
			t.Fatal(err)
		}
		_, err = c.Send(ctx, alice, "add", nil, actor.CallHeader{})
		if e := failure(t, err, 429); string(e.Details) != `{"limit":"inbox"}` {
			t.Errorf("got %+v", e)
		}
	})
}

func TestClient_SendsInOrder(t *testing.T) {
	inBubble(t, func(t *testing.T, nc *nats.Conn, _ func(Host) *Front) {
		// A slow inbox that answers what it wants: the first send is acknowledged only when it is repeated.
		var mu sync.Mutex
		var got []string
		if _, err := nc.Subscribe("hook.*.*.*", func(m *nats.Msg) {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, m.Subject+" "+string(m.Data))
			if len(got) > 1 {
				_ = m.Respond(fmt.Appendf(nil, `{"stream":"X","seq":%d}`, len(got)))
			}
		}); err != nil {
			t.Fatal(err)
		}
		c := NewClient(nc, ClientConfig{})
		var wg sync.WaitGroup
		send := func(addr actor.Address, payload string) {
			wg.Go(func() {
				if _, err := c.Send(t.Context(), addr, "add", []byte(payload), actor.CallHeader{}); err != nil {
					t.Error(err)
				}
			})
			time.Sleep(time.Millisecond) // virtual
		}
		send(alice, "1")
		send(alice, "2")
		send(actor.Address{Type: "tally", Key: "bob"}, "3")
		wg.Wait()
		want := []string{"hook.tally.alice.add 1", "hook.tally.bob.add 3", "hook.tally.alice.add 1", "hook.tally.alice.add 2"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		if len(c.lanes.by) != 0 {
			t.Errorf("%d lanes are left", len(c.lanes.by))
		}
	})
}

func TestDecodePubAck(t *testing.T) {
	for body, want := range map[string]actor.Code{
		`{"stream":"X","seq":4}`: 0,
		`{"error":{"code":503,"err_code":10077,"description":"maximum bytes exceeded"}}`:                   429,
		`{"error":{"code":503,"err_code":10077,"description":"no space left on device"}}`:                  503,
		`{"error":{"code":503,"err_code":10008,"description":"JetStream system temporarily unavailable"}}`: 503,
		`{"error":{"code":429,"err_code":10167,"description":"too many requests"}}`:                        503,
		`{"error":{"code":400,"err_code":10054,"description":"message size exceeds maximum allowed"}}`:     413,
		`{"error":{"code":400,"err_code":10060,"description":"expected stream does not match"}}`:           400,
	} {
		seq, again, err := decodePubAck([]byte(body))
		if want == 0 {
			if seq != 4 || err != nil {
				t.Errorf("%s: got %d, %v", body, seq, err)
			}
			continue
		}
		wantCode(t, err, want)
		if (again != nil) != (want == 503) {
			t.Errorf("%s: again %v", body, again)
		}
	}
}

func FuzzDecodePubAck(f *testing.F) {
	f.Add([]byte(`{"stream":"X","seq":4}`))
	f.Add([]byte(`{"error":null}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if seq, _, err := decodePubAck(body); (seq == 0) == (err == nil) {
			t.Errorf("got %d with %v", seq, err)
		}
	})
}

func TestAckedSends(t *testing.T) {
	var a ackedSends
	for i := range 3 * ackedPage {
		a.put(actor.Address{Type: "t", Key: fmt.Sprint(i)}, uint64(i+1))
	}
	if n := len(a.now) + len(a.old); n > 2*ackedPage {
		t.Errorf("remembers %d", n)
	}
	last := actor.Address{Type: "t", Key: fmt.Sprint(3*ackedPage - 1)}
	if got := a.last(last); got != 3*ackedPage {
		t.Errorf("got %d", got)
	}
	a.forget(last, 5)
	if got := a.last(last); got != 3*ackedPage {
		t.Errorf("forgot a later send: %d", got)
	}
	a.forget(last, 3*ackedPage)
	if got := a.last(last); got != 0 {
		t.Errorf("got %d", got)
	}
}
