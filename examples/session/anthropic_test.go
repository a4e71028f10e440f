package session_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/examples/session"
	"github.com/perdure/perdure/examples/session/agent"
	"github.com/perdure/perdure/examples/session/anthropic"
	"github.com/perdure/perdure/examples/session/anthropic/anthropictest"
)

// local runs a server in the place of Anthropic's, that says what the scripted model says.
func local(t *testing.T, pace time.Duration) (*anthropictest.Server, session.Config) {
	t.Helper()
	server := anthropictest.New(agent.Scripted{Pace: pace})
	t.Cleanup(server.Close)
	return server, session.Config{Model: anthropic.New(anthropic.Config{APIKey: "k", BaseURL: server.URL})}
}

// TestSession_Anthropic: ten turns while each of them meets another failure.
func TestSession_Anthropic(t *testing.T) {
	server, cfg := local(t, 0)
	c := node(t, t.TempDir(), cfg).Client()
	faults := [][]anthropictest.Fault{
		{{Status: 429, Type: "rate_limit_error", RetryAfter: "0.02"}},
		{{Status: 529}, {Status: 529, RetryAfter: "0"}},
		{{Then: anthropictest.Cut, After: 2}},
		{{Then: anthropictest.Malformed, After: 3}},
		{{Then: anthropictest.Short, After: 1}},      // within the input of the tool
		{{}, {Then: anthropictest.Failed, After: 2}}, // after the tool was used
		{{Status: 500, Type: "api_error"}},
		{{Then: anthropictest.Cut, After: 6}}, // with the input of the tool nearly complete
		{{Then: anthropictest.Cut}},           // before a word
		{{Then: anthropictest.Cut, After: 9}, {Then: anthropictest.Malformed, After: 1}, {Then: anthropictest.Short, After: 11}},
	}
	tenTurns(t, c, "ann", func(turn int) { server.Next(faults[turn]...) })
	const answers, withTools, failed = 10, 6, 13
	if got, want := len(server.Requests()), answers+withTools+failed; got != want {
		t.Errorf("the model was asked %d times, want %d", got, want)
	}
	checkRequests(t, server)
}

// checkRequests: a conversation only grows, so that a request with fewer messages than one before it asks again for
// what is recorded.
func checkRequests(t *testing.T, server *anthropictest.Server) {
	t.Helper()
	longest := 0
	for i, r := range server.Requests() {
		if n := len(r.Asked.Messages); n < longest {
			t.Errorf("request %d of %d messages after one of %d", i, n, longest)
		} else {
			longest = n
		}
	}
}

// TestSession_Failed: an answer that fails for good leaves the session as it was.
func TestSession_Failed(t *testing.T) {
	cut := anthropictest.Fault{Then: anthropictest.Cut, After: 2}
	for name, faults := range map[string][]anthropictest.Fault{
		"refused":         {{Status: 401, Type: "authentication_error"}},
		"each time cut":   {cut, cut, cut, cut},
		"after the tools": {{}, cut, cut, {Then: anthropictest.Failed, After: 1, Type: "invalid_request_error"}},
	} {
		t.Run(name, func(t *testing.T) {
			server, cfg := local(t, 0)
			c := node(t, t.TempDir(), cfg).Client()
			tell(t, c, "ann", "hello")
			before := said(history(t, c, "ann"))
			server.Next(faults...)
			_, err := session.Messages.Call(t.Context(), c, session.At("ann"), session.Message{Role: "user", Content: "add 3 to apples"})
			if !errors.Is(err, actor.ErrFailed) {
				t.Errorf("got %v, want %v", err, actor.ErrFailed)
			}
			if diff := cmp.Diff(said(history(t, c, "ann")), before); diff != "" {
				t.Errorf("history after it:\n%s", diff)
			}
			server.Next(anthropictest.Fault{Then: anthropictest.Silent, After: 2})
			checkCancel(t, c, server, "1 2") // the session knows where it is in its stream
			heard, err := hear(t.Context(), c, "ann", 3)
			if err != nil || heard[2] != "1 2" {
				t.Errorf("heard %q, %v", heard, err)
			}
			if want := map[bool]string{true: "Let me add that."}[name == "after the tools"]; heard[1] != want {
				t.Errorf("heard %q of the failed answer, want %q", heard[1], want)
			}
		})
	}
}

