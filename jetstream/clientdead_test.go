package jetstream

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/internal/natstest"
)

// morgue is a store with dead letters, reached by a client that may do everything and by one that may not delete.
type morgue struct {
	store         *Store
	outlet        *Outlet
	client, timid *Client
}

func newMorgue(t *testing.T, changes ...func(*server.Options)) *morgue {
	t.Helper()
	s := natstest.Server(t, append(changes, func(o *server.Options) {
		o.Users = []*server.User{
			{Username: "all", Password: "x"},
			{Username: "timid", Password: "x", Permissions: &server.Permissions{
				Publish: &server.SubjectPermission{Deny: []string{"$JS.API.STREAM.MSG.DELETE.>"}},
			}},
		}
	})...)
	nc := natstest.Connect(t, s, nats.UserInfo("all", "x"))
	m := &morgue{store: provision(t, nc, Config{Prefix: "acme", Partitions: 4, LogStreams: 1})}
	m.outlet = m.store.Outlet(nc, ReplySubjects{})
	cfg := ClientConfig{Names: m.store.Names()}
	quiet := nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})
	m.client, m.timid = NewClient(nc, cfg), NewClient(natstest.Connect(t, s, nats.UserInfo("timid", "x"), quiet), cfg)
	return m
}

// keep stores a letter as a node does.
func (m *morgue) keep(t *testing.T, d actor.DeadLetter) {
	t.Helper()
	if d.Cause == nil {
		d.Cause = actor.Errorf(actor.CodeEnded, "the run has ended")
	}
	if err := m.outlet.DeadLetter(short(t), &d); err != nil {
		t.Fatal(err)
	}
}

// list is what the client lists, as "<seq> <run>".
func (m *morgue) list(t *testing.T, to actor.Address) (all []string) {
	t.Helper()
	for d, err := range m.client.DeadLetters(short(t), to) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, fmt.Sprint(d.Seq, " ", d.Run))
	}
	return all
}

// sent is what the inbox holds.
func (m *morgue) sent(t *testing.T, n int) []*actor.Message {
	t.Helper()
	var all []*actor.Message
	err := m.store.Inbox().Follow(short(t), 1, func(msg *actor.Message) error {
		if all = append(all, msg); len(all) == n {
			return errEnough
		}
		return nil
	})
	if !errors.Is(err, errEnough) {
		t.Fatalf("%d of %d sends: %v", len(all), n, err)
	}
	return all
}

func TestClient_DeadLetters(t *testing.T) {
	m := newMorgue(t)
	if got := m.list(t, actor.Address{}); len(got) != 0 {
		t.Errorf("none are kept: got %v", got)
	}
	sent := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	full := actor.DeadLetter{
		Run: "tally/a.b", Hook: "add", Token: "tok", CallID: "c1", Inbox: 7, Sent: sent, Payload: []byte("{\xff"), ReplyTo: "_INBOX.x", Trace: []string{"00-1-2-3"},
		Cause: actor.Errorf(actor.CodeEnded, "the run has ended"),
	}
	m.keep(t, full)
	m.keep(t, actor.DeadLetter{Run: "counter/a.b", Hook: "action", Inbox: 8})
	m.keep(t, actor.DeadLetter{Run: "tally/c", Hook: "add", Inbox: 9})
	if err := m.store.nc.Publish("acme.dead.tally.c", []byte("not a letter")); err != nil {
		t.Fatal(err)
	}
	m.keep(t, actor.DeadLetter{Run: "$token/a b", Hook: "$resume", Inbox: 11})
	m.keep(t, actor.DeadLetter{Run: "tally/a.b", Hook: "add", Inbox: 12})
	for _, tc := range []struct {
		to   actor.Address
		want string
	}{
		{actor.Address{}, "[1 tally/a.b 2 counter/a.b 3 tally/c 5 $token/a b 6 tally/a.b]"},
		{actor.Address{Type: "tally"}, "[1 tally/a.b 3 tally/c 6 tally/a.b]"},
		{actor.Address{Type: "tally", Key: "a.b"}, "[1 tally/a.b 6 tally/a.b]"},
		{actor.Address{Type: "$token", Key: "a b"}, "[5 $token/a b]"},
		{actor.Address{Type: "session"}, "[]"},
	} {
		if got := fmt.Sprint(m.list(t, tc.to)); got != tc.want {
			t.Errorf("%v: got %s, want %s", tc.to, got, tc.want)
		}
	}
	got, err := m.client.DeadLetter(short(t), 1)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(full, got.DeadLetter); diff != "" || got.Seq != 1 || time.Since(got.Kept) > time.Minute {
		t.Errorf("%d %v (-want +got)\n%s", got.Seq, got.Kept, diff)
	}
	for _, seq := range []uint64{0, 4, 99} {
		if _, err := m.client.DeadLetter(short(t), seq); !errors.Is(err, actor.ErrNotFound) {
			t.Errorf("%d: got %v, want 404", seq, err)
		}
	}
}

