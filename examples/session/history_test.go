package session_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/perdure/perdure/examples/session"
	"github.com/perdure/perdure/examples/session/anthropic/anthropictest"
)

// TestSession_Limit: a history over its limit is summarised, and what stays can still be sent to the model.
func TestSession_Limit(t *testing.T) {
	const limit = 400
	server, cfg := local(t, 0)
	cfg.Limit = limit
	c := node(t, t.TempDir(), cfg).Client()
	summarised := 0
	for i := range 25 {
		say := fmt.Sprintf("add 1 to apples%d", i%2)
		if got := tell(t, c, "ann", say).Content; !strings.Contains(got, "The answer is") {
			t.Errorf("%s: got %q", say, got)
		}
		talk := history(t, c, "ann")
		size := len(talk.Summary)
		for _, m := range talk.Messages {
			size += len(m.Text())
		}
		if size > 2*limit {
			t.Fatalf("turn %d: the history has %d bytes, with a limit of %d", i, size, limit)
		}
		if !talk.Messages[0].Asks() {
			t.Fatalf("turn %d: the history begins with %+v", i, talk.Messages[0])
		}
		if talk.Summary != "" {
			summarised++
		}
	}
	if summarised == 0 {
		t.Error("nothing was summarised")
	}
	last := server.Requests()[len(server.Requests())-1].Asked
	if !strings.Contains(last.Instructions, "So far the user has said") {
		t.Errorf("the model was not told of the summary: %q", last.Instructions)
	}
	if got, err := hear(t.Context(), c, "ann", 25); err != nil || len(got) != 25 {
		t.Errorf("heard %d answers, %v", len(got), err)
	}
}

// TestSession_LimitFailed: a summary that fails fails the answer; the next message tries again.
func TestSession_LimitFailed(t *testing.T) {
	server, cfg := local(t, 0)
	cfg.Limit = 100
	c := node(t, t.TempDir(), cfg).Client()
	tell(t, c, "ann", "count to 50")
	server.Next(anthropictest.Fault{Status: 400, Type: "invalid_request_error"})
	if _, err := session.Messages.Call(t.Context(), c, session.At("ann"), session.Message{Role: "user", Content: "hello"}); err == nil {
		t.Error("got an answer")
	}
	if got := len(history(t, c, "ann").Messages); got != 2 {
		t.Errorf("the history has %d messages after the failure, want 2", got)
	}
	tell(t, c, "ann", "hello")
	if talk := history(t, c, "ann"); len(talk.Messages) != 2 || talk.Summary == "" {
		t.Errorf("got %d messages, summary %q", len(talk.Messages), talk.Summary)
	}
}
