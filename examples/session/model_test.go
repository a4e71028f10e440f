package session_test

import (
	"context"
	"errors"
	"iter"

	"github.com/perdure/perdure/examples/session/agent"
)

// silent is a model that must not be asked.
type silent struct{}

func (silent) Answer(context.Context, agent.Request) iter.Seq2[agent.Part, error] {
	return func(yield func(agent.Part, error) bool) { yield(agent.Part{}, errors.New("the model was asked again")) }
}
