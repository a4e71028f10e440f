package objects

import (
	"context"

	"github.com/perdure/perdure/actor"
)

// Tell is the story's hook.
var Tell = actor.NewHook[actor.None, []string]("tell")

// NewStory defines the workflow "story": each call runs the steps with these names, one after another, and is answered
// with their names. Other names are other code for the same runs.
func NewStory(steps ...string) actor.Definition {
	run := make([]*actor.Step[int, string], len(steps))
	for i, name := range steps {
		run[i] = actor.NewStep(name, func(context.Context, int) (string, error) { return name, nil })
	}
	return actor.NewWorkflow("story", func(ctx actor.Context, _ actor.None) (actor.None, error) {
		hook := Tell.Create(ctx)
		for {
			call, err := hook.Await(ctx)
			if err != nil {
				return actor.None{}, err
			}
			var told []string
			for i, s := range run {
				out, err := s.Run(ctx, i)
				if err != nil {
					return actor.None{}, err
				}
				told = append(told, out)
			}
			call.Reply(ctx, told)
		}
	}, Tell)
}
