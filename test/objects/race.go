package objects

import (
	"time"

	"github.com/perdure/perdure/actor"
)

// Beat is what a ticker has counted.
type Beat struct {
	Ticks int `json:"ticks"`
	Sum   int `json:"sum"`
}

// Bump is the ticker's hook.
var Bump = actor.NewHook[Amount, Beat]("bump")

// Every is how long a ticker waits for a call.
const Every = 100 * time.Millisecond

// Ticker races its hook, made anew each time, against a sleep, in a loop.
var Ticker = actor.NewWorkflow("ticker", func(ctx actor.Context, _ actor.None) (actor.None, error) {
	var b Beat
	for {
		hook, timer := Bump.Create(ctx), actor.After(ctx, Every)
		which, err := actor.Race(ctx, hook, timer)
		if err != nil {
			return actor.None{}, err
		}
		if which == 1 {
			b.Ticks++
			continue
		}
		timer.Cancel(ctx)
		call, err := hook.Await(ctx)
		if err != nil {
			return actor.None{}, err
		}
		b.Sum += call.Payload.N
		call.Reply(ctx, b)
	}
}, Bump)