// TestClient_RetryDead is in virtual time: a send whose answer takes a second is repeated, and stored twice.
func TestClient_RetryDead(t *testing.T) {
	natstest.InBubble(t, func(t *testing.T) {
		m := newMorgue(t, noSockets)
		sent := time.Unix(12, 34).UTC()
		m.keep(t, actor.DeadLetter{Run: "tally/a.b", Hook: "add", CallID: "c1", Inbox: 7, Sent: sent, Payload: []byte("{\xff"), ReplyTo: "_INBOX.x", Trace: []string{"00-1-2-3"}})
		m.keep(t, actor.DeadLetter{Run: "$token/a b", Hook: "$resume", Inbox: 8, Sent: sent, Payload: []byte("1")})
		m.keep(t, actor.DeadLetter{Run: "waiter/x", Hook: "go", Token: "tok", CallID: "~token-3", Inbox: 9, Sent: sent})
		retry := func(ctx context.Context, c *Client, seq uint64) (uint64, error) {
			d, err := m.client.DeadLetter(ctx, seq)
			if err != nil {
				t.Fatal(err)
			}
			return c.RetryDead(ctx, d)
		}
		for seq := range uint64(3) {
			if inbox, err := retry(short(t), m.client, seq+1); err != nil || inbox != seq+1 {
				t.Fatalf("retry %d: %d, %v", seq+1, inbox, err)
			}
		}
		if got := m.list(t, actor.Address{}); len(got) != 0 {
			t.Errorf("still kept: %v", got)
		}
		for i, want := range []struct {
			to      string
			payload string
			header  actor.CallHeader
		}{
			{"tally a%2Eb add", "{\xff", actor.CallHeader{CallID: "c1", ReplyTo: "_INBOX.x", Trace: []string{"00-1-2-3"}}},
			{"$token a%20b $resume", "1", actor.CallHeader{CallID: "dead-8-12000000034"}},
			{"waiter x go", "", actor.CallHeader{CallID: "~token-3", Token: "tok"}},
		} {
			want.header.Timeout = MaxCallTimeout
			got := m.sent(t, 3)[i]
			if to := got.Type + " " + got.Key + " " + got.Hook; to != want.to || string(got.Payload) != want.payload {
				t.Errorf("sent %s %q, want %s %q", to, got.Payload, want.to, want.payload)
			}
			if diff := cmp.Diff(want.header, got.Header); diff != "" {
				t.Errorf("%s (-want +got)\n%s", want.to, diff)
			}
		}

		{ // cut off
			m.keep(t, actor.DeadLetter{Run: "tally/k", Hook: "add", Inbox: 10, Sent: sent})
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			inbox, err := retry(ctx, m.timid, 4) // it cannot take the letter away
			if inbox != 4 || err == nil || !strings.Contains(err.Error(), "it is sent, as 4, and still there") {
				t.Errorf("got %d, %v", inbox, err)
			}
			if got := fmt.Sprint(m.list(t, actor.Address{})); got != "[4 tally/k]" {
				t.Errorf("the letter: %s", got)
			}
			if inbox, err := retry(short(t), m.client, 4); inbox != 5 || err != nil {
				t.Errorf("again: %d, %v", inbox, err)
			}
			all := m.sent(t, 5)
			if diff := cmp.Diff(all[3].Header, all[4].Header); diff != "" || all[4].Header.CallID == "" {
				t.Errorf("the object tells the double by its call id:\n%s", diff)
			}
		}
		{ // refused
			m.keep(t, actor.DeadLetter{Run: "tally/%61", BadAddress: true, Hook: "add", Inbox: 11})
			m.keep(t, actor.DeadLetter{Run: "Tally/a", Hook: "add", Inbox: 12})
			m.keep(t, actor.DeadLetter{Run: "tally/a", Hook: "add", Inbox: 13, Payload: make([]byte, m.store.maxBody())})
			for seq, want := range map[uint64]string{
				5: "tally/%61 is no address: send it anew", 6: "types are lower case", 7: "bytes of its payload were kept: send it anew",
			} {
				if inbox, err := retry(short(t), m.client, seq); inbox != 0 || !errors.Is(err, actor.ErrInvalid) || !strings.Contains(err.Error(), want) {
					t.Errorf("%d: got %d, %v; want 400 %q", seq, inbox, err, want)
				}
			}
			if got := m.list(t, actor.Address{}); len(got) != 3 {
				t.Errorf("kept: %v", got)
			}
		}
	})
}

func TestClient_DropDead(t *testing.T) {
	m := newMorgue(t)
	m.keep(t, actor.DeadLetter{Run: "tally/a", Hook: "add", Inbox: 1})
	if err := m.client.DropDead(short(t), 1); err != nil {
		t.Error(err)
	}
	if got := m.list(t, actor.Address{}); len(got) != 0 {
		t.Errorf("kept: %v", got)
	}
	for _, seq := range []uint64{0, 1} {
		if err := m.client.DropDead(short(t), seq); !errors.Is(err, actor.ErrNotFound) {
			t.Errorf("%d, which is not there: got %v, want 404", seq, err)
		}
	}
	empty := NewClient(natstest.Connect(t, natstest.Server(t)), ClientConfig{})
	for _, err := range empty.DeadLetters(short(t), actor.Address{}) {
		if !errors.Is(err, actor.ErrUnavailable) || !strings.Contains(err.Error(), "there is no stream PERDURE_DEAD: has a node been started") {
			t.Errorf("without a store: %v", err)
		}
	}
}
