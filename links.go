package perdure

import (
	"context"
	"crypto/tls"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/perdure/perdure/jetstream"
)

// links are a node's connections, one a purpose.
type links struct {
	main    *nats.Conn // calls, readers, JetStream requests
	appends *nats.Conn // appends only: it keeps nothing back while disconnected
	lease   *nats.Conn // the lease is renewed whatever else is going on
	replies *nats.Conn // may publish replies and nothing else, where the server can enforce it
}

func (l *links) close() {
	for _, nc := range []*nats.Conn{l.main, l.appends, l.lease, l.replies} {
		if nc != nil {
			nc.Close()
		}
	}
}

// connect reaches the server, embedded or external, and makes the node's connections.
func (n *Node) connect(ctx context.Context) (err error) {
	if n.server, err = n.findServer(ctx); err != nil {
		return err
	}
	for _, link := range []struct {
		conn    **nats.Conn
		purpose string
		replies bool
		opts    []nats.Option
	}{
		{&n.links.main, "calls", false, nil},
		{&n.links.appends, "appends", false, jetstream.AppendOptions()},
		{&n.links.lease, "lease", false, nil},
		{&n.links.replies, "replies", true, nil},
	} {
		opts := append(n.server.options(link.replies), n.common(link.purpose)...)
		if *link.conn, err = nats.Connect(n.server.address(), append(opts, link.opts...)...); err != nil {
			return fmt.Errorf("connect to %s: %w", n.server.address(), err)
		}
	}
	return nil
}

func (n *Node) common(purpose string) []nats.Option {
	log := n.cfg.Logger.With("connection", purpose)
	return []nats.Option{
		nats.Name("perdure " + n.cfg.Name + " " + purpose),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(200 * time.Millisecond),
		nats.ReconnectJitter(100*time.Millisecond, 100*time.Millisecond),
		nats.Timeout(5 * time.Second),
		nats.PingInterval(5 * time.Second),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log.Warn("disconnected", "err", err)
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) { log.Info("reconnected", "server", nc.ConnectedServerName()) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { log.Warn("nats", "err", err) }),
	}
}

// external is NATS servers that this node does not run.
type external struct {
	urls string
	opts []nats.Option
	conn func() *nats.Conn
}

func newExternal(cfg Config, conn func() *nats.Conn) (*external, error) {
	opts, err := cfg.Security.options()
	if err != nil {
		return nil, err
	}
	return &external{urls: strings.Join(cfg.NATS, ","), opts: opts, conn: conn}, nil
}

func (e *external) address() string                 { return e.urls }
func (e *external) options(bool) []nats.Option      { return e.opts }
func (e *external) exclusive() bool                 { return false }
func (e *external) watch(ctx context.Context) error { <-ctx.Done(); return nil }
func (e *external) stop() error                     { return nil }
func (e *external) describe() string                { return "NATS at " + e.url() }

func (e *external) url() string {
	if nc := e.conn(); nc != nil && nc.IsConnected() {
		return nc.ConnectedUrlRedacted()
	}
	return e.urls
}

func (s Security) options() ([]nats.Option, error) {
	var opts []nats.Option
	if s.Creds != "" {
		opts = append(opts, nats.UserCredentials(s.Creds))
	}
	if s.NKey != "" {
		o, err := nats.NkeyOptionFromSeed(s.NKey)
		if err != nil {
			return nil, fmt.Errorf("nkey: %w", err)
		}
		opts = append(opts, o)
	}
	if s.User != "" {
		opts = append(opts, nats.UserInfo(s.User, s.Password))
	}
	if s.Token != "" {
		opts = append(opts, nats.Token(s.Token))
	}
	if s.TLSCA != "" {
		opts = append(opts, nats.RootCAs(s.TLSCA))
	}
	if s.TLSCert != "" {
		if _, err := tls.LoadX509KeyPair(s.TLSCert, s.TLSKey); err != nil {
			return nil, fmt.Errorf("tls certificate: %w", err)
		}
		opts = append(opts, nats.ClientCert(s.TLSCert, s.TLSKey))
	}
	return opts, nil
}
