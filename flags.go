package perdure

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/perdure/perdure/internal/version"
)

// flags are a node's, each also an environment variable PERDURE_<NAME>.
type flags struct {
	NATS          []string      `name:"nats" env:"PERDURE_NATS" placeholder:"URL" help:"External NATS servers; without, a server is embedded."`
	Creds         string        `env:"PERDURE_CREDS" placeholder:"FILE" help:"Credentials file for external servers."`
	NKey          string        `name:"nkey" env:"PERDURE_NKEY" placeholder:"FILE" help:"NKey seed file for external servers."`
	TLSCA         string        `name:"tls-ca" env:"PERDURE_TLS_CA" placeholder:"FILE" help:"Certificates that external servers are checked against."`
	TLSCert       string        `name:"tls-cert" env:"PERDURE_TLS_CERT" placeholder:"FILE" help:"Client certificate."`
	TLSKey        string        `name:"tls-key" env:"PERDURE_TLS_KEY" placeholder:"FILE" help:"Client certificate's key."`
	User          string        `env:"PERDURE_USER" help:"User for external servers."`
	Password      string        `env:"PERDURE_PASSWORD" help:"Password for external servers."`
	Token         string        `env:"PERDURE_TOKEN" help:"Token for external servers."`
	Listen        string        `env:"PERDURE_LISTEN" default:"127.0.0.1:4222" placeholder:"ADDR" help:"Address of the embedded server (${default})."`
	Store         string        `env:"PERDURE_STORE" default:"./perdure-data" placeholder:"DIR" help:"Directory of the embedded server (${default})."`
	Sync          string        `env:"PERDURE_SYNC" default:"always" enum:"always,interval" help:"When an append is on disk: always (before it is acknowledged) or interval (within 2 minutes)."`
	ClusterListen string        `env:"PERDURE_CLUSTER_LISTEN" placeholder:"ADDR" help:"Address where the embedded server meets those of other nodes; they form a NATS cluster."`
	ClusterName   string        `env:"PERDURE_CLUSTER_NAME" placeholder:"NAME" help:"Name of the cluster, the same on each node (perdure)."`
	Routes        []string      `env:"PERDURE_ROUTES" placeholder:"URL" help:"Cluster addresses of all nodes, the own one too; user and password in them, the same in each, are asked of whoever connects."`
	Replicas      int           `env:"PERDURE_REPLICAS" default:"0" placeholder:"N" help:"Replicas of the streams that this node makes; 0 (the default) is 3 with --cluster-listen, else 1."`
	Name          string        `env:"PERDURE_NAME" help:"Name of this node, unique among living ones; in a cluster of embedded servers also its server's, and fixed when the store is made. Default: the host's name, or local with an embedded server that is alone."`
	Prefix        string        `env:"PERDURE_PREFIX" help:"Prefix of streams, buckets and subjects."`
	Partitions    int           `env:"PERDURE_PARTITIONS" placeholder:"N" help:"Partitions (64); fixed when the store is made."`
	LogStreams    int           `env:"PERDURE_LOG_STREAMS" placeholder:"N" help:"Log streams (4); fixed when the store is made."`
	LeaseTTL      time.Duration `env:"PERDURE_LEASE_TTL" default:"5s" placeholder:"D" help:"After which a silent node is replaced (${default})."`
	Idle          time.Duration `env:"PERDURE_IDLE" default:"5m" placeholder:"D" help:"After which a settled object leaves memory (${default})."`
	MaxResident   int           `env:"PERDURE_MAX_RESIDENT" default:"100000" placeholder:"N" help:"Objects in memory (${default}); beyond it settled ones leave, the least recently used first."`
	MaxBytes      byteSize      `name:"max-resident-bytes" env:"PERDURE_MAX_RESIDENT_BYTES" default:"1GiB" placeholder:"SIZE" help:"About how many bytes objects in memory take (${default}); the same beyond it."`
	ReplyPrefix   []string      `env:"PERDURE_REPLY_PREFIX" placeholder:"SUBJECT" help:"Where replies may go, beside _INBOX."`
	LogFormat     string        `env:"PERDURE_LOG_FORMAT" default:"text" enum:"text,json" help:"Log lines: text or json."`
	LogLevel      slog.Level    `env:"PERDURE_LOG_LEVEL" default:"info" placeholder:"LEVEL" help:"debug, info, warn or error (${default})."`

	HTTP         string `name:"http" env:"PERDURE_HTTP" default:"off" placeholder:"ADDR" help:"Address of the HTTP gateway, or off (${default}). Not built yet."`
	HTTPToken    string `name:"http-token" env:"PERDURE_HTTP_TOKEN" help:"Bearer token of the gateway. Not built yet."`
	HTTPInsecure bool   `name:"http-insecure" env:"PERDURE_HTTP_INSECURE" help:"Let the gateway listen beyond loopback without a token. Not built yet."`
	Metrics      string `env:"PERDURE_METRICS" default:"off" placeholder:"ADDR" help:"Address of Prometheus metrics, or off (${default}). Not built yet."`

	Version kong.VersionFlag `help:"Print the version."`
}

