// Command chat is a chat with a durable session, in a terminal.
//
//	go run ./examples/session/chat [--nats URL] [--store DIR] [KEY]
//
// Without --nats it runs a node of its own, on a store that the next chat finds again. Ctrl-C stops the answer in
// progress; when there is none, or the second time, it ends the program. So does the end of the input.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"

	"github.com/nats-io/nats.go"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/examples/counter"
	"github.com/perdure/perdure/examples/session"
	"github.com/perdure/perdure/examples/session/anthropic"
)

// Exit codes.
const (
	exitDone  = 0
	exitFail  = 1
	exitUsage = 2
)

func main() {
	interrupts := make(chan os.Signal, 2)
	signal.Notify(interrupts, os.Interrupt)
	os.Exit(run(context.Background(), os.Args[1:], terminal{os.Stdin, os.Stdout, os.Stderr, interrupts}))
}

// terminal is where the user sits.
type terminal struct {
	in         io.Reader
	out, err   io.Writer
	interrupts <-chan os.Signal
}

func run(ctx context.Context, args []string, t terminal) int {
	flags := flag.NewFlagSet("chat", flag.ContinueOnError)
	flags.SetOutput(t.err)
	url := flags.String("nats", "", "NATS server of nodes that host sessions; without it the chat runs a node of its own")
	store := flags.String("store", "./perdure-chat", "folder of that node")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return exitDone
	case err == nil && flags.NArg() > 1:
		say(t.err, "chat: one session at a time")
		return exitUsage
	case err != nil:
		return exitUsage
	}
	key := flags.Arg(0)
	if key == "" {
		key = "me"
	}
	talk := join
	if *url == "" {
		talk = func(ctx context.Context, t terminal, _, key string) error { return host(ctx, t, *store, key) }
	}
	if err := talk(ctx, t, *url, key); err != nil {
		say(t.err, "chat: %v", err)
		return exitFail
	}
	return exitDone
}

// join talks to a session of nodes that run elsewhere.
func join(ctx context.Context, t terminal, url, key string) error {
	nc, err := nats.Connect(url, nats.Name("chat"), nats.MaxReconnects(-1))
	if err != nil {
		return fmt.Errorf("connect to %s: %w", url, err)
	}
	defer nc.Close()
	return newChat(perdure.NewClient(nc), session.At(key), t.out).run(ctx, lines(t.in), t.interrupts)
}

// host runs a node and talks to a session on it.
func host(ctx context.Context, t terminal, store, key string) error {
	var link session.Link
	node, err := perdure.Start(ctx, perdure.Config{Store: store, Listen: "127.0.0.1:0"},
		counter.Tallies, session.New(session.Config{Model: anthropic.OrScripted(), Client: link.Client}))
	if err != nil {
		return fmt.Errorf("%w (where another chat is open, join it with --nats)", err)
	}
	link.Set(node.Client())
	say(t.out, "This is session/%s, kept in %s. Others can take part:", key, store)
	say(t.out, "  go run ./examples/session/chat --nats %s %s", node.URL(), key)
	say(t.out, "  go run ./cmd/client --nats %s tail session/%s -f\n", node.URL(), key)
	err = newChat(node.Client(), session.At(key), t.out).run(ctx, lines(t.in), t.interrupts)
	return errors.Join(err, node.Stop())
}

// lines returns what the user types, line by line. Its reader ends with the input or the process: nothing else ends a
// read from a terminal.
func lines(in io.Reader) <-chan string {
	typed := make(chan string)
	var reader sync.WaitGroup
	reader.Go(func() {
		defer close(typed)
		for s := bufio.NewScanner(in); s.Scan(); {
			typed <- s.Text()
		}
	})
	return typed
}

// say prints a line. That the terminal went away is nobody's concern here.
func say(w io.Writer, format string, args ...any) { _, _ = fmt.Fprintf(w, format+"\n", args...) }
