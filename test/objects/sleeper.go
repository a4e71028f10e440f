package objects

import (
	"time"

	"github.com/perdure/perdure/actor"
)

// Rest says how long a nap takes.
type Rest struct {
	Nanos int64 `json:"nanos"`
}

// Nap is the sleeper's hook.
var Nap = actor.NewHook[Rest, int]("nap")

// Sleeper is a run function that sleeps for as long as each call says, and answers with the call's number.
var Sleeper = actor.NewWorkflow("sleeper", func(ctx actor.Context, _ actor.None) (actor.None, error) {
	hook := Nap.Create(ctx)
	for n := 1; ; n++ {
		call, err := hook.Await(ctx)
		if err != nil {
			return actor.None{}, err
		}
		if err := actor.Sleep(ctx, time.Duration(call.Payload.Nanos)); err != nil {
			return actor.None{}, err
		}
		call.Reply(ctx, n)
	}
}, Nap)
