package objects

import (
	"context"
	"time"

	"github.com/perdure/perdure/actor"
)

// Wait says how long a call takes.
type Wait struct {
	Millis int `json:"millis"`
}

// SlowWait is the hook of [Slow].
var SlowWait = actor.NewHook[Wait, int]("wait")

var dally = actor.NewStep("dally", func(ctx context.Context, w Wait) (actor.None, error) {
	return actor.None{}, Pause(ctx, time.Duration(w.Millis)*time.Millisecond)
})

// Slow is a run function whose calls take as long as they say; they are answered with their number.
var Slow = actor.NewWorkflow("slow", func(ctx actor.Context, _ actor.None) (actor.None, error) {
	hook := SlowWait.Create(ctx)
	for n := 1; ; n++ {
		call, err := hook.Await(ctx)
		if err != nil {
			return actor.None{}, err
		}
		if _, err := dally.Run(ctx, call.Payload); err != nil {
			return actor.None{}, err
		}
		call.Reply(ctx, n)
	}
}, SlowWait)
