package perdure

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/perdure/perdure/actor"
)

// Exit codes of a node program.
const (
	exitDone  = 0
	exitFail  = 1
	exitUsage = 2
)

// Main is a whole node program: flags and environment in, exit code out. It does not return.
// SIGTERM and SIGINT make it hand over, finish turns in flight and exit 0; a second one, from 200 ms later on, exits at
// once.
func Main(defs ...actor.Definition) { Program{Definitions: defs}.Main() }

// Program is a node program.
type Program struct {
	Name        string // shown in help; default "node"
	Definitions []actor.Definition
	// Started is called with the node once it is up: its client is for steps that call other objects. Nil: nobody is.
	Started func(*Node)
	// Try returns lines that are printed once the node is up, of what to try next, where its NATS server listens at
	// url and its subjects have this prefix. Nil: none.
	Try func(url, prefix string) []string
}

// Main runs the program with the process's arguments and exits.
func (p Program) Main() {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	ctx, leave := context.WithCancel(context.Background()) //nolint:forbidigo // the process's own
	go func() {                                            // lives as long as the process
		awaitTwo(signals, leave)
		os.Exit(exitFail)
	}()
	os.Exit(p.Run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// sameMoment is within what a second signal is the first one again: timeout(1), and a terminal in front of a shell's
// script, signal the process and then its group.
const sameMoment = 200 * time.Millisecond

// awaitTwo calls leave at the first signal and returns at the second.
func awaitTwo(signals <-chan os.Signal, leave func()) {
	<-signals
	leave()
	for first := time.Now(); time.Since(first) < sameMoment; {
		<-signals
	}
}

// Run runs the program until ctx ends or the node cannot go on, and returns the exit code: 0 done, 1 failed, 2 usage.
func (p Program) Run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	name := p.Name
	if name == "" {
		name = "node"
	}
	f, err := parseFlags(name, args, stdout)
	switch {
	case errors.Is(err, errHelp):
		return exitDone
	case err != nil:
		say(stderr, "%s: %v; see --help", name, err)
		return exitUsage
	}
	for _, flag := range f.notBuilt() {
		say(stderr, "%s: %s is not built yet and has no effect", name, flag)
	}
	node, err := Start(ctx, f.config(stderr), p.Definitions...)
	if err != nil {
		if ctx.Err() != nil {
			return exitDone
		}
		say(stderr, "%s: %v", name, err)
		return exitFail
	}
	if p.Started != nil {
		p.Started(node)
	}
	p.greet(stdout, node)
	select {
	case <-ctx.Done():
	case <-node.Done():
	}
	if err := node.Stop(); err != nil {
		say(stderr, "%s: %v", name, err)
		return exitFail
	}
	return exitDone
}

func (p Program) greet(w io.Writer, n *Node) {
	say(w, "Node %s is up: %s", n.cfg.Name, n.where())
	if p.Try == nil {
		return
	}
	if lines := p.Try(n.URL(), n.cfg.Prefix); len(lines) > 0 {
		say(w, "\nTry, from another terminal:")
		for _, line := range lines {
			say(w, "  %s", line)
		}
	}
}

// say prints a line. That the terminal went away is nobody's concern here.
func say(w io.Writer, format string, args ...any) { _, _ = fmt.Fprintf(w, format+"\n", args...) }
