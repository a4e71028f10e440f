package session

import (
	"context"
	"errors"
	"time"

	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/examples/counter"
	"github.com/perdure/perdure/examples/session/agent"
)

// tallyName is the input of the tool that reads a tally.
type tallyName struct {
	Name string `json:"name" jsonschema_description:"which tally"`
}

// tallyAmount is the input of the tool that adds to a tally.
type tallyAmount struct {
	Name string `json:"name" jsonschema_description:"which tally"`
	N    int    `json:"n" jsonschema_description:"how much to add; negative to take away"`
}

// tools are what the agent can do. Two of them call another durable object.
func tools(client func(context.Context) (actor.Client, error)) []agent.Tool {
	return []agent.Tool{
		agent.NewTool("tally_add", "Adds to a tally and returns its new count.",
			func(ctx context.Context, in tallyAmount) (int, error) {
				c, err := client(ctx)
				if err != nil {
					return 0, err
				}
				step, _ := actor.StepMetadata(ctx)
				// The step's ID as call ID: however often the step is tried, the tally adds once.
				n, err := counter.Add.Call(ctx, c, in.Name, counter.Amount{N: in.N}, actor.CallID(step.ID))
				return n, lasting(err)
			}),
		agent.NewTool("tally_get", "Returns the count of a tally.",
			func(ctx context.Context, in tallyName) (int, error) {
				c, err := client(ctx)
				if err != nil {
					return 0, err
				}
				n, err := counter.Get.Call(ctx, c, in.Name, actor.None{})
				return n, lasting(err)
			}),
		agent.NewTool("clock", "Returns the date and time.",
			func(context.Context, struct{}) (string, error) { return time.Now().Format(time.RFC1123), nil }),
	}
}

// lasting marks what repeating would not change: the model should hear of it at once.
func lasting(err error) error {
	if errors.Is(err, actor.ErrInvalid) || errors.Is(err, actor.ErrFailed) {
		return actor.Terminal(err)
	}
	return err
}
