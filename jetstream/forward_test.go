package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/internal/natstest"
	"github.com/perdure/perdure/router"
)

// TestFront_Elsewhere has a host give up an object while it has a call of it: the caller gets the next owner's outcome.
func TestFront_Elsewhere(t *testing.T) {
	s := callServer(t)
	p := router.Partition(alice, 4)
	ids := make(chan string, 2)
	var first *Front
	leaving, next := echoHost("n1"), echoHost("n2")
	leaving.call = func(req *actor.Request) {
		ids <- req.Header.CallID
		first.Disown(p)
		req.Reply(&actor.Outcome{Err: actor.Errorf(actor.CodeUnavailable, "this node no longer owns it")})
	}
	answer := next.call
	next.call = func(req *actor.Request) { ids <- req.Header.CallID; answer(req) }
	first = startFront(t, s, "n1", leaving, []int{p})
	owner := NewFront(FrontConfig{Conn: natstest.Connect(t, s), Replies: natstest.Connect(t, s), Partitions: 4, Node: "n2", Host: next})
	time.AfterFunc(50*time.Millisecond, func() {
		if err := owner.Own(p); err != nil {
			t.Error(err)
		}
	})
	m := request(t, natstest.Connect(t, s), "call.tally.alice.add", `1`)
	if m.Header.Get(HeaderErrorCode) != "" || m.Header.Get(HeaderNode) != "n2" {
		t.Errorf("got %s %v", m.Data, m.Header)
	}
	if id := <-ids; id == "" || id != <-ids {
		t.Error("the call id changes on the way, or there is none")
	}
}

// TestFront_Leaves ends a front while a call that it forwarded is under way: it stays until that has its outcome. In virtual time: it does not
// stay longer than two seconds.
func TestFront_Leaves(t *testing.T) {
	natstest.InBubble(t, func(t *testing.T) {
		s := natstest.Bubble(t)
		held := make(chan *actor.Request, 1)
		host := echoHost("n2")
		host.call = func(req *actor.Request) { held <- req }
		owner := NewFront(FrontConfig{Conn: natstest.Connect(t, s), Replies: natstest.Connect(t, s), Partitions: 4, Node: "n2", Host: host})
		if err := owner.Own(router.Partition(alice, 4)); err != nil {
			t.Fatal(err)
		}
		f := NewFront(FrontConfig{Conn: natstest.Connect(t, s), Replies: natstest.Connect(t, s), Partitions: 4, Node: "n1", Host: echoHost("n1")})
		ctx, leave := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- f.Run(ctx) }()
		<-f.Ready()
		nc := natstest.Connect(t, s)
		answers := make(chan *nats.Msg, 1)
		go func() {
			m, err := nc.Request("call.tally.alice.add", nil, time.Minute)
			if err != nil {
				t.Error(err)
			}
			answers <- m
		}()
		req := <-held
		leave()
		for { // until the front takes no more calls
			if _, err := nc.Request("call.nothing.x.y", nil, time.Minute); errors.Is(err, nats.ErrNoResponders) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
		}
		req.Reply(&actor.Outcome{Node: "n2", Result: json.RawMessage(`1`)})
		if m := <-answers; m == nil || string(m.Data) != "1" {
			t.Errorf("got %+v", m)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// TestFront_LeavesInTime: a call without end does not keep a front, and is answered so that it may be repeated.
func TestFront_LeavesInTime(t *testing.T) {
	natstest.InBubble(t, func(t *testing.T) {
		s := natstest.Bubble(t)
		host := echoHost("n2")
		host.call = func(*actor.Request) {}
		owner := NewFront(FrontConfig{Conn: natstest.Connect(t, s), Replies: natstest.Connect(t, s), Partitions: 4, Node: "n2", Host: host})
		if err := owner.Own(router.Partition(alice, 4)); err != nil {
			t.Fatal(err)
		}
		f := NewFront(FrontConfig{Conn: natstest.Connect(t, s), Replies: natstest.Connect(t, s), Partitions: 4, Node: "n1", Host: echoHost("n1")})
		ctx, leave := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- f.Run(ctx) }()
		<-f.Ready()
		time.AfterFunc(time.Second, leave)
		m := request(t, natstest.Connect(t, s), "call.tally.alice.add", "")
		if m.Header.Get(HeaderErrorCode) != "503" {
			t.Errorf("got %s", m.Data)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
