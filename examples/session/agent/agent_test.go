package agent_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/examples/session/agent"
)

// rounds is a model that answers round i of a conversation with its i-th parts, and then only talks.
type rounds [][]agent.Part

func (r rounds) Answer(_ context.Context, q agent.Request) iter.Seq2[agent.Part, error] {
	return func(yield func(agent.Part, error) bool) {
		round := (len(q.Messages) - 1) / 2
		parts := []agent.Part{{Text: fmt.Sprintf("done after %d", round)}}
		if round < len(r) {
			parts = r[round]
		}
		for _, p := range parts {
			if !yield(p, nil) {
				return
			}
		}
		yield(agent.Part{End: &agent.End{Stop: agent.StopDone}}, nil)
	}
}

func call(id, tool, input string) agent.Part {
	return agent.Part{Call: &agent.Call{ID: id, Tool: tool, Input: json.RawMessage(input)}}
}

var (
	ask  = actor.NewHook[string, agent.Answer]("ask")
	stop = actor.NewHook[actor.None, actor.None]("stop")
	text = actor.NewStream[agent.Chunk]("default")
	acts = actor.NewStream[agent.Activity]("activity")
)

// answer runs one conversation of one message with the agent on a node. within runs meanwhile.
func answer(t *testing.T, cfg agent.Config, within func(c actor.Client)) agent.Answer {
	t.Helper()
	cfg.Text, cfg.Activity = text, acts
	a := agent.New(cfg)
	talk := actor.NewWorkflow("talk", func(ctx actor.Context, _ actor.None) (actor.None, error) {
		c, err := ask.Create(ctx).Await(ctx)
		if err != nil {
			return actor.None{}, err
		}
		ans, err := a.Run(ctx, []agent.Message{agent.Say(agent.User, c.Payload)}, "", func(ctx actor.Context, w actor.Waitable) (bool, error) {
			ready, err := actor.Race(ctx, w, stop.Create(ctx))
			return ready == 1, err
		})
		if err != nil {
			c.Fail(ctx, err)
		}
		c.Reply(ctx, ans)
		return actor.None{}, nil
	}, ask, stop, text, acts)
	n, err := perdure.Start(t.Context(), perdure.Config{Listen: "none", Store: t.TempDir(), Sync: perdure.SyncInterval}, talk)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := n.Stop(); err != nil {
			t.Error(err)
		}
	}()
	type outcome struct {
		answer agent.Answer
		err    error
	}
	answered := make(chan outcome, 1)
	go func() {
		got, err := ask.Call(t.Context(), n.Client(), talk.At("one"), "go")
		answered <- outcome{got, err}
	}()
	if within != nil {
		within(n.Client())
	}
	got := <-answered
	if got.err != nil {
		t.Fatal(got.err)
	}
	return got.answer
}

type amount struct {
	N int `json:"n"`
}

// results are what the tools answered, in order.
func results(ans agent.Answer) []agent.Result {
	var all []agent.Result
	for _, m := range ans.Messages {
		for _, p := range m.Parts {
			if p.Result != nil {
				all = append(all, *p.Result)
			}
		}
	}
	return all
}

func TestAgent_Tools(t *testing.T) {
	var tries atomic.Int32
	got := answer(t, agent.Config{
		Model: rounds{{
			{Text: "One moment."},
			call("a", "double", `{"n":4}`), call("b", "fail", `{"n":1}`), call("c", "double", `{"n":"x"}`),
			call("d", "double", `{"m":1}`), call("e", "nothing", `{}`), call("f", "shout", `{}`), call("g", "book", `{}`),
		}},
		Tools: []agent.Tool{
			agent.NewTool("double", "doubles", func(_ context.Context, in amount) (int, error) { return 2 * in.N, nil }),
			agent.NewTool("fail", "fails", func(context.Context, amount) (int, error) {
				tries.Add(1)
				return 0, errors.New("no such thing")
			}, actor.Retry(actor.RetryPolicy{Attempts: 2, Backoff: time.Millisecond})),
			agent.NewTool("book", "writes much", func(context.Context, struct{}) (string, error) { return strings.Repeat("x", 1<<20), nil }),
			agent.NewTool("shout", "shouts", func(context.Context, struct{}) (string, error) { return "HA", nil }),
		},
	}, nil)
	want := []agent.Result{
		{ID: "a", Content: "8"},
		{ID: "b", Content: "no such thing", Failed: true},
		{ID: "c", Content: "input does not fit the tool's schema: json: cannot unmarshal string into Go struct field amount.n of type int", Failed: true},
		{ID: "d", Content: `input does not fit the tool's schema: json: unknown field "m"`, Failed: true},
		{ID: "e", Content: "there is no tool nothing", Failed: true},
		{ID: "f", Content: "HA"},
		{ID: "g", Content: "the result has 1048576 bytes; at most 131072 are allowed", Failed: true},
	}
	if diff := cmp.Diff(results(got), want); diff != "" {
		t.Errorf("results:\n%s", diff)
	}
	if got.Text != "One moment.\n\ndone after 1" || got.Chunks != 2 || len(got.Messages) != 3 {
		t.Errorf("got %+v", got)
	}
	if n := tries.Load(); n != 2 {
		t.Errorf("the failing tool was tried %d times, want 2", n)
	}
}

