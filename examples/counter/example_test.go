package counter_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/examples/counter"
)

// A counter is called by its key. It starts with its first call.
func Example() {
	ctx := context.Background()
	client, stop := startNode(ctx)
	defer stop()

	alice := counter.Counter.At("alice")
	n, err := counter.Hook.Call(ctx, client, alice, counter.Action{Type: "increment", Amount: 2})
	fmt.Println(n, err)
	n, err = counter.Hook.Call(ctx, client, alice, counter.Action{Type: "decrement"})
	fmt.Println(n, err)
	// Output:
	// 2 <nil>
	// 1 <nil>
}

// Whoever knows a hook's token can resume it. It is durable when Resume returns.
func Example_resume() {
	ctx := context.Background()
	client, stop := startNode(ctx)
	defer stop()

	alice := counter.Counter.At("alice")
	if _, err := counter.Hook.Call(ctx, client, alice, counter.Action{Type: "get"}); err != nil { // starts the run
		log.Print(err)
	}
	if err := actor.Resume(ctx, client, "counter:counter/alice", counter.Action{Type: "increment"}); err != nil {
		log.Print(err)
	}
	n, err := counter.Hook.Call(ctx, client, alice, counter.Action{Type: "get"})
	fmt.Println(n, err)
	// Output: 1 <nil>
}

// A send is durable when it returns, and applied in its sender's order.
func Example_send() {
	ctx := context.Background()
	client, stop := startNode(ctx)
	defer stop()

	alice := counter.Counter.At("alice")
	for range 3 {
		if _, err := counter.Hook.Send(ctx, client, alice, counter.Action{Type: "increment"}); err != nil {
			log.Print(err)
		}
	}
	n, err := counter.Hook.Call(ctx, client, alice, counter.Action{Type: "get"})
	fmt.Println(n, err)
	// Output: 3 <nil>
}

// The same as an object with methods.
func ExampleTallies() {
	ctx := context.Background()
	client, stop := startNode(ctx)
	defer stop()

	n, err := counter.Add.Call(ctx, client, "bob", counter.Amount{N: 2})
	fmt.Println(n, err)
	n, err = counter.Get.Call(ctx, client, "bob", actor.None{})
	fmt.Println(n, err)
	state, ok, err := counter.Tallies.State(ctx, client, "bob")
	fmt.Println(state.Count, ok, err)
	// Output:
	// 2 <nil>
	// 2 <nil>
	// 2 true <nil>
}

// startNode runs a node in this process, without sockets, on a store of its own. A program that is a node is shorter:
// perdure.Main(counter.Counter, counter.Tallies).
func startNode(ctx context.Context) (client *perdure.Client, stop func()) {
	dir, err := os.MkdirTemp("", "counter")
	if err != nil {
		log.Fatal(err)
	}
	node, err := perdure.Start(ctx, perdure.Config{Listen: "none", Store: dir}, counter.Counter, counter.Tallies)
	if err != nil {
		log.Fatal(err)
	}
	return node.Client(), func() {
		if err := node.Stop(); err != nil {
			log.Print(err)
		}
		if err := os.RemoveAll(dir); err != nil {
			log.Print(err)
		}
	}
}