// errHelp says that the flags asked for help or the version, which was printed.
var errHelp = errors.New("help was asked for")

// parseFlags reads args. Its error says which flag is wrong; [errHelp] when there is nothing left to do.
func parseFlags(name string, args []string, stdout io.Writer) (f flags, err error) {
	exited := false
	parser, err := kong.New(&f, kong.Name(name), kong.Writers(stdout, io.Discard),
		kong.Exit(func(int) { exited = true }), kong.PostBuild(forgetEmpty), kong.Vars{"version": version.Line(name)},
		kong.Description("A node of durable objects on NATS JetStream. Each flag is also an environment variable, PERDURE_<FLAG>."))
	if err != nil {
		return f, err
	}
	ctx, err := parser.Parse(args)
	if exited {
		return f, errHelp
	}
	if bad := (*kong.ParseError)(nil); errors.As(err, &bad) {
		return f, givenIn(bad.Context).located(err)
	}
	if err != nil {
		return f, err
	}
	return f, f.check(givenIn(ctx))
}

// notBuilt names the flags that were set and have no effect yet.
func (f *flags) notBuilt() []string {
	var out []string
	for _, x := range []struct {
		name string
		set  bool
	}{
		{"--http", f.HTTP != "off"},
		{"--http-token", f.HTTPToken != ""},
		{"--http-insecure", f.HTTPInsecure},
		{"--metrics", f.Metrics != "off"},
	} {
		if x.set {
			out = append(out, x.name)
		}
	}
	return out
}

func (f *flags) config(stderr io.Writer) Config {
	return Config{
		Name: f.Name, Prefix: f.Prefix, NATS: f.NATS, Listen: f.Listen, Store: f.Store, Sync: Sync(f.Sync),
		Security: Security{
			Creds: f.Creds, NKey: f.NKey, User: f.User, Password: f.Password, Token: f.Token,
			TLSCA: f.TLSCA, TLSCert: f.TLSCert, TLSKey: f.TLSKey,
		},
		Cluster:  Cluster{Listen: f.ClusterListen, Name: f.ClusterName, Routes: f.Routes},
		Replicas: f.Replicas, Partitions: f.Partitions, LogStreams: f.LogStreams, LeaseTTL: f.LeaseTTL, Idle: f.Idle,
		MaxResident: f.MaxResident, MaxResidentBytes: int64(f.MaxBytes), ReplyPrefix: f.ReplyPrefix, Logger: f.logger(stderr),
	}
}

func (f *flags) logger(w io.Writer) *slog.Logger {
	opts := &slog.HandlerOptions{Level: f.LogLevel}
	if f.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}

// defaultName is the host's name where there may be other nodes. A node whose embedded server is alone has a fixed one:
// it is the same node after each restart on its store, whatever the host is called then.
func defaultName(others bool) string {
	if host, err := os.Hostname(); others && err == nil {
		return strings.Map(func(r rune) rune {
			if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
				return r
			}
			return '-'
		}, host)
	}
	return "local"
}
