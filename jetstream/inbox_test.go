package jetstream

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/nats-io/nats.go"
	"golang.org/x/sync/errgroup"

	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/internal/natstest"
)

var errEnough = errors.New("enough")

// collect follows the inbox until n messages of the type have come.
func collect(ctx context.Context, b *Inbox, from uint64, typ string, n int) ([]*actor.Message, error) {
	var got []*actor.Message
	err := b.Follow(ctx, from, func(m *actor.Message) error {
		if m.Type == typ {
			got = append(got, m)
		}
		if len(got) == n {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return got, err
}

func testInbox(t *testing.T, r *rig) {
	b, ctx := r.store.Inbox(), short(t)
	before, err := b.Bounds(ctx)
	if err != nil {
		t.Fatal(err)
	}
	addr := actor.Address{Type: "inbox", Key: "a.b"}
	h := nats.Header{HeaderCallID: {"c1"}, HeaderTimeout: {"5s"}, HeaderAfter: {"x"}}
	ack, err := r.store.js.PublishMsg(ctx, &nats.Msg{Subject: r.store.names.Hook(addr, "add"), Header: h, Data: []byte("{}")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.store.js.Publish(ctx, "hook.inbox.%2e.add", nil); err != nil { // not canonical: the host answers it
		t.Fatal(err)
	}
	got, err := collect(ctx, b, before.Last+1, "inbox", 2)
	if err != nil {
		t.Fatal(err)
	}
	want := []*actor.Message{
		{
			Seq: ack.Sequence, Partition: r.store.Partition(addr), Type: "inbox", Key: "a%2Eb", Hook: "add", Payload: []byte("{}"),
			Header: actor.CallHeader{CallID: "c1", Timeout: 5 * time.Second, Problem: got[0].Header.Problem},
		},
		{Seq: got[1].Seq, Partition: got[1].Partition, Type: "inbox", Key: "%2e", Hook: "add"},
	}
	if diff := cmp.Diff(got, want, cmpopts.IgnoreFields(actor.Message{}, "Time"), cmpopts.EquateEmpty()); diff != "" || got[0].Header.Problem == "" {
		t.Errorf("(-got +want):\n%s", diff)
	}
	after, err := b.Bounds(ctx)
	if err != nil || after.Last < got[1].Seq || after.Incarnation != before.Incarnation || after.Incarnation == "" {
		t.Errorf("bounds %+v, before %+v, %v", after, before, err)
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if err := b.Follow(cancelled, 1, func(*actor.Message) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("follow after cancel: %v", err)
	}
}

// testInboxTrim takes what other tests may still read: it runs alone.
func testInboxTrim(t *testing.T, r *rig) {
	b, ctx := r.store.Inbox(), short(t)
	for range 3 {
		if _, err := r.store.js.Publish(ctx, "hook.trim.b.c", nil); err != nil {
			t.Fatal(err)
		}
	}
	before, err := b.Bounds(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, seq := range []uint64{0, 1, before.Last, before.Last, before.Last + 1} {
		if err := b.Trim(ctx, seq); err != nil {
			t.Fatal(err)
		}
		after, err := b.Bounds(ctx)
		if want := max(seq, before.First); err != nil || after.First != want || after.Last != before.Last {
			t.Errorf("bounds after trim below %d: %+v, %v", seq, after, err)
		}
	}
}

func TestInbox_full(t *testing.T) {
	nc := natstest.Connect(t, natstest.Server(t))
	s := provision(t, nc, Config{InboxBytes: 1 << 20})
	var err error
	for range 20 {
		if _, err = s.js.Publish(t.Context(), "hook.a.b.c", make([]byte, 100_000)); err != nil {
			break
		}
	}
	if !isCode(err, errStoreFailed) || !strings.Contains(err.Error(), "maximum bytes") {
		t.Errorf("a full inbox answers %v", err)
	}
	if err := s.Inbox().Trim(t.Context(), 5); err != nil {
		t.Fatal(err)
	}
	if _, err := s.js.Publish(t.Context(), "hook.a.b.c", make([]byte, 100_000)); err != nil {
		t.Error(err)
	}
}

func TestInbox_empty(t *testing.T) {
	s := provision(t, natstest.Connect(t, natstest.Server(t)), Config{})
	b, err := s.Inbox().Bounds(t.Context())
	if err != nil || b.First != b.Last+1 {
		t.Errorf("%+v %v", b, err)
	}
}

// TestInbox_restarts kills the reader's server again and again: nothing is missed, doubled or disordered.
func TestInbox_restarts(t *testing.T) {
	dir := t.TempDir()
	srv := natstest.Start(t, natstest.Options(dir))
	wire := natstest.NewWire(srv)
	nc := natstest.Connect(t, srv, nats.InProcessServer(wire))
	s := provision(t, nc, Config{})
	ctx := short(t)
	const rounds, each = 4, 50
	got := make(chan []*actor.Message, 1)
	var g errgroup.Group
	g.Go(func() error {
		all, err := collect(ctx, s.Inbox(), 1, "a", rounds*each)
		got <- all
		return err
	})
	for round := range rounds {
		sender := newJS(t, natstest.Connect(t, srv))
		for i := range each {
			if _, err := sender.Publish(ctx, "hook.a.b.c", fmt.Append(nil, round*each+i)); err != nil {
				t.Fatal(err)
			}
		}
		if round == rounds-1 {
			break
		}
		if round%2 == 0 { // only the connection
			wire.Cut()
			wire.Mend()
			continue
		}
		natstest.Stop(srv)
		srv = natstest.Start(t, natstest.Options(dir))
		wire.Reroute(srv)
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	for i, m := range <-got {
		if string(m.Payload) != fmt.Sprint(i) {
			t.Fatalf("message %d is %s", i, m.Payload)
		}
	}
}
