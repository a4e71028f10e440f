package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/jsm.go/natscontext"
	"github.com/nats-io/nats.go"

	"github.com/perdure/perdure/jetstream"
)

// errConnect marks that no server was reached.
var errConnect = errors.New("connect")

// connection is a connection to the servers and what the user's context says about them.
type connection struct {
	*nats.Conn
	names  jetstream.Names
	domain string
}

func (c *connection) client() *jetstream.Client {
	return jetstream.NewClient(c.Conn, jetstream.ClientConfig{Names: c.names, Domain: c.domain})
}

// connect reaches the servers that flags, environment and nats contexts name, in this order.
func connect(ctx context.Context, cli *commandLine, env []string, stderr io.Writer) (*connection, error) {
	names, err := jetstream.NewNames(cli.Prefix)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUsage, err)
	}
	nctx, err := natsContext(ctx, cli, env)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUsage, err)
	}
	timeout := time.Duration(cli.Timeout)
	if timeout == 0 {
		timeout = defaultTimeout
	}
	nc, err := nctx.Connect(
		nats.Name("perdure client"), nats.Timeout(timeout), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { fmt.Fprintf(stderr, "client: %v\n", err) }),
	)
	where := redacted(nctx.ServerURL())
	switch _, badURL := errors.AsType[*url.Error](err); {
	case badURL, errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: connect to %s: %w", errUsage, where, err)
	case errors.Is(err, nats.ErrNoServers):
		return nil, fmt.Errorf("%w to %s: %w; go run ./cmd/node starts a node, --nats names other servers", errConnect, where, err)
	case err != nil:
		return nil, fmt.Errorf("%w to %s: %w", errConnect, where, err)
	}
	return &connection{Conn: nc, names: names, domain: nctx.JSDomain()}, nil
}

// redacted is a list of URLs without passwords.
func redacted(urls string) string {
	list := strings.Split(urls, ",")
	for i, text := range list {
		if u, err := url.Parse(strings.TrimSpace(text)); err == nil {
			list[i] = u.Redacted()
		}
	}
	return strings.Join(list, ",")
}

// natsContext is the context that the user named or selected, with what the flags say instead.
func natsContext(ctx context.Context, cli *commandLine, env []string) (*natscontext.Context, error) {
	over := []natscontext.Option{
		natscontext.WithServerURL(cli.NATS), natscontext.WithCreds(cli.Creds), natscontext.WithNKey(cli.Nkey),
		natscontext.WithUser(cli.User), natscontext.WithPassword(cli.Password), natscontext.WithToken(cli.Token),
		natscontext.WithCA(cli.TLSCA), natscontext.WithCertificate(cli.TLSCert), natscontext.WithKey(cli.TLSKey),
	}
	nctx, err := natscontext.NewRegistry(natscontext.NewFileBackendAt(configFolder(env))).Load(ctx, cli.Context, over...)
	if err != nil && cli.Context == "" && cli.NATS != "" { // the selected context is broken, and not needed
		return natscontext.New("", false, over...)
	}
	if err != nil {
		return nil, fmt.Errorf("load nats context: %w", err)
	}
	return nctx, nil
}

// configFolder is where the nats command keeps its contexts.
func configFolder(env []string) string {
	if dir := lookup(env, "XDG_CONFIG_HOME"); dir != "" {
		return dir
	}
	if home := lookup(env, "HOME"); home != "" {
		return filepath.Join(home, ".config")
	}
	return ""
}
