package jetstream

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/internal/natstest"
	"github.com/perdure/perdure/router"
)

// twoNodes are one that takes public calls and owns nothing, and one that owns everything and takes no public calls:
// what the first counts went by any node.
type twoNodes struct {
	server     *server.Server
	any, owner *Front
	counted    int
}

func startTwo(t *testing.T, s *server.Server, host Host) *twoNodes {
	t.Helper()
	n := &twoNodes{server: s, any: startFront(t, s, "n1", echoHost("n1"), nil)}
	n.owner = NewFront(FrontConfig{Conn: natstest.Connect(t, s), Replies: natstest.Connect(t, s), Partitions: 4, Node: "n2", Host: host})
	for _, p := range allPartitions {
		if err := n.owner.Own(p); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.owner.cfg.Conn.FlushWithContext(short(t)); err != nil {
		t.Fatal(err)
	}
	return n
}

// public returns how many calls went by any node since it was asked last.
func (n *twoNodes) public() int {
	s := n.any.service
	s.mu.Lock()
	defer s.mu.Unlock()
	before := n.counted
	n.counted = s.stats.NumRequests
	return n.counted - before
}

// call calls alice, and checks by which way and after which time the outcome came.
func (n *twoNodes) call(t *testing.T, c *Client, what string, public int, took time.Duration) {
	t.Helper()
	begin := time.Now()
	if _, err := c.Call(t.Context(), alice, "add", nil, actor.CallHeader{}); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if got := n.public(); got != public {
		t.Errorf("%s: %d calls went by any node, want %d", what, got, public)
	}
	if d := time.Since(begin); d < took || d > took+time.Second {
		t.Errorf("%s: took %v, want %v", what, d, took)
	}
}

func TestClient_Direct(t *testing.T) {
	natstest.InBubble(t, func(t *testing.T) {
		s := bubbleServer(t)
		n := startTwo(t, s, echoHost("n2"))
		c := NewClient(natstest.Connect(t, s), ClientConfig{})
		n.call(t, c, "first call", 1, 0)
		n.call(t, c, "second call", 0, 0)
		if _, err := c.State(t.Context(), alice); err != nil || n.public() != 0 {
			t.Errorf("state: %v, or by any node", err)
		}
		if d, err := c.DescribeType(t.Context(), "tally"); err != nil || string(d) != `{"type":"tally"}` {
			t.Errorf("a type: got %s, %v", d, err)
		}
		o, err := c.Call(t.Context(), actor.Address{Type: actor.TypeToken, Key: "x"}, actor.HookResume, nil, actor.CallHeader{})
		if err != nil || o.Node != "n1" {
			t.Errorf("a token: got %+v, %v", o, err)
		}
		_, err = c.Call(t.Context(), actor.Address{Type: "nothing", Key: "x"}, "add", nil, actor.CallHeader{})
		wantCode(t, err, 404)
		n.public()

		p := router.Partition(alice, 4)
		n.owner.Disown(p)
		if err := n.owner.cfg.Conn.FlushWithContext(short(t)); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(200*time.Millisecond, func() { // before the call is repeated
			if err := n.owner.Own(p); err != nil {
				t.Error(err)
			}
		})
		n.call(t, c, "while nobody owns it", 1, 200*time.Millisecond)
		n.call(t, c, "afterwards", 0, 0)

		for _, wrong := range []int{3, 5, 64} { // with which alice has another owner, or none
			if router.Partition(alice, wrong) == p {
				t.Fatalf("alice is in partition %d with %d partitions, too", p, wrong)
			}
			c.direct.learn(wrong)
			n.call(t, c, "with a wrong number", 1, 0)
			n.call(t, c, "afterwards", 0, 0)
		}
	})
}

// bubbleServer has a user who may not ask owners; others are unnamed and may do everything.
func bubbleServer(t *testing.T) *server.Server {
	t.Helper()
	opts := natstest.Options(t.TempDir())
	opts.DontListen, opts.NoAuthUser = true, "node"
	opts.Users = []*server.User{
		{Username: "node", Password: "x"},
		{Username: "app", Password: "x", Permissions: &server.Permissions{Publish: &server.SubjectPermission{Deny: []string{"own.>"}}}},
	}
	return natstest.Start(t, opts)
}

func TestClient_DirectWithoutPermission(t *testing.T) {
	natstest.InBubble(t, func(t *testing.T) {
		s := bubbleServer(t)
		n := startTwo(t, s, echoHost("n2"))
		c := NewClient(natstest.Connect(t, s, nats.UserInfo("app", "x"), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})), ClientConfig{})
		n.call(t, c, "first call", 1, 0)
		for _, avoided := range []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute} {
			n.call(t, c, "call that tries", 1, firstSilence)
			n.call(t, c, "call after it", 1, 0)
			time.Sleep(avoided - time.Second)
			n.call(t, c, "call long after it", 1, 0)
			time.Sleep(2 * time.Second)
		}
	})
}

// TestClient_DirectToSlowOwner: an owner that is slow once is asked directly by the next call.
func TestClient_DirectToSlowOwner(t *testing.T) {
	natstest.InBubble(t, func(t *testing.T) {
		s := bubbleServer(t)
		host := echoHost("n2")
		answer := host.call
		var slow, lose atomic.Bool
		host.call = func(req *actor.Request) {
			switch {
			case slow.Load():
				time.AfterFunc(5*time.Second, func() { answer(req) })
			case !lose.Swap(false):
				answer(req)
			}
		}
		n := startTwo(t, s, host)
		c := NewClient(natstest.Connect(t, s), ClientConfig{})
		n.call(t, c, "first call", 1, 0)
		slow.Store(true)
		n.call(t, c, "slow call", 0, 5*time.Second)
		slow.Store(false)
		time.Sleep(5 * time.Second) // its repetition, by any node, has its outcome
		n.public()
		n.call(t, c, "next call", 0, 0)
		lose.Store(true)
		n.call(t, c, "lost call", 1, firstSilence)
		n.call(t, c, "call after it", 1, 0)
		time.Sleep(firstAvoid)
		n.call(t, c, "call a minute later", 0, 0)
	})
}
