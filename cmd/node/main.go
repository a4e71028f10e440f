// Command node is a node of durable objects, with the example objects in it.
//
// A node of your own is as short: perdure.Main with your definitions.
package main

import (
	"github.com/perdure/perdure"
	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/examples/counter"
	"github.com/perdure/perdure/examples/session"
	"github.com/perdure/perdure/examples/session/anthropic"
)

func main() {
	var link session.Link
	perdure.Program{
		Definitions: []actor.Definition{
			counter.Counter, counter.Tallies,
			session.New(session.Config{Model: anthropic.OrScripted(), Client: link.Client}),
		},
		Started: func(n *perdure.Node) { link.Set(n.Client()) },
		Try:     try,
	}.Main()
}
