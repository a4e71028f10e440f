package embed

import (
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"

	"github.com/nats-io/nats-server/v2/server"
)

// Sync says when what is written reaches the disk.
type Sync string

// The ways to sync.
const (
	SyncAlways   Sync = "always"   // before it is acknowledged: survives power loss
	SyncInterval Sync = "interval" // every two minutes: survives the end of the process, not power loss
)

// Defaults of [Config].
const (
	DefaultListen     = "127.0.0.1:4222"
	DefaultStore      = "perdure-data"
	DefaultMaxPayload = 8 << 20
)

// Config says how a server runs.
type Config struct {
	Listen     string // HOST:PORT; empty is DefaultListen, port 0 any free one
	Store      string // directory, made if it is missing; empty is DefaultStore
	Sync       Sync   // empty is SyncAlways
	ServerName string // empty is "perdure"; in a cluster each server has its own and keeps it, see [Cluster]
	MaxPayload int    // bytes; 0 is DefaultMaxPayload
	// MaxStore bounds what JetStream stores, in bytes; 0 leaves it to the server: three quarters of the free disk.
	MaxStore int64
	// DontListen leaves out every socket: only connections from inside the process. Not in a cluster.
	DontListen bool
	// ReplyPrefixes are whole subjects below which replies may go, beside _INBOX.
	ReplyPrefixes []string
	Cluster       Cluster
	Logger        *slog.Logger // nil: silent
}

func (c Config) withDefaults() Config {
	if c.Listen == "" {
		c.Listen = DefaultListen
	}
	if c.Store == "" {
		c.Store = DefaultStore
	}
	if c.Sync == "" {
		c.Sync = SyncAlways
	}
	if c.ServerName == "" {
		c.ServerName = "perdure"
	}
	if c.MaxPayload == 0 {
		c.MaxPayload = DefaultMaxPayload
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// options makes the server's options, or says what is wrong with c. Nothing is opened or created.
func (c Config) options() (*server.Options, error) {
	host, port, err := splitAddr(c.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen address: %w", err)
	}
	if c.Sync != SyncAlways && c.Sync != SyncInterval {
		return nil, fmt.Errorf("sync %q: want %q or %q", c.Sync, SyncAlways, SyncInterval)
	}
	if c.MaxPayload < 128<<10 || c.MaxPayload > server.MAX_PAYLOAD_MAX_SIZE*8 {
		return nil, fmt.Errorf("max payload: %d bytes: want 128 KiB to 64 MiB", c.MaxPayload)
	}
	if strings.ContainsAny(c.ServerName, " \t\r\n") {
		return nil, fmt.Errorf("server name %q: want no spaces", c.ServerName)
	}
	o := &server.Options{
		ServerName: c.ServerName, Host: host, Port: port, DontListen: c.DontListen,
		JetStream: true, StoreDir: c.Store, SyncAlways: c.Sync == SyncAlways, JetStreamMaxStore: c.MaxStore,
		MaxPayload: int32(c.MaxPayload), //nolint:gosec // checked above
		// Readers are many, and each is a consumer.
		JetStreamLimits: server.JSLimitOpts{DefaultMaxConsumers: -1},
		NoSigs:          true, DisableJetStreamBanner: true,
		ReconnectErrorReports: routeReports,
	}
	return o, c.Cluster.apply(o)
}

func splitAddr(addr string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, fmt.Errorf("%q: want HOST:PORT", addr)
	}
	port, err = strconv.Atoi(text)
	if err != nil || port < 0 || port > 65535 {
		return "", 0, fmt.Errorf("%q: port %q: want 0 to 65535", addr, text)
	}
	if port == 0 {
		port = server.RANDOM_PORT
	}
	if host == "" {
		host = "0.0.0.0"
	}
	return host, port, nil
}
