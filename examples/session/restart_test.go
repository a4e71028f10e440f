package session_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/examples/counter"
	"github.com/perdure/perdure/examples/session"
	"github.com/perdure/perdure/examples/session/anthropic/anthropictest"
)

// begin says something to the session, and does not wait for the answer: repeat finds it, by the call's id.
func begin(t *testing.T, n *perdure.Node, content, id string) {
	t.Helper()
	_, err := n.Client().Send(t.Context(), session.At("ann"), "message",
		fmt.Appendf(nil, `{"role":"user","content":%q}`, content), actor.CallHeader{CallID: id})
	if err != nil {
		t.Fatalf("%s: %v", content, err)
	}
}

func repeat(t *testing.T, n *perdure.Node, content, id string) session.Answer {
	t.Helper()
	a, err := session.Messages.Call(t.Context(), n.Client(), session.At("ann"),
		session.Message{Role: "user", Content: content}, actor.CallID(id), actor.Timeout(time.Minute))
	if err != nil {
		t.Fatalf("%s: %v", content, err)
	}
	return a
}

// TestSession_Restart: the node ends in mid-answer, after a tool was used, and comes back on its store.
func TestSession_Restart(t *testing.T) {
	server, cfg := local(t, 0)
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	server.Next(anthropictest.Fault{}, anthropictest.Fault{Then: anthropictest.Silent, After: 2})
	first := node(t, dir, cfg)
	begin(t, first, "add 3 to apples", "one")
	text := ""
	for chunk, err := range session.Text.Read(ctx, first.Client(), session.At("ann"), 0) {
		if err != nil {
			t.Fatal(err)
		}
		if text += chunk.Text; text == "Let me add that.\n\nThe answer" {
			break
		}
	}
	stop(t, first)

	second := node(t, dir, cfg)
	const want = "Let me add that.\n\nThe answer is 3."
	if got := repeat(t, second, "add 3 to apples", "one"); got.Content != want {
		t.Errorf("got %q, want %q", got.Content, want)
	}
	if heard, err := hear(ctx, second.Client(), "ann", 1); err != nil || heard[0] != want {
		t.Errorf("heard %q, %v, want %q", heard, err, want)
	}
	lines := []string{"user: add 3 to apples", "assistant: Let me add that.", "assistant: The answer is 3."}
	if diff := cmp.Diff(said(history(t, second.Client(), "ann")), lines); diff != "" {
		t.Errorf("history:\n%s", diff)
	}
	if n, err := counter.Get.Call(ctx, second.Client(), "apples", actor.None{}); err != nil || n != 3 {
		t.Errorf("apples: got %d, %v, want 3", n, err)
	}
	if got := len(server.Requests()); got != 3 {
		t.Errorf("the model was asked %d times, want 3: the call of the tool is recorded", got)
	}
	checkRequests(t, server)
}

// TestSession_Restarts: ten turns, with a node that ends at a random moment in each of them.
func TestSession_Restarts(t *testing.T) {
	server, cfg := local(t, 2*time.Millisecond)
	dir := t.TempDir()
	n := node(t, dir, cfg)
	random := rand.New(rand.NewPCG(1, 2))
	var want []string
	for i, turn := range turns {
		id := fmt.Sprintf("turn-%d", i)
		begin(t, n, turn.say, id)
		select {
		case <-time.After(time.Duration(random.IntN(40)) * time.Millisecond):
		case <-t.Context().Done():
		}
		stop(t, n)
		n = node(t, dir, cfg)
		if got := repeat(t, n, turn.say, id); got.Content != turn.want {
			t.Errorf("%s: got %q, want %q", turn.say, got.Content, turn.want)
		}
		want = append(want, turn.want)
	}
	heard, err := hear(t.Context(), n.Client(), "ann", len(turns))
	if diff := cmp.Diff(heard, want); diff != "" || err != nil {
		t.Errorf("heard: %v\n%s", err, diff)
	}
	asked := 0
	for _, m := range history(t, n.Client(), "ann").Messages {
		if m.Asks() {
			asked++
		}
	}
	if asked != len(turns) {
		t.Errorf("the history has %d messages of the user, want %d", asked, len(turns))
	}
	checkRequests(t, server)
}
