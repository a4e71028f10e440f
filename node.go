package perdure

import (
	"context"
	"errors"
	"sync"

	"github.com/nats-io/nats.go"
	"golang.org/x/sync/errgroup"

	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/internal/version"
	"github.com/perdure/perdure/jetstream"
	"github.com/perdure/perdure/router"
	"github.com/perdure/perdure/schema"
)

// Node is a running node. [Start] makes one.
type Node struct {
	cfg     Config
	server  server
	links   links
	replies jetstream.ReplySubjects
	client  *Client
	owner   *router.Owner

	leave context.CancelFunc
	done  chan struct{}
	err   error // why it ended, once done

	running sync.WaitGroup
	stop    sync.Once
}

// Start runs a node with these types. It blocks until the node executes objects, or until ctx ends, and fails if it
// cannot: its error is one line that says what to do. The node runs until [Node.Stop], whatever becomes of ctx.
func Start(ctx context.Context, cfg Config, defs ...actor.Definition) (*Node, error) {
	n := &Node{cfg: cfg.withDefaults(), done: make(chan struct{})}
	if err := n.start(ctx, defs); err != nil {
		return nil, errors.Join(err, n.shut())
	}
	return n, nil
}

// Client returns a client on a connection of the node.
func (n *Node) Client() *Client { return n.client }

// URL is where the node's NATS server listens: the embedded one, or the first external one that it is connected to.
func (n *Node) URL() string { return n.server.url() }

// Conn returns a connection to the node's NATS server, for programs that embed a node. It ends with the node.
func (n *Node) Conn() *nats.Conn { return n.links.main }

// Done is closed when the node has ended, by Stop or because it could not go on.
func (n *Node) Done() <-chan struct{} { return n.done }

// Stop hands over what the node owns, finishes turns in flight, and ends it. It returns why the node could not go on,
// or nil. It may be called more than once.
func (n *Node) Stop() error {
	n.stop.Do(func() {
		n.leave()
		n.running.Wait()
		n.err = errors.Join(n.err, n.shut())
	})
	return n.err
}

func (n *Node) start(ctx context.Context, defs []actor.Definition) (err error) {
	if err := actor.Check(schema.New(), defs...); err != nil {
		return err
	}
	if n.replies, err = jetstream.NewReplySubjects(n.cfg.ReplyPrefix...); err != nil {
		return err
	}
	if err := n.connect(ctx); err != nil {
		return err
	}
	store, err := jetstream.Provision(ctx, n.links.main, jetstream.Config{
		Prefix: n.cfg.Prefix, Partitions: n.cfg.Partitions, LogStreams: n.cfg.LogStreams, Replicas: n.cfg.Replicas,
		LeaseTTL: n.cfg.LeaseTTL, Logger: n.cfg.Logger,
	})
	if err != nil {
		return err
	}
	hosting, err := n.assemble(ctx, store, defs)
	if err != nil {
		return err
	}
	n.run(hosting) //nolint:contextcheck // the node outlives the caller of Start
	select {
	case <-n.owner.Ready():
		return nil
	case <-n.done:
		return n.err
	case <-ctx.Done():
		n.leave()
		<-n.done
		return ctx.Err()
	}
}

// assemble puts the parts together; nothing runs yet.
func (n *Node) assemble(ctx context.Context, store *jetstream.Store, defs []actor.Definition) (*hosting, error) {
	cfg := n.cfg
	log := store.Log(n.links.appends)
	records := store.PartitionRecords()
	leases, err := store.LeasesOn(ctx, n.links.lease)
	if err != nil {
		return nil, err
	}
	var front *jetstream.Front
	host, err := actor.NewHost(actor.Config{
		Node: cfg.Name, Log: log, Inbox: store.Inbox(), Timers: store.Timers(), Tokens: store.Tokens(),
		Outlet: store.Outlet(n.links.replies, n.replies), Outputs: store.Outputs(n.links.appends), Schemas: schema.New(), Logger: cfg.Logger,
		Partition: store.Partition, LogStream: store.LogStream,
		Confirm: func(ctx context.Context, p int) (uint64, error) {
			r, err := records.Get(ctx, p)
			return r.Epoch, err
		},
		Remains: store.Remains(log),
		Cursor: func(ctx context.Context, p int) (uint64, error) {
			r, err := records.Get(ctx, p)
			return r.Inbox, err
		},
		Forward:   func(req *actor.Request) bool { return front.Forward(req) },
		Trusted:   func() bool { return n.owner.Trusted() },
		Elsewhere: func(typ string) bool { return n.owner.Hosted(typ) },
		Known:     func(typ string) bool { return n.owner.Known(typ) },
		Flush:     cfg.Flush, Idle: cfg.Idle, MaxResident: cfg.MaxResident, MaxResidentBytes: cfg.MaxResidentBytes, MaxQueued: cfg.MaxQueued,
		MaxPayload: store.MaxPayload(), Lags: store.Stale() > 0,
	}, defs...)
	if err != nil {
		return nil, err
	}
	front = jetstream.NewFront(jetstream.FrontConfig{
		Conn: n.links.main, Replies: n.links.replies, Names: store.Names(), Partitions: store.Partitions(), Node: cfg.Name,
		Host: host, Allowed: n.replies, Logger: cfg.Logger, Version: Version,
		Types: func(typ string) bool { return n.owner.Hosted(typ) },
		Drain: func(on bool) error { return n.owner.Drain(on) },
	})
	n.client = jetstream.NewClient(n.links.main, jetstream.ClientConfig{Names: store.Names()})
	h := &hosting{host: host, front: front, log: log, appends: n.links.appends}
	n.owner, err = router.New(router.Config{
		Node: cfg.Name, Types: host.Types(), Partitions: store.Partitions(), TTL: cfg.LeaseTTL,
		Exclusive: n.server.exclusive(), Stale: store.Stale(), LeaveTimeout: cfg.LeaveTimeout, LogStream: store.LogStream, Log: cfg.Logger,
		Host: h, Leases: leases, Records: records, Inbox: store.Inbox(),
	})
	return h, err
}

// run starts the node's loops. The owner leaves first; what it needs to hand over ends after it.
func (n *Node) run(h *hosting) {
	root := context.Background() //nolint:forbidigo // the node outlives the caller of Start
	leaving, leave := context.WithCancel(root)
	n.leave = leave
	rest, end := context.WithCancel(root)
	group, failed := errgroup.WithContext(rest)
	group.Go(func() error { return h.host.Run(rest) })
	group.Go(func() error { return h.front.Run(rest) })
	group.Go(func() error { return h.rewatch(rest) })
	group.Go(func() error {
		err := n.server.watch(rest)
		if err != nil {
			end() // what is in flight can never be written: there is nothing to finish
		}
		return err
	})
	group.Go(func() error {
		defer end()
		stop := context.AfterFunc(failed, leave)
		defer stop()
		return n.owner.Run(leaving)
	})
	n.running.Go(func() {
		defer close(n.done)
		if err := group.Wait(); err != nil && !errors.Is(err, context.Canceled) {
			n.err = err
			n.cfg.Logger.Error("node ends", "err", err)
		}
	})
}

// where describes the node's server in half a sentence.
func (n *Node) where() string { return n.server.describe() }

// shut closes connections and the embedded server.
func (n *Node) shut() error {
	n.links.close()
	if n.server == nil {
		return nil
	}
	return n.server.stop()
}

// Version is the program's, for $SRV.INFO.
const Version = version.Module
