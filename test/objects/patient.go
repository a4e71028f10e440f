package objects

import (
	"errors"
	"time"

	"github.com/perdure/perdure/actor"
)

// Nudge is what a patient run waits for.
var Nudge = actor.NewHook[actor.None, actor.None]("nudge")

// Patient waits for a nudge, for as long as it is told, and ends with whether it came.
var Patient = actor.NewWorkflow("patient", func(ctx actor.Context, w Wait) (bool, error) {
	_, err := Nudge.Create(ctx).Await(actor.WithTimeout(ctx, time.Duration(w.Millis)*time.Millisecond))
	if errors.Is(err, actor.ErrTimeout) {
		return false, nil
	}
	return err == nil, err
}, Nudge)
