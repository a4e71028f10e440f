package objects

import "github.com/perdure/perdure/actor"

// Start is the sum's input.
type Start struct {
	From int `json:"from"`
}

// SumAdd adds, SumEnd ends the run.
var (
	SumAdd = actor.NewHook[Amount, int]("add")
	SumEnd = actor.NewHook[actor.None, actor.None]("end")
)

// Sum is a workflow that needs an input and has an end: its result is the sum.
var Sum = actor.NewWorkflow("sum", func(ctx actor.Context, in Start) (int, error) {
	sum := in.From
	add, end := SumAdd.Create(ctx), SumEnd.Create(ctx)
	for {
		which, err := actor.Race(ctx, add, end)
		if err != nil {
			return 0, err
		}
		if which == 1 {
			return sum, nil
		}
		call, err := add.Await(ctx)
		if err != nil {
			return 0, err
		}
		sum += call.Payload.N
		call.Reply(ctx, sum)
	}
}, SumAdd, SumEnd)
