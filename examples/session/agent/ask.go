package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"

	"github.com/perdure/perdure/actor"
)

// Model is a language model.
type Model interface {
	// Answer asks the model and yields its answer piece by piece as it comes: text as it is spoken, each call of a
	// tool once it is complete, and an [End] as the last part. An error is the last thing yielded, and what was
	// yielded before it is void. It is retried unless it is an actor.Terminal, after the time that an
	// actor.RetryAfter asks for. A model that has fallen silent is an error too, and is not waited for without end.
	// When ctx ends the model is no longer asked.
	Answer(ctx context.Context, q Request) iter.Seq2[Part, error]
}

// Request is what a model is asked.
type Request struct {
	Instructions string    `json:"instructions,omitempty"`
	Messages     []Message `json:"messages"`
	Tools        []Spec    `json:"tools,omitempty"`
	Last         bool      `json:"last,omitempty"` // tools may not be called any more: the answer must come now
}

// Spec is what a model has to know of a tool.
type Spec struct {
	Name        string          `json:"name"`
	Description string          `json:"description"`
	Input       json.RawMessage `json:"input"` // JSON schema
}

// Turn is a model's complete answer to one request.
type Turn struct {
	Message Message `json:"message"`
	End     End     `json:"end"`
	Chunks  int     `json:"chunks"` // how many were written to the stream
}

// errCut is retried: a model that falls silent without an end has not finished.
var errCut = errors.New("the model's answer was cut off")

// MaxAnswer is how many bytes a model may say and ask for in one answer, and a tool in one result: it fits in one event
// of the log, and in one chunk, however much of it JSON escapes.
const MaxAnswer = 128 << 10

// Ask asks the model and returns its complete answer, showing each piece of text meanwhile. A nil show shows nothing.
func Ask(ctx context.Context, m Model, q Request, show func(text string) error) (Turn, error) {
	turn, size := Turn{Message: Message{Role: Assistant}}, 0
	for part, err := range m.Answer(ctx, q) {
		if err != nil {
			return turn, err
		}
		if part.End != nil {
			turn.End = *part.End
			return turn, nil
		}
		if size += part.size(); size > MaxAnswer {
			return turn, actor.Terminal(fmt.Errorf("the model's answer has more than %d bytes", MaxAnswer))
		}
		if part.Text == "" || show == nil {
			turn.Message.add(part)
		} else if err := turn.say(part.Text, show); err != nil {
			return turn, err
		}
	}
	if err := ctx.Err(); err != nil {
		return turn, err
	}
	return turn, errCut
}

// say adds text to the answer once it is shown.
func (t *Turn) say(text string, show func(text string) error) error {
	if err := show(text); err != nil {
		return err
	}
	t.Message.add(Part{Text: text})
	t.Chunks++
	return nil
}
