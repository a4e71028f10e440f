// Package counter is a durable counter, written in both ways that Perdure has.
//
// # Model
//
// [Counter] is a run function: a loop that awaits a hook. Its local variable count is the state, rebuilt by replay.
// [Tallies] is a type with methods: the struct's field is the state, committed with every call.
//
// Both are definitions for a node, such as perdure.Main(counter.Counter, counter.Tallies), and typed handles for
// callers: [Hook], [Add] and [Get].
package counter

import (
	"context"

	"github.com/perdure/perdure/actor"
)

// Action is what a counter is asked to do.
type Action struct {
	Type   string `json:"type" jsonschema:"enum=increment,enum=decrement,enum=get"`
	Amount int    `json:"amount,omitzero" jsonschema:"default=1"`
}

// Value is what the counter emits when it is read.
type Value struct {
	Count int `json:"count"`
}

var action = actor.NewHook[Action, int]("action")

var (
	recordState = actor.NewStep("recordState", func(_ context.Context, count int) (int, error) { return count, nil })
	emitValue   = actor.NewStep("emitValue", func(_ context.Context, count int) (Value, error) { return Value{count}, nil })
)

// Counter counts for as long as it is called. Its run ID is "counter/<key>", its hook's token "counter:<run ID>".
var Counter = actor.NewWorkflow("counter", func(ctx actor.Context, _ actor.None) (actor.None, error) {
	count := 0
	for {
		hook := action.Create(ctx, actor.Token("counter:"+actor.Metadata(ctx).RunID))
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
}, action)

// Hook is the counter's only hook, "action", for callers outside this package. A call answers the count.
var Hook = action
