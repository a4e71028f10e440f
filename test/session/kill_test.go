package session

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/examples/counter"
	"github.com/perdure/perdure/examples/session"
	"github.com/perdure/perdure/examples/session/agent"
	"github.com/perdure/perdure/examples/session/anthropic/anthropictest"
	"github.com/perdure/perdure/internal/natstest"
	"github.com/perdure/perdure/test/harness"
)

// turns are what the user says, and what the scripted model behind the server answers.
var turns = []struct{ say, want string }{
	{"count to 40", numbers(40)},
	{"add 3 to apples", "Let me add that.\n\nThe answer is 3."},
	{"add 4 to apples", "Let me add that.\n\nThe answer is 7."},
	{"count to 60", numbers(60)},
	{"how many apples", "The answer is 7."},
	{"add -1 to apples", "Let me add that.\n\nThe answer is 6."},
}

func numbers(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, " %d", i+1)
	}
	return strings.TrimSpace(b.String()) + "."
}

// TestKill kills cmd/node by SIGKILL at a random moment of each answer, while a reader in this process follows.
func TestKill(t *testing.T) {
	if testing.Short() {
		t.Skip("starts and kills processes")
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 3))
	server := anthropictest.New(agent.Scripted{Pace: 5 * time.Millisecond})
	t.Cleanup(server.Close)
	program := harness.Program{
		Binary: harness.Build(t, "github.com/perdure/perdure/cmd/node"),
		Store:  filepath.Join(t.TempDir(), "store"), Listen: fmt.Sprintf("127.0.0.1:%d", natstest.FreePort(t)),
		Args: []string{"--http", "off", "--log-level", "warn"},
		Env:  []string{"ANTHROPIC_API_KEY=k", "ANTHROPIC_BASE_URL=" + server.URL},
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	node := program.Start(t)
	node.AwaitUp(t, 30*time.Second)
	client := perdure.NewClient(program.Connect(t))
	following := follow(ctx, client, len(turns))

	var want []string
	for i, turn := range turns {
		node.AwaitUp(t, 30*time.Second)
		answered := make(chan error, 1)
		go func() {
			got, err := session.Messages.Call(ctx, client, session.At("ann"), session.Message{Role: "user", Content: turn.say},
				actor.CallID(fmt.Sprint("turn-", i)), actor.Timeout(time.Minute))
			if err == nil && got.Content != turn.want {
				err = fmt.Errorf("got %q, want %q", got.Content, turn.want)
			}
			answered <- err
		}()
		<-time.After(time.Duration(random.IntN(250)) * time.Millisecond)
		node.Kill()
		node = program.Start(t)
		if err := <-answered; err != nil {
			t.Fatalf("%s: %v\n%s", turn.say, err, node.Stderr())
		}
		want = append(want, turn.want)
	}
	heard := <-following
	if diff := cmp.Diff(heard.answers, want); diff != "" || heard.err != nil {
		t.Errorf("the reader that was there all along heard: %v\n%s", heard.err, diff)
	}
	heard = <-follow(ctx, client, len(turns))
	if diff := cmp.Diff(heard.answers, want); diff != "" || heard.err != nil {
		t.Errorf("a reader that came after heard: %v\n%s", heard.err, diff)
	}
	check(ctx, t, client, server)
}

// check looks at the history, at what the tools did, and at what the model was asked.
func check(ctx context.Context, t *testing.T, client actor.Client, server *anthropictest.Server) {
	t.Helper()
	talk, err := session.History.Call(ctx, client, session.At("ann"), actor.None{})
	if err != nil {
		t.Fatal(err)
	}
	var asked, want []string
	for _, m := range talk.Messages {
		if m.Asks() {
			asked = append(asked, m.Text())
		}
	}
	for _, turn := range turns {
		want = append(want, turn.say)
	}
	if diff := cmp.Diff(asked, want); diff != "" {
		t.Errorf("the history has of the user:\n%s", diff)
	}
	if n, err := counter.Get.Call(ctx, client, "apples", actor.None{}); err != nil || n != 6 {
		t.Errorf("apples: got %d, %v, want 6", n, err)
	}
	longest := 0
	for i, r := range server.Requests() {
		if n := len(r.Asked.Messages); n < longest {
			t.Errorf("request %d: the model was asked again for an answer that is recorded", i)
		} else {
			longest = n
		}
	}
	t.Logf("the model was asked %d times for %d answers, %d of them broken off", len(server.Requests()), len(turns)+4, server.Gone())
}

type heard struct {
	answers []string
	err     error
}

// follow reads the session's stream from its beginning, as a reader that honours rewinds, for so many answers.
func follow(ctx context.Context, client actor.Client, answers int) <-chan heard {
	done := make(chan heard, 1)
	go func() {
		var chunks []string
		left := answers
		for chunk, err := range session.Text.Read(ctx, client, session.At("ann"), 0) {
			if rewind, ok := errors.AsType[*actor.RewindError](err); ok {
				chunks = chunks[:rewind.Index]
				continue
			}
			if err != nil {
				done <- heard{err: err}
				return
			}
			chunks = append(chunks, chunk.Text)
			if chunk.Text == "" {
				left--
			}
			if left == 0 {
				break
			}
		}
		h := heard{answers: []string{""}, err: ctx.Err()}
		for _, text := range chunks {
			h.answers[len(h.answers)-1] += text
			if text == "" {
				h.answers = append(h.answers, "")
			}
		}
		h.answers = h.answers[:len(h.answers)-1]
		done <- h
	}()
	return done
}
