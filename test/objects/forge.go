package objects

import (
	"time"

	"github.com/perdure/perdure/actor"
)

// Forge is an object whose method takes steps and sleeps in the middle of a call.
type Forge struct {
	Made []Made `json:"made"`
}

// Made is one thing that was made.
type Made struct {
	ID    int       `json:"id"`
	Begun time.Time `json:"begun"`
	Done  time.Time `json:"done"`
	Dice  uint64    `json:"dice"`
}

// Make waits in a step, sleeps as long again, and notes when it began and ended, by the run's own clock.
func (f *Forge) Make(ctx actor.Context, w Wait) (Made, error) {
	m := Made{ID: len(f.Made) + 1, Begun: actor.Now(ctx), Dice: actor.Rand(ctx).Uint64()}
	if _, err := dally.Run(ctx, w); err != nil {
		return Made{}, err
	}
	if err := actor.Sleep(ctx, time.Duration(w.Millis)*time.Millisecond); err != nil {
		return Made{}, err
	}
	m.Done = actor.Now(ctx)
	f.Made = append(f.Made, m)
	return m, nil
}

// Count returns how many things were made.
func (f Forge) Count(actor.ReadContext, actor.None) (int, error) { return len(f.Made), nil }

// The forge's type and its typed client.
var (
	Forges     = actor.NewObject[Forge]("forge")
	ForgeMake  = actor.NewMethod(Forges, "make", (*Forge).Make)
	ForgeCount = actor.NewQuery(Forges, "count", Forge.Count)
)
