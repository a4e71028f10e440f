package session

import (
	"context"
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

// turns are what the user says, and what the model behind the server answers: a text for each time that it is asked.
var turns = []turn{
	{"count to 40", []string{numbers(40)}},
	{"add 3 to apples", []string{"Let me add that.", "The answer is 3."}},
	{"add 4 to apples", []string{"Let me add that.", "The answer is 7."}},
	{"count to 60", []string{numbers(60)}},
	{"how many apples", []string{"", "The answer is 7."}},
	{"add -1 to apples", []string{"Let me add that.", "The answer is 6."}},
	{"add 5 to pears", []string{"Let me add that.", "The answer is 5."}},
	{"how many pears", []string{"", "The answer is 5."}},
	{"add 2 to apples", []string{"Let me add that.", "The answer is 8."}},
	{"what did I say first?", []string{`The first thing that I still know word for word is: "count to 40".`}},
}

type turn struct {
	say  string
	says []string
}

func numbers(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, " %d", i+1)
	}
	return strings.TrimSpace(b.String()) + "."
}

// want is the whole answer.
func (t turn) want() string { return strings.TrimSpace(strings.Join(t.says, "\n\n")) }

// cut chooses where the answer is broken off: the model falls silent after some words of one text. seen is how many
// words readers have then.
func (t turn) cut(random *rand.Rand) (faults []anthropictest.Fault, seen int) {
	asked := random.IntN(len(t.says))
	for t.says[asked] == "" {
		asked++
	}
	for _, before := range t.says[:asked] {
		faults = append(faults, anthropictest.Fault{})
		seen += len(strings.Fields(before))
	}
	words := 1 + random.IntN(len(strings.Fields(t.says[asked]))-1)
	return append(faults, anthropictest.Fault{Then: anthropictest.Silent, After: words}), seen + words
}

// TestKill has ten turns, and in each of them kills cmd/node by SIGKILL in the middle of the answer, once a reader in
// this process has heard some of it.
func TestKill(t *testing.T) {
	if testing.Short() {
		t.Skip("starts and kills processes")
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 3))
	server := anthropictest.New(agent.Scripted{})
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
	live := listen(ctx, client)

	var want []string
	for i, turn := range turns {
		faults, words := turn.cut(random)
		server.Next(faults...)
		answered := make(chan error, 1)
		go func() {
			got, err := session.Messages.Call(ctx, client, session.At("ann"), session.Message{Role: "user", Content: turn.say},
				actor.CallID(fmt.Sprint("turn-", i)), actor.Timeout(time.Minute))
			if err == nil && got.Content != turn.want() {
				err = fmt.Errorf("got %q, want %q", got.Content, turn.want())
			}
			answered <- err
		}()
		if err := live.await(ctx, func(h heard) bool { return len(h.whole) == i && h.words == words }); err != nil {
			t.Fatalf("%s: broken off after %d words: %v\n%s", turn.say, words, err, node.Stderr())
		}
		node.Kill()
		node = program.Start(t)
		node.AwaitUp(t, 30*time.Second)
		if err := <-answered; err != nil {
			t.Fatalf("%s: %v\n%s", turn.say, err, node.Stderr())
		}
		want = append(want, turn.want())
	}
	for who, l := range map[string]*listener{"there all along": live, "that came after": listen(ctx, client)} {
		if err := l.await(ctx, func(h heard) bool { return len(h.whole) == len(turns) }); err != nil {
			t.Errorf("a reader %s: %v", who, err)
		}
		if diff := cmp.Diff(l.now().whole, want); diff != "" {
			t.Errorf("a reader %s heard:\n%s", who, diff)
		}
	}
	if n := live.now().takenBack; n != len(turns) {
		t.Errorf("%d answers were begun anew, want %d", n, len(turns))
	}
	check(ctx, t, client)
	checkAsked(ctx, t, server)
}

// check looks at the history, and at what the tools did.
func check(ctx context.Context, t *testing.T, client actor.Client) {
	t.Helper()
	talk, err := session.History.Call(ctx, client, session.At("ann"), actor.None{})
	if err != nil {
		t.Fatal(err)
	}
	var got, want []string
	for _, m := range talk.Messages {
		if text := m.Text(); text != "" {
			got = append(got, fmt.Sprint(m.Role, ": ", text))
		}
	}
	for _, turn := range turns {
		want = append(want, "user: "+turn.say)
		for _, text := range turn.says {
			if text != "" {
				want = append(want, "assistant: "+text)
			}
		}
	}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("history:\n%s", diff)
	}
	for name, want := range map[string]int{"apples": 8, "pears": 5} {
		if n, err := counter.Get.Call(ctx, client, name, actor.None{}); err != nil || n != want {
			t.Errorf("%s: got %d, %v, want %d", name, n, err, want)
		}
	}
}

// checkAsked counts, where the model is, what it was asked: nothing that is recorded twice.
func checkAsked(ctx context.Context, t *testing.T, server *anthropictest.Server) {
	t.Helper()
	for changed := server.Changed(); server.Gone() < len(turns); changed = server.Changed() {
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("%d requests were broken off, want one for each of %d kills", server.Gone(), len(turns))
		}
	}
	steps := 0
	for _, turn := range turns {
		steps += len(turn.says)
	}
	requests, gone := len(server.Requests()), server.Gone()
	if requests-gone != steps {
		t.Errorf("the model was asked %d times, %d of them broken off, for %d answers", requests, gone, steps)
	}
	longest := 0
	for i, r := range server.Requests() {
		if n := len(r.Asked.Messages); n < longest {
			t.Errorf("request %d: the model was asked again for an answer that is recorded", i)
		} else {
			longest = n
		}
	}
}
