package session_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/examples/counter"
	"github.com/perdure/perdure/examples/session"
	"github.com/perdure/perdure/examples/session/agent"
)

// node runs a node without sockets on the store in dir, until the test ends or it is stopped.
func node(tb testing.TB, dir string, cfg session.Config) *perdure.Node {
	tb.Helper()
	var link session.Link
	if cfg.Client == nil {
		cfg.Client = link.Client
	}
	if cfg.Retry == (actor.RetryPolicy{}) {
		cfg.Retry = actor.RetryPolicy{Attempts: 4, Backoff: 5 * time.Millisecond, MaxBackoff: 20 * time.Millisecond}
	}
	n, err := perdure.Start(tb.Context(), perdure.Config{
		Listen: "none", Store: dir, Sync: perdure.SyncInterval,
		Logger: slog.New(slog.NewTextHandler(tb.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
	}, counter.Tallies, session.New(cfg))
	if err != nil {
		tb.Fatalf("start node: %v", err)
	}
	link.Set(n.Client())
	tb.Cleanup(func() { stop(tb, n) })
	return n
}

func stop(tb testing.TB, n *perdure.Node) {
	tb.Helper()
	if err := n.Stop(); err != nil {
		tb.Errorf("stop node: %v", err)
	}
}

// tell says something to the session and returns the answer.
func tell(tb testing.TB, c actor.Client, key, content string) session.Answer {
	tb.Helper()
	a, err := session.Messages.Call(tb.Context(), c, session.At(key), session.Message{Role: "user", Content: content}, actor.Timeout(time.Minute))
	if err != nil {
		tb.Fatalf("%s: %v", content, err)
	}
	return a
}

func history(tb testing.TB, c actor.Client, key string) session.Talk {
	tb.Helper()
	talk, err := session.History.Call(tb.Context(), c, session.At(key), actor.None{})
	if err != nil {
		tb.Fatalf("history: %v", err)
	}
	return talk
}

// hear reads the stream of a session from its beginning until it has heard so many answers, as a reader that honours
// rewinds.
func hear(ctx context.Context, c actor.Client, key string, answers int) ([]string, error) {
	var chunks []string
	for chunk, err := range session.Text.Read(ctx, c, session.At(key), 0) {
		if rewind, ok := errors.AsType[*actor.RewindError](err); ok {
			chunks = chunks[:rewind.Index]
			continue
		}
		if err != nil {
			return nil, err
		}
		chunks = append(chunks, chunk.Text)
		if chunk.Text == "" {
			answers--
		}
		if answers == 0 {
			break
		}
	}
	var heard []string
	var b strings.Builder
	for _, text := range chunks {
		if b.WriteString(text); text == "" {
			heard = append(heard, b.String())
			b.Reset()
		}
	}
	return heard, ctx.Err()
}

// said are the texts of a talk, with who said them.
func said(talk session.Talk) []string {
	var lines []string
	for _, m := range talk.Messages {
		if text := m.Text(); text != "" {
			line := fmt.Sprintf("%s: %s", m.Role, text)
			if m.Interrupted {
				line += " …"
			}
			lines = append(lines, line)
		}
	}
	return lines
}

// turns are ten things that a user says, and what the scripted model answers.
var turns = []struct{ say, want string }{
	{"hello", "Hello! I remember what you say, whatever happens to the node that I run on. Ask me to add 3 to apples."},
	{"please add 3 to apples", "Let me add that.\n\nThe answer is 3."},
	{"count to 5", "1 2 3 4 5."},
	{"add 4 to apples", "Let me add that.\n\nThe answer is 7."},
	{"How many apples?", "The answer is 7."},
	{"add -2 to pears!", "Let me add that.\n\nThe answer is -2."},
	{"what did I say first?", `The first thing that I still know word for word is: "hello".`},
	{"add 1 to apples", "Let me add that.\n\nThe answer is 8."},
	{"how many pears", "The answer is -2."},
	{"count to 12", "1 2 3 4 5 6 7 8 9 10 11 12."},
}

// tenTurns has the ten turns on a session, and checks what the caller, a reader and the history have of them.
func tenTurns(t *testing.T, c actor.Client, key string, before func(turn int)) {
	t.Helper()
	var want, lines []string
	for i, turn := range turns {
		if before != nil {
			before(i)
		}
		if got := tell(t, c, key, turn.say); got.Content != turn.want || got.Interrupted {
			t.Errorf("%s: got %+v, want %q", turn.say, got, turn.want)
		}
		want = append(want, turn.want)
		lines = append(lines, "user: "+turn.say)
		for said := range strings.SplitSeq(turn.want, "\n\n") {
			lines = append(lines, "assistant: "+said)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	got, err := hear(ctx, c, key, len(turns))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("heard:\n%s", diff)
	}
	if diff := cmp.Diff(said(history(t, c, key)), lines); diff != "" {
		t.Errorf("history:\n%s", diff)
	}
	if n, err := counter.Get.Call(ctx, c, "apples", actor.None{}); err != nil || n != 8 {
		t.Errorf("apples: got %d, %v, want 8", n, err)
	}
}

func TestSession(t *testing.T) {
	dir := t.TempDir()
	first := node(t, dir, session.Config{})
	tenTurns(t, first.Client(), "ann", nil)
	want := history(t, first.Client(), "ann")
	stop(t, first)
	second := node(t, dir, session.Config{Model: silent{}})
	if diff := cmp.Diff(history(t, second.Client(), "ann"), want); diff != "" {
		t.Errorf("after a restart:\n%s", diff)
	}
}

func TestSession_Bad(t *testing.T) {
	c := node(t, t.TempDir(), session.Config{}).Client()
	for name, payload := range map[string]string{
		"not the user": `{"role":"assistant","content":"x"}`, "no role": `{"content":"x"}`, "no content": `{"role":"user"}`, "empty": ``,
	} {
		if _, err := c.Call(t.Context(), session.At("ann"), "message", []byte(payload), actor.CallHeader{}); !errors.Is(err, actor.ErrInvalid) {
			t.Errorf("%s: got %v, want %v", name, err, actor.ErrInvalid)
		}
	}
	if err := actor.Resume(t.Context(), c, "session:session/ann", session.Message{Role: "user", Content: "hello"}); !errors.Is(err, actor.ErrNotFound) {
		t.Errorf("a token before the run: got %v, want %v", err, actor.ErrNotFound)
	}
	tell(t, c, "ann", "hello")
	if err := actor.Resume(t.Context(), c, "session:session/ann", session.Message{Role: "user", Content: "count to 3"}); err != nil {
		t.Errorf("resume by token: %v", err)
	}
	got, err := hear(t.Context(), c, "ann", 2)
	if err != nil || got[1] != "1 2 3." {
		t.Errorf("heard %q, %v", got, err)
	}
}

// TestSession_Activity: who watches sees the tools at work.
func TestSession_Activity(t *testing.T) {
	c := node(t, t.TempDir(), session.Config{}).Client()
	tell(t, c, "ann", "add 3 to apples")
	tell(t, c, "ann", "how many apples")
	var got []string
	for a, err := range session.Activity.Read(t.Context(), c, session.At("ann"), 0) {
		if err != nil {
			t.Fatal(err)
		}
		if a.Call != nil {
			got = append(got, a.Call.Tool+" "+string(a.Call.Input))
		} else {
			got = append(got, a.Result.Content)
		}
		if len(got) == 4 {
			break
		}
	}
	want := []string{`tally_add {"n":3,"name":"apples"}`, "3", `tally_get {"name":"apples"}`, "3"}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Error(diff)
	}
	if talk := history(t, c, "ann"); talk.Uses != len(want) || talk.Usage == (agent.Usage{}) {
		t.Errorf("got %d uses of tools, usage %+v", talk.Uses, talk.Usage)
	}
}
