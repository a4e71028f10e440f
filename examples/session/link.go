package session

import (
	"context"
	"fmt"
	"sync"

	"github.com/perdure/perdure/actor"
)

// Link hands a node's client to the steps that it runs: types are defined before there is a node, and the first steps
// may run before its starter has it. The zero value is ready.
type Link struct {
	once   sync.Once
	up     chan struct{}
	client actor.Client
}

// Set makes c the client. It is called once.
func (l *Link) Set(c actor.Client) {
	l.client = c
	close(l.wait())
}

// Client returns the client once it is set.
func (l *Link) Client(ctx context.Context) (actor.Client, error) {
	select {
	case <-l.wait():
		return l.client, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for the node's client: %w", context.Cause(ctx))
	}
}

func (l *Link) wait() chan struct{} {
	l.once.Do(func() { l.up = make(chan struct{}) })
	return l.up
}
