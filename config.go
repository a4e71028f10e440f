package perdure

import (
	"log/slog"
	"time"

	"github.com/perdure/perdure/router"
)

// Config says what a node is. Its zero value is a node of its own: an embedded server on 127.0.0.1:4222, data in
// ./perdure-data, every append synced.
type Config struct {
	// Name is the node's, unique among living ones, and its embedded server's in a cluster, where it must stay the same
	// for as long as the store lives. Default: the host's name, or "local" with an embedded server that is alone.
	Name   string
	Prefix string // of streams, buckets and subjects; default none: PERDURE_…

	NATS     []string // URLs of external servers; set, nothing is embedded
	Security Security // towards external servers

	Listen string // embedded server's address; default 127.0.0.1:4222; "none": no socket, this process only, and no cluster
	Store  string // embedded server's directory; default ./perdure-data
	Sync   Sync   // embedded server: when an append is on disk; default SyncAlways

	Cluster Cluster // of embedded servers; its zero value is none

	Replicas     int           // of streams made by this node; default 3 in a cluster of embedded servers, else 1
	Partitions   int           // default 64; fixed when the store is made
	LogStreams   int           // default 4; fixed when the store is made
	LeaseTTL     time.Duration // after which a silent node is replaced; default 5 s
	Idle         time.Duration // after which a settled object leaves memory; default 5 min
	MaxResident  int           // objects in memory; beyond it settled ones leave, the least recently used first; default 100,000
	ReplyPrefix  []string      // subjects beside _INBOX that replies may go to
	Flush        time.Duration // how long a turn waits for a step before it commits without it; default 1 ms
	MaxQueued    int           // calls that one run keeps untaken; default 10,000
	LeaveTimeout time.Duration // how long turns in flight are waited for when the node leaves; default 10 s

	// MaxResidentBytes bounds objects in memory like MaxResident, by about how many bytes they take: states, events that run
	// functions have seen, queues, call ids. Default 1 GiB.
	MaxResidentBytes int64

	Logger *slog.Logger // default: silent
}

// Cluster says how embedded servers form a NATS cluster. With R replicas, nodes wait until R of its servers are up before
// they make the streams; later they need more than half.
type Cluster struct {
	Listen string // HOST:PORT for the other servers; empty: the embedded server is alone
	Name   string // the same on each; default "perdure"
	// Routes are the cluster addresses of all servers, the own one too. User and password in them, the same in each,
	// are asked of every server that connects; without, any server that reaches Listen may join. At least one.
	Routes []string
}

// Security is how a node proves who it is to external servers. Empty fields are not used.
type Security struct {
	Creds, NKey            string // files
	User, Password, Token  string
	TLSCA, TLSCert, TLSKey string // PEM files
}

// Sync says when the embedded server has an append on disk.
type Sync string

// The two choices of the embedded server. External servers have their own.
const (
	SyncAlways   Sync = "always"   // before it is acknowledged: survives a power cut
	SyncInterval Sync = "interval" // within 2 minutes: survives kill -9, not a power cut
)

func (c Config) withDefaults() Config {
	clustered := len(c.NATS) == 0 && c.Cluster.Listen != ""
	if c.Listen == "" {
		c.Listen = "127.0.0.1:4222"
	}
	if c.Store == "" {
		c.Store = "./perdure-data"
	}
	if c.Sync == "" {
		c.Sync = SyncAlways
	}
	if c.Name == "" {
		c.Name = defaultName(len(c.NATS) > 0 || clustered)
	}
	if clustered && c.Cluster.Name == "" {
		c.Cluster.Name = "perdure"
	}
	if clustered && c.Replicas == 0 {
		c.Replicas = 3
	}
	if c.LeaseTTL == 0 {
		c.LeaseTTL = router.DefaultTTL
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}
