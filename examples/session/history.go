package session

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/examples/session/agent"
)

// Talk is a session's state.
type Talk struct {
	Summary  string          `json:"summary,omitempty"` // of what is no longer in Messages
	Messages []agent.Message `json:"messages"`
	Usage    agent.Usage     `json:"usage"`
	Chunks   int             `json:"chunks"` // in the stream "default" before the answer in progress
	Uses     int             `json:"uses"`   // in the stream "activity", likewise
}

// notes is what the model has to know beside the messages.
func (t *Talk) notes() string {
	if t.Summary == "" {
		return ""
	}
	return "What was said before the messages that you see:\n" + t.Summary
}

func (t *Talk) size() int { return len(t.Summary) + sizeOf(t.Messages) }

func sizeOf(messages []agent.Message) int {
	n := 0
	for i := range messages {
		n += messages[i].Size()
	}
	return n
}

// cut returns how many messages to summarise, so that what stays has at most half of limit, and begins with something
// that the user said.
func (t *Talk) cut(limit int) int {
	at := 0
	for i := range t.Messages {
		if t.Messages[i].Asks() {
			at = i
			if sizeOf(t.Messages[i:]) <= limit/2 {
				break
			}
		}
	}
	return at
}

// shorten replaces the older messages by a summary. A single message over the limit stays as it is.
func (s *session) shorten(ctx actor.Context, talk *Talk, wait agent.Wait) (stopped bool, err error) {
	at := talk.cut(s.limit)
	if at == 0 {
		return false, nil
	}
	old := s.summarise.Start(ctx, Talk{Summary: talk.Summary, Messages: talk.Messages[:at]})
	if stopped, err := wait(ctx, old); stopped || err != nil {
		old.Cancel(ctx)
		return stopped, err
	}
	summary, err := old.Await(ctx)
	if err != nil {
		return false, err
	}
	talk.Summary, talk.Messages = summary, talk.Messages[at:]
	return false, nil
}

const summariseInstructions = `You summarise conversations. Keep names, numbers, decisions and open questions. Write at most 200 words, and nothing else.`

func summariseStep(model agent.Model, retry actor.RetryPolicy) *actor.Step[Talk, string] {
	return actor.NewStep("summarise", func(ctx context.Context, old Talk) (string, error) {
		turn, err := agent.Ask(ctx, model, agent.Request{
			Instructions: summariseInstructions,
			Messages:     []agent.Message{agent.Say(agent.User, "Summarise:\n"+old.transcript())},
		}, nil)
		return turn.Message.Text(), err
	}, actor.Retry(retry))
}

// transcript is the talk as one reads it. What tools were used for is in what was said.
func (t *Talk) transcript() string {
	var b strings.Builder
	if t.Summary != "" {
		fmt.Fprintf(&b, "(earlier) %s\n", t.Summary)
	}
	for _, m := range t.Messages {
		if text := m.Text(); text != "" {
			fmt.Fprintf(&b, "%s: %s\n", m.Role, text)
		}
	}
	return b.String()
}

// passage is the part of the stream "default" from index From to the end of that answer.
type passage struct {
	Key  string `json:"key"`
	From int    `json:"from"`
}

// heard is what stands in a passage.
type heard struct {
	Text   string `json:"text"`
	Chunks int    `json:"chunks"` // with the empty one at the end
}

// listen returns what readers have of an answer that did not end by itself. Its step died with what it knew, but the
// stream has all that was said. When that cannot be read for good, the end of the answer is all that is known.
func (s *session) listen(ctx actor.Context, talk *Talk) (string, error) {
	said, err := s.heard.Run(ctx, passage{actor.Metadata(ctx).Key, talk.Chunks})
	if err != nil {
		said.Chunks = 1
	}
	talk.Chunks += said.Chunks
	return said.Text, err
}

func heardStep(client func(context.Context) (actor.Client, error)) *actor.Step[passage, heard] {
	return actor.NewStep("heard", func(ctx context.Context, p passage) (heard, error) {
		c, err := client(ctx)
		if err != nil {
			return heard{}, err
		}
		var said []string
		for chunk, err := range Text.Read(ctx, c, At(p.Key), p.From) {
			if rewind, ok := errors.AsType[*actor.RewindError](err); ok {
				said = said[:min(max(int(rewind.Index)-p.From, 0), len(said))]
				continue
			}
			if err != nil {
				return heard{}, err
			}
			said = append(said, chunk.Text)
			if chunk.Text == "" {
				return heard{strings.Join(said, ""), len(said)}, nil
			}
		}
		return heard{}, errors.New("the stream ended within an answer")
	}, actor.Retry(actor.RetryPolicy{Attempts: 1000, Timeout: 30 * time.Second}))
}
