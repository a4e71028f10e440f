package anthropic_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/perdure/perdure/examples/session/agent"
	"github.com/perdure/perdure/examples/session/anthropic"
	"github.com/perdure/perdure/examples/session/anthropic/anthropictest"
)

// parts is a model that says these.
type parts []agent.Part

func (p parts) Answer(context.Context, agent.Request) iter.Seq2[agent.Part, error] {
	return func(yield func(agent.Part, error) bool) {
		for _, part := range p {
			if !yield(part, nil) {
				return
			}
		}
	}
}

func serve(t *testing.T, says agent.Model) (*anthropictest.Server, *anthropic.Model) {
	t.Helper()
	server := anthropictest.New(says)
	t.Cleanup(server.Close)
	return server, anthropic.New(anthropic.Config{APIKey: "secret", BaseURL: server.URL, Model: "claude-test"})
}

func done(stop agent.Stop) agent.Part {
	return agent.Part{End: &agent.End{Stop: stop, Usage: agent.Usage{Written: 7}}}
}

var addition = agent.Call{ID: "call_1", Tool: "tally_add", Input: json.RawMessage(`{"name":"apples","n":3}`)}

func TestModel_Answer(t *testing.T) {
	thinking := json.RawMessage(`{"type":"thinking","thinking":"three apples","signature":"c2lnbmVk"}`)
	server, model := serve(t, parts{
		{Opaque: thinking}, {Text: "Let me "}, {Text: "add."}, {Call: &addition}, done(agent.StopTools),
	})
	request := agent.Request{
		Instructions: "Be brief.",
		Messages: []agent.Message{
			agent.Say(agent.User, "hello"),
			{Role: agent.Assistant, Parts: []agent.Part{{Opaque: thinking}, {Call: &addition}}},
			{Role: agent.User, Parts: []agent.Part{{Result: &agent.Result{ID: "call_1", Content: "3"}}}},
			agent.Say(agent.User, "add 3 to apples"),
		},
		Tools: []agent.Spec{{Name: "tally_add", Description: "adds", Input: json.RawMessage(`{"type":"object","additionalProperties":false}`)}},
		Last:  true,
	}
	var shown []string
	got, err := agent.Ask(t.Context(), model, request, func(text string) error {
		shown = append(shown, text)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := agent.Turn{
		Message: agent.Message{Role: agent.Assistant, Parts: []agent.Part{{Opaque: thinking}, {Text: "Let me add."}, {Call: &addition}}},
		End:     agent.End{Stop: agent.StopTools, Usage: agent.Usage{Read: 10, Written: 7}},
		Chunks:  2,
	}
	if diff := cmp.Diff(plain(t, got), plain(t, want)); diff != "" {
		t.Errorf("answer:\n%s", diff)
	}
	if diff := cmp.Diff(shown, []string{"Let me ", "add."}); diff != "" {
		t.Errorf("shown:\n%s", diff)
	}
	asked := server.Requests()[0]
	if asked.APIKey != "secret" || asked.Model != "claude-test" || asked.MaxTokens != 16_000 {
		t.Errorf("asked as %+v", asked)
	}
	if diff := cmp.Diff(plain(t, asked.Asked), plain(t, request)); diff != "" {
		t.Errorf("asked:\n%s", diff)
	}
}

// plain is v as JSON has it: that raw JSON is spaced in another way is no difference.
func plain(t *testing.T, v any) any {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var out any
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestModel_Interrupted: the model is told that it was cut short, and gets no empty message.
func TestModel_Interrupted(t *testing.T) {
	server, model := serve(t, parts{{Text: "ok"}, done(agent.StopDone)})
	cut := agent.Say(agent.Assistant, "One, two")
	cut.Interrupted = true
	_, err := agent.Ask(t.Context(), model, agent.Request{Messages: []agent.Message{
		agent.Say(agent.User, "count"), cut, agent.Say(agent.User, "why?"), {Role: agent.Assistant}, agent.Say(agent.User, "so?"),
	}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	messages := server.Requests()[0].Asked.Messages
	if len(messages) != 4 || messages[1].Text() != "One, two[interrupted by the user]" {
		t.Errorf("got %+v", messages)
	}
}

// TestModel_Length: a call that the limit cut off is none, whatever there is of it.
func TestModel_Length(t *testing.T) {
	half := addition
	half.Input = json.RawMessage(`{"name":"app`)
	_, model := serve(t, parts{{Text: "Let me"}, {Call: &half}, done(agent.StopLength)})
	got, err := agent.Ask(t.Context(), model, agent.Request{Messages: []agent.Message{agent.Say(agent.User, "x")}}, nil)
	if err != nil || len(got.Message.Calls()) != 0 || got.End.Stop != agent.StopLength || got.Message.Text() != "Let me" {
		t.Errorf("got %+v, %v", got, err)
	}
	_, model = serve(t, parts{{Call: &half}, done(agent.StopTools)})
	if got, err := agent.Ask(t.Context(), model, agent.Request{Messages: []agent.Message{agent.Say(agent.User, "x")}}, nil); err == nil {
		t.Errorf("a call that is not JSON: got %+v, want an error", got)
	}
}

// TestModel_Incomplete: what a server sends that is not the protocol, or not all of an answer, is no answer.
func TestModel_Incomplete(t *testing.T) {
	const (
		start = `{"type":"message_start","message":{"id":"m","type":"message","role":"assistant","model":"x","content":[]}}`
		block = `{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`
		word  = `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"half"}}`
		stop  = `{"type":"message_stop"}`
	)
	for name, events := range map[string][]string{
		"only the end":         {stop},
		"nothing in between":   {start, stop},
		"no stop reason":       {start, block, word, stop},
		"a word before all":    {word},
		"end of no block":      {start, `{"type":"content_block_stop","index":5}`},
		"end without index":    {start, `{"type":"content_block_stop"}`},
		"end of index below 0": {start, block, `{"type":"content_block_stop","index":-1}`},
		"not JSON":             {"<html>"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				for _, data := range events {
					var event struct{ Type string }
					_ = json.Unmarshal([]byte(data), &event)
					fmt.Fprintf(w, "event: %s\ndata: %s\n\n", event.Type, data)
				}
			}))
			defer server.Close()
			model := anthropic.New(anthropic.Config{APIKey: "k", BaseURL: server.URL})
			turn, err := agent.Ask(t.Context(), model, agent.Request{Messages: []agent.Message{agent.Say(agent.User, "x")}}, nil)
			if err == nil {
				t.Errorf("got %+v, want an error", turn)
			}
		})
	}
}

func TestModel_Cancel(t *testing.T) {
	server, model := serve(t, parts{{Text: "one"}, {Text: " two"}, done(agent.StopDone)})
	server.Next(anthropictest.Fault{Then: anthropictest.Silent, After: 1})
	ctx, cancel := context.WithCancel(t.Context())
	_, err := agent.Ask(ctx, model, agent.Request{Messages: []agent.Message{agent.Say(agent.User, "x")}}, func(string) error {
		cancel()
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	for changed := server.Changed(); server.Gone() == 0; changed = server.Changed() {
		select {
		case <-changed:
		case <-time.After(time.Minute):
			t.Fatal("the client does not go away")
		}
	}
}

func TestModel_NoKeyInErrors(t *testing.T) {
	server, model := serve(t, parts{})
	server.Next(anthropictest.Fault{Status: 401, Type: "authentication_error"})
	_, err := agent.Ask(t.Context(), model, agent.Request{Messages: []agent.Message{agent.Say(agent.User, "x")}}, nil)
	if err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v", err)
	}
}

func TestFromEnvironment(t *testing.T) {
	t.Setenv("ANTHROPIC_API_KEY", "")
	if _, ok := anthropic.FromEnvironment(); ok {
		t.Error("ok without a key")
	}
	t.Setenv("ANTHROPIC_API_KEY", "k")
	t.Setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:1")
	t.Setenv("ANTHROPIC_MODEL", "m")
	got, ok := anthropic.FromEnvironment()
	if want := (anthropic.Config{APIKey: "k", BaseURL: "http://127.0.0.1:1", Model: "m"}); !ok || got != want {
		t.Errorf("got %+v, %t, want %+v", got, ok, want)
	}
}
