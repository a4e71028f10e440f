package main

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/examples/session"
	"github.com/perdure/perdure/examples/session/agent"
)

// patience is how long an answer may take.
const patience = time.Hour

// chat is one user's part in a session.
type chat struct {
	client actor.Client
	addr   actor.Address
	screen *screen
}

func newChat(client actor.Client, addr actor.Address, out io.Writer) *chat {
	return &chat{client, addr, newScreen(out)}
}

// run shows what was said, and then passes on what the user types and shows what the agent says, until the input ends,
// ctx ends, or the user interrupts where nothing is to be interrupted.
func (c *chat) run(ctx context.Context, typed <-chan string, interrupts <-chan os.Signal) error {
	talk, err := session.History.Call(ctx, c.client, c.addr, actor.None{})
	if err != nil {
		return err
	}
	c.screen.recall(talk)
	ctx, quit := context.WithCancel(ctx)
	showing, ctx := errgroup.WithContext(ctx)
	showing.Go(func() error { return c.screen.follow(ctx, c.client, c.addr, talk.Chunks) })
	showing.Go(func() error { return c.screen.watch(ctx, c.client, c.addr, talk.Uses) })
	err = c.listen(ctx, typed, interrupts)
	quit()
	if shown := showing.Wait(); err == nil && !errors.Is(shown, context.Canceled) {
		err = shown
	}
	return err
}

func (c *chat) listen(ctx context.Context, typed <-chan string, interrupts <-chan os.Signal) error {
	for {
		c.screen.prompt()
		select {
		case line, ok := <-typed:
			if !ok {
				return nil
			}
			if line = strings.TrimSpace(line); line == "" {
				continue
			}
			if more, err := c.ask(ctx, line, interrupts); err != nil || !more {
				return err
			}
		case <-interrupts:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

// ask sends a message and waits until its answer is on the screen. The first interrupt cancels the answer; after the
// second more is false.
func (c *chat) ask(ctx context.Context, line string, interrupts <-chan os.Signal) (more bool, err error) {
	ctx, leave := context.WithCancel(ctx)
	answered := make(chan error, 1)
	calls, callCtx := errgroup.WithContext(ctx)
	defer func() {
		leave()
		_ = calls.Wait() // each call has said what became of it
	}()
	c.screen.answering()
	calls.Go(func() error {
		_, err := session.Messages.Call(callCtx, c.client, c.addr, session.Message{Role: string(agent.User), Content: line}, actor.Timeout(patience))
		answered <- err
		return nil
	})
	for cancelled := false; ; {
		select {
		case err := <-answered:
			c.settle(ctx, err)
			return true, nil
		case <-interrupts:
			if cancelled {
				return false, nil
			}
			cancelled = true
			calls.Go(func() error {
				if _, err := session.Cancel.Call(callCtx, c.client, c.addr, actor.None{}); err != nil && callCtx.Err() == nil {
					c.screen.note("cannot stop the answer: %v", err)
				}
				return nil
			})
		case <-ctx.Done():
			return false, nil
		}
	}
}

// settle waits until the answer is on the screen, or says why there is none.
func (c *chat) settle(ctx context.Context, err error) {
	if err != nil {
		c.screen.note("%v", err)
		return
	}
	talk, err := session.History.Call(ctx, c.client, c.addr, actor.None{})
	if err != nil {
		c.screen.note("%v", err)
		return
	}
	c.screen.await(ctx, talk.Chunks)
}