// TestSession_Unheard: where the stream cannot be read, an answer that failed has failed, and the session goes on.
func TestSession_Unheard(t *testing.T) {
	server, cfg := local(t, 0)
	cfg.Client = func(context.Context) (actor.Client, error) { return nil, actor.Terminal(errors.New("nobody there")) }
	c := node(t, t.TempDir(), cfg).Client()
	server.Next(anthropictest.Fault{Status: 401, Type: "authentication_error"})
	_, err := session.Messages.Call(t.Context(), c, session.At("ann"), session.Message{Role: "user", Content: "hello"})
	if !errors.Is(err, actor.ErrFailed) {
		t.Errorf("got %v, want %v", err, actor.ErrFailed)
	}
	if got := tell(t, c, "ann", "count to 3").Content; got != "1 2 3." {
		t.Errorf("afterwards: %q", got)
	}
}

// TestSession_Hangs: an answer whose last attempt ran out of time leaves nothing in the stream either.
func TestSession_Hangs(t *testing.T) {
	server, cfg := local(t, 0)
	// What was said is taken back within the last tenth of the time.
	cfg.Retry = actor.RetryPolicy{Attempts: 1, Timeout: 10 * time.Second}
	c := node(t, t.TempDir(), cfg).Client()
	server.Next(anthropictest.Fault{Then: anthropictest.Silent, After: 2})
	_, err := session.Messages.Call(t.Context(), c, session.At("ann"), session.Message{Role: "user", Content: "count to 9"},
		actor.Timeout(time.Minute))
	if !errors.Is(err, actor.ErrFailed) {
		t.Errorf("got %v, want %v", err, actor.ErrFailed)
	}
	if heard, err := hear(t.Context(), c, "ann", 1); err != nil || heard[0] != "" {
		t.Errorf("heard %q, %v, want nothing", heard, err)
	}
	tell(t, c, "ann", "hello")
}

// checkCancel asks for an answer that the server leaves open, and cancels it once want was heard.
func checkCancel(t *testing.T, c actor.Client, server *anthropictest.Server, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	from := history(t, c, "ann").Chunks
	gone, asked := server.Gone(), server.Changed()
	type outcome struct {
		answer session.Answer
		err    error
	}
	answered := make(chan outcome, 1)
	go func() {
		a, err := session.Messages.Call(ctx, c, session.At("ann"), session.Message{Role: "user", Content: "count to 9"})
		answered <- outcome{a, err}
	}()
	await(ctx, t, asked)
	if want != "" {
		text := ""
		for chunk, err := range session.Text.Read(ctx, c, session.At("ann"), from) {
			if rewind, ok := errors.AsType[*actor.RewindError](err); ok && int(rewind.Index) <= from {
				text = "" // of an attempt of the answer before
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if text += chunk.Text; text == want {
				break
			}
		}
	}
	if got := len(history(t, c, "ann").Messages); got == 0 {
		t.Error("no history while an answer is in progress")
	}
	if got, err := session.Cancel.Call(t.Context(), c, session.At("ann"), actor.None{}); err != nil || !got {
		t.Errorf("cancel: got %t, %v", got, err)
	}
	got := <-answered
	if diff := cmp.Diff(got.answer, session.Answer{Content: want, Interrupted: true}); diff != "" || got.err != nil {
		t.Errorf("answer: %v\n%s", got.err, diff)
	}
	for changed := server.Changed(); server.Gone() == gone; changed = server.Changed() {
		await(ctx, t, changed)
	}
}

func await(ctx context.Context, t *testing.T, happened <-chan struct{}) {
	t.Helper()
	select {
	case <-happened:
	case <-ctx.Done():
		t.Fatal("it does not happen in time")
	}
}

func TestSession_Cancel(t *testing.T) {
	server, cfg := local(t, 0)
	c := node(t, t.TempDir(), cfg).Client()
	cancel := func() bool {
		got, err := session.Cancel.Call(t.Context(), c, session.At("ann"), actor.None{})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if cancel() {
		t.Error("cancelled before there was anything")
	}
	server.Next(anthropictest.Fault{Then: anthropictest.Silent, After: 3})
	checkCancel(t, c, server, "1 2 3")
	if cancel() {
		t.Error("cancelled twice")
	}
	if got := tell(t, c, "ann", "what did I say first?").Content; got != `The first thing that I still know word for word is: "count to 9".` {
		t.Errorf("afterwards: %s", got)
	}
	want := []string{
		"user: count to 9", "assistant: 1 2 3 …", "user: what did I say first?",
		`assistant: The first thing that I still know word for word is: "count to 9".`,
	}
	if diff := cmp.Diff(said(history(t, c, "ann")), want); diff != "" {
		t.Errorf("history:\n%s", diff)
	}
	server.Next(anthropictest.Fault{Then: anthropictest.Silent})
	checkCancel(t, c, server, "") // before a word
	if heard, err := hear(t.Context(), c, "ann", 3); err != nil || heard[0] != "1 2 3" || heard[2] != "" {
		t.Errorf("heard %q, %v", heard, err)
	}
}
