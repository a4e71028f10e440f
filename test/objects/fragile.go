package objects

import (
	"errors"
	"time"

	"github.com/perdure/perdure/actor"
)

// Poke is the hook of the workflow "fragile".
var Poke = actor.NewHook[Amount, int]("poke")

// NewFragile defines a run function that adds up what it gets and, while it is fragile, panics at 13.
func NewFragile(fragile bool) actor.Definition {
	return actor.NewWorkflow("fragile", func(ctx actor.Context, _ actor.None) (actor.None, error) {
		sum := 0
		for call, err := range Poke.Create(ctx).All(ctx) {
			if err != nil {
				return actor.None{}, err
			}
			if fragile && call.Payload.N == 13 {
				panic("thirteen")
			}
			sum += call.Payload.N
			call.Reply(ctx, sum)
		}
		return actor.None{}, nil
	}, Poke)
}

// Hurry is the hook of [Hurried].
var Hurry = actor.NewHook[Wait, string]("hurry")

// Hurried is a run function whose step has 200 ms: it answers "done" or "late".
var Hurried = actor.NewWorkflow("hurried", func(ctx actor.Context, _ actor.None) (actor.None, error) {
	hook := Hurry.Create(ctx)
	for {
		call, err := hook.Await(ctx)
		if err != nil {
			return actor.None{}, err
		}
		_, err = dally.Run(actor.WithTimeout(ctx, 200*time.Millisecond), call.Payload)
		switch {
		case errors.Is(err, actor.ErrTimeout):
			call.Reply(ctx, "late")
		case err != nil:
			return actor.None{}, err
		default:
			call.Reply(ctx, "done")
		}
	}
}, Hurry)
