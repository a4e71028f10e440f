package perdure

import (
	"github.com/nats-io/nats.go"

	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/jetstream"
)

// Client reaches objects from outside: see its methods, and the typed handles of package actor.
// It is an [actor.Client], safe for concurrent use.
type Client = jetstream.Client

// ClientConfig is what a client may be told; its zero value suits an installation without prefix.
type ClientConfig = jetstream.ClientConfig

// NewClient makes a client on a connection that the caller has and keeps. It starts nothing and cannot block.
// A program that must not link the embedded server calls jetstream.NewClient, which is the same.
func NewClient(nc *nats.Conn) *Client { return jetstream.NewClient(nc, ClientConfig{}) }

var _ actor.Client = (*Client)(nil)
