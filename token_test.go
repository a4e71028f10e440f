package perdure_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/internal/natstest"
	"github.com/perdure/perdure/jetstream"
)

// TestNode_tokensReachTheOwner: a call by token reaches any node, here also one that does not own the object.
func TestNode_tokensReachTheOwner(t *testing.T) {
	open := actor.NewHook[int, int]("open")
	gate := actor.NewWorkflow("gate", func(ctx actor.Context, _ actor.None) (actor.None, error) {
		for call, err := range open.Create(ctx, actor.Token("gate 1")).All(ctx) {
			if err != nil {
				return actor.None{}, err
			}
			call.Reply(ctx, call.Payload)
		}
		return actor.None{}, nil
	}, open)
	s := natstest.Server(t)
	a := start(t, perdure.Config{NATS: []string{s.ClientURL()}, Name: "a"}, gate)
	start(t, perdure.Config{NATS: []string{s.ClientURL()}, Name: "b"}, gate)
	nc := a.Conn()
	call := func(subject, payload string, header ...string) *nats.Msg {
		t.Helper()
		m := nats.NewMsg(subject)
		m.Data = []byte(payload)
		for i := 0; i < len(header); i += 2 {
			m.Header.Set(header[i], header[i+1])
		}
		for {
			answer, err := nc.RequestMsg(m, 10*time.Second)
			switch {
			case errors.Is(err, nats.ErrNoResponders), err == nil && answer.Header.Get(jetstream.HeaderErrorCode) == "503" && strings.HasPrefix(subject, "own."):
				continue // the partition moves
			case err != nil:
				t.Fatalf("%s: %v", subject, err)
			}
			return answer
		}
	}
	call("call.gate.x.$start", "null")
	const calls = 40 // each reaches either node
	owner := func() string { return call("call.gate.x.$describe", "").Header.Get(jetstream.HeaderNode) }
	before := owner()
	for i := range calls {
		m := call("call.$token.gate%201.$resume", fmt.Sprint(i))
		after := owner() // another one when the partition has moved to the node that joined
		if string(m.Data) != fmt.Sprint(i) || m.Header.Get(jetstream.HeaderRun) != "gate/x" {
			t.Fatalf("call %d: got %s %v", i, m.Data, m.Header)
		}
		if node := m.Header.Get(jetstream.HeaderNode); node != before && node != after {
			t.Fatalf("call %d: node %q answers for an object of %s", i, node, after)
		}
		before = after
	}
	for range 10 {
		if m := call("call.$token.gate%202.$resume", "1"); m.Header.Get(jetstream.HeaderErrorCode) != "404" {
			t.Fatalf("a token that nobody holds: got %s", m.Data)
		}
		if m := call("call.$token.gate%201.$resume", `"one"`); m.Header.Get(jetstream.HeaderErrorCode) != "400" {
			t.Fatalf("a bad payload: got %s", m.Data)
		}
	}
	// A client is not believed that its call came by a token: it is one by name.
	p := partitionOf(t, a.Client(), gate.At("x"))
	if m := call(fmt.Sprintf("own.%d.call.gate.x.open", p), "1", jetstream.HeaderToken, "gate 1"); string(m.Data) != "1" {
		t.Errorf("a call by name: got %s %v", m.Data, m.Header)
	}
	var records []struct{ Events []actor.Event }
	if err := json.Unmarshal(call("call.gate.x.$events", "").Data, &records); err != nil {
		t.Fatal(err)
	}
	byToken := 0
	for _, r := range records {
		for _, e := range r.Events {
			if e.Type == actor.HookReceived && e.Token == "gate 1" && !strings.HasPrefix(e.ID, "~") {
				byToken++
			}
		}
	}
	if byToken != calls {
		t.Errorf("%d calls are in the log as calls by this token, want %d", byToken, calls)
	}
}

func partitionOf(t *testing.T, c *perdure.Client, addr actor.Address) (p int) {
	t.Helper()
	said, err := c.Describe(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	var d struct{ Partition *int }
	if err := json.Unmarshal(said, &d); err != nil || d.Partition == nil {
		t.Fatalf("%s: %v", said, err)
	}
	return *d.Partition
}
