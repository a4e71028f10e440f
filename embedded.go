package perdure

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go"

	"github.com/perdure/perdure/jetstream"
	"github.com/perdure/perdure/jetstream/embed"
)

// noSocket as [Config.Listen] leaves out every socket of the embedded server.
const noSocket = "none"

// embedded is the NATS server inside this process.
type embedded struct {
	*embed.Server
	store   string
	cluster string // its name; empty: the server is alone
}

func startEmbedded(ctx context.Context, cfg Config, allowed jetstream.ReplySubjects) (server, error) {
	if cfg.Sync != SyncAlways && cfg.Sync != SyncInterval {
		return nil, fmt.Errorf("sync %q: want %q or %q", cfg.Sync, SyncAlways, SyncInterval)
	}
	ec := embed.Config{
		Listen: cfg.Listen, Store: cfg.Store, Sync: embed.Sync(cfg.Sync), ReplyPrefixes: allowed.Prefixes(),
		Cluster: embed.Cluster{Listen: cfg.Cluster.Listen, Name: cfg.Cluster.Name, Routes: cfg.Cluster.Routes},
		Logger:  cfg.Logger.With("part", "server"),
	}
	if cfg.Cluster.Listen != "" {
		ec.ServerName = cfg.Name
	}
	if cfg.Listen == noSocket {
		ec.Listen, ec.DontListen = "", true
	}
	s, err := embed.Start(ctx, ec)
	if err != nil {
		return nil, err
	}
	if ec.Cluster.Open() && ec.Cluster.Beyond() {
		cfg.Logger.WarnContext(ctx, "any server that reaches the cluster address may join and read everything: put USER:PASSWORD@ into the routes, or let nobody else reach it",
			"address", cfg.Cluster.Listen)
	}
	return &embedded{s, cfg.Store, cfg.Cluster.Name}, nil
}

func (e *embedded) address() string { return e.URL() }
func (e *embedded) url() string     { return e.URL() }

// exclusive is what the lock of a store means only where no other server has the same streams.
func (e *embedded) exclusive() bool { return e.cluster == "" }

func (e *embedded) options(replies bool) []nats.Option {
	if replies {
		return e.ReplyOptions()
	}
	return e.Options()
}

func (e *embedded) describe() string {
	where := "no socket"
	if e.URL() != "" {
		where = "NATS at " + e.URL()
	}
	if e.cluster != "" {
		where += " in cluster " + e.cluster
	}
	return where + ", data in " + e.store
}

func (e *embedded) watch(ctx context.Context) error {
	select {
	case err := <-e.Failed():
		return err
	case <-ctx.Done():
		return nil
	}
}

func (e *embedded) stop() error {
	e.Stop()
	return nil
}
