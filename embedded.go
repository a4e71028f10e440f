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
	store string
}

func startEmbedded(ctx context.Context, cfg Config, allowed jetstream.ReplySubjects) (server, error) {
	if cfg.Sync != SyncAlways && cfg.Sync != SyncInterval {
		return nil, fmt.Errorf("sync %q: want %q or %q", cfg.Sync, SyncAlways, SyncInterval)
	}
	ec := embed.Config{
		Listen: cfg.Listen, Store: cfg.Store, Sync: embed.Sync(cfg.Sync), ReplyPrefixes: allowed.Prefixes(),
		Logger: cfg.Logger.With("part", "server"),
	}
	if cfg.Listen == noSocket {
		ec.Listen, ec.DontListen = "", true
	}
	s, err := embed.Start(ctx, ec)
	if err != nil {
		return nil, err
	}
	return &embedded{s, cfg.Store}, nil
}

func (e *embedded) address() string { return e.URL() }
func (e *embedded) url() string     { return e.URL() }
func (e *embedded) exclusive() bool { return true }

func (e *embedded) options(replies bool) []nats.Option {
	if replies {
		return e.ReplyOptions()
	}
	return e.Options()
}

func (e *embedded) describe() string {
	if e.URL() == "" {
		return "no socket, data in " + e.store
	}
	return "NATS at " + e.URL() + ", data in " + e.store
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
