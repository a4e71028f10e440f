// Package objects has the types that the black-box suites drive: the programs of the documentation, and others that
// show what the engine does with order, time, failures and limits.
package objects

import (
	"context"

	"github.com/perdure/perdure/actor"
)

// Action is what the counter is told to do.
type Action struct {
	Type   string `json:"type" jsonschema:"enum=increment,enum=decrement,enum=get"`
	Amount int    `json:"amount,omitzero" jsonschema:"default=1"`
}

// Value is the counter's value as it is emitted.
type Value struct {
	Count int `json:"count"`
}

// Act is the counter's hook.
var Act = actor.NewHook[Action, int]("action")

var (
	recordState = actor.NewStep("recordState", func(_ context.Context, count int) (int, error) { return count, nil })
	emitValue   = actor.NewStep("emitValue", func(_ context.Context, count int) (Value, error) { return Value{count}, nil })
)

// Counter is the pattern's counter, its hook made inside the loop.
var Counter = actor.NewWorkflow("counter", func(ctx actor.Context, _ actor.None) (actor.None, error) {
	count := 0
	for {
		hook := Act.Create(ctx, actor.Token("counter:"+actor.Metadata(ctx).RunID))
		call, err := hook.Await(ctx)
		if err != nil {
			return actor.None{}, err
		}
		switch call.Payload.Type {
		case "increment":
			count += call.Payload.Amount
			_, err = recordState.Run(ctx, count)
		case "decrement":
			count -= call.Payload.Amount
			_, err = recordState.Run(ctx, count)
		case "get":
			_, err = emitValue.Run(ctx, count)
		}
		if err != nil {
			return actor.None{}, err
		}
		call.Reply(ctx, count)
	}
}, Act)

// Amount is what is added to a tally.
type Amount struct {
	N int `json:"n"`
}

// Tally is the counter as a state type.
type Tally struct {
	Count int `json:"count"`
}

// Add adds and returns the sum.
func (t *Tally) Add(_ actor.Context, in Amount) (int, error) { t.Count += in.N; return t.Count, nil }

// Get returns the sum.
func (t Tally) Get(actor.ReadContext, actor.None) (int, error) { return t.Count, nil }

// The tally's type and its typed client.
var (
	Tallies  = actor.NewObject[Tally]("tally")
	TallyAdd = actor.NewMethod(Tallies, "add", (*Tally).Add)
	TallyGet = actor.NewQuery(Tallies, "get", Tally.Get)
)
