package perdure

import (
	"context"

	"github.com/nats-io/nats.go"
)

// server is the NATS system that a node works with: one that it embeds, or external ones.
type server interface {
	address() string                    // for nats.Connect
	options(replies bool) []nats.Option // of a connection, or of the one for replies
	url() string                        // for people
	describe() string                   // in half a sentence
	exclusive() bool                    // no other process can be on the store
	watch(ctx context.Context) error    // blocks until ctx ends, or until the server cannot go on
	stop() error
}

func (n *Node) findServer(ctx context.Context) (server, error) {
	if len(n.cfg.NATS) > 0 {
		return newExternal(n.cfg, func() *nats.Conn { return n.links.main })
	}
	return startEmbedded(ctx, n.cfg, n.replies)
}