// again calls the same tool in each round.
func again(n int) rounds {
	var r rounds
	for i := range n {
		r = append(r, []agent.Part{{Text: fmt.Sprint(i)}, call(fmt.Sprint(i), "double", `{"n":1}`)})
	}
	return r
}

func double() agent.Tool {
	return agent.NewTool("double", "doubles", func(_ context.Context, in amount) (int, error) { return 2 * in.N, nil })
}

func TestAgent_Ends(t *testing.T) {
	for name, x := range map[string]struct {
		cfg      agent.Config
		text     string
		messages int
	}{
		"model is done": {agent.Config{Model: again(2)}, "0\n\n1\n\ndone after 2", 5},
		"rounds":        {agent.Config{Model: again(9), Rounds: 3}, "0\n\n1\n\n2", 5},
		"stop condition": {agent.Config{Model: again(9), Stop: func(turn agent.Turn) bool {
			return turn.Message.Text() == "1"
		}}, "0\n\n1", 3},
	} {
		t.Run(name, func(t *testing.T) {
			x.cfg.Tools = []agent.Tool{double()}
			got := answer(t, x.cfg, nil)
			if got.Text != x.text || len(got.Messages) != x.messages || got.Interrupted {
				t.Errorf("got %+v, want %q in %d messages", got, x.text, x.messages)
			}
			if last := got.Messages[len(got.Messages)-1]; len(last.Calls()) != 0 {
				t.Errorf("calls are left without result: %+v", last)
			}
		})
	}
}

// TestAgent_Blank: an answer without a word says why there is none.
func TestAgent_Blank(t *testing.T) {
	end := func(stop agent.Stop) agent.Part { return agent.Part{End: &agent.End{Stop: stop}} }
	use := call("a", "double", `{"n":1}`)
	for name, x := range map[string]struct {
		says   rounds
		rounds int
		want   string
	}{
		"refused":             {rounds{{end(agent.StopRefused)}}, 0, "(The model declines to answer.)"},
		"refused after tools": {rounds{{{Text: "One moment."}, use}, {end(agent.StopRefused)}}, 0, "One moment.\n\n(The model declines to answer.)"},
		"length":              {rounds{{end(agent.StopLength)}}, 0, "(The answer reached its limit before a word of it.)"},
		"nothing":             {rounds{{end(agent.StopDone)}}, 0, "(The model has nothing to say.)"},
		"spaces":              {rounds{{{Text: " "}, end(agent.StopDone)}}, 0, " (The model has nothing to say.)"},
		"only forbidden use":  {rounds{{use}}, 1, "(The model has nothing to say.)"},
		"done after tools":    {rounds{{{Text: "Doubled."}, use}, {end(agent.StopDone)}}, 0, "Doubled."},
		"cut after a word":    {rounds{{{Text: "Half"}, end(agent.StopLength)}}, 0, "Half"},
	} {
		t.Run(name, func(t *testing.T) {
			got := answer(t, agent.Config{Model: x.says, Tools: []agent.Tool{double()}, Rounds: x.rounds}, nil)
			if got.Text != x.want {
				t.Errorf("got %q, want %q", got.Text, x.want)
			}
		})
	}
}

// TestAgent_Interrupted: tools in progress are stopped; what was ready stays, and each call has a result.
func TestAgent_Interrupted(t *testing.T) {
	working, stopped := make(chan struct{}), make(chan struct{})
	got := answer(t, agent.Config{
		Model: rounds{{call("a", "double", `{"n":4}`), call("b", "wait", `{}`), call("c", "double", `{"n":5}`)}},
		Tools: []agent.Tool{double(), agent.NewTool("wait", "waits", func(ctx context.Context, _ struct{}) (int, error) {
			close(working)
			<-ctx.Done()
			close(stopped)
			return 0, ctx.Err()
		})},
	}, func(c actor.Client) {
		<-working
		talk := actor.Address{Type: "talk", Key: "one"}
		for act, err := range acts.Read(t.Context(), c, talk, 0) { // until a is ready
			if err != nil {
				t.Error(err)
			}
			if err != nil || act.Result != nil && act.Result.ID == "a" {
				break
			}
		}
		if _, err := stop.Send(t.Context(), c, talk, actor.None{}); err != nil {
			t.Error(err)
		}
	})
	<-stopped
	if !got.Interrupted || len(got.Messages) != 2 || len(results(got)) != 3 {
		t.Fatalf("got %+v", got)
	}
	if r := results(got); r[0].Content != "8" || !r[1].Failed {
		t.Errorf("results: %+v", r)
	}
}
