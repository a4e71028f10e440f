package router

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"github.com/perdure/perdure/actor"
)

// DefaultLeaveTimeout bounds how long turns in flight are waited for when a node leaves.
const DefaultLeaveTimeout = 10 * time.Second

// Config says who a node is and what it works with. All ports are needed.
type Config struct {
	Node       string        // its name: letters, digits, "-", "_", "."; unique among living nodes
	Address    string        // where it answers other nodes; kept in its lease
	Types      []string      // object types it hosts, in order; kept in its lease
	Partitions int           // how many there are
	TTL        time.Duration // of its lease, kept there; 0: DefaultTTL
	// Exclusive: this process alone serves the store, whose lock it holds. Then no session of a node of
	// this name can have survived, and its partitions are claimed without waiting.
	Exclusive bool
	// Stale is for how long a server that was cut off or stopped may go on answering with what it knew. A cursor beyond the
	// end of the inbox ends the node when it was seen for longer. 0: they answer with what is so.
	Stale        time.Duration
	LeaveTimeout time.Duration // 0: DefaultLeaveTimeout
	// LogStream says which partitions have their logs in one place, and so are hosted together or not at all. Nil: all.
	LogStream func(partition int) int
	Log       *slog.Logger // nil: nothing is logged

	Host    Host
	Leases  Leases
	Records Partitions
	Inbox   Inbox
}

// Owner keeps a node's lease and the partitions that it owns.
type Owner struct {
	cfg     Config
	start   time.Time
	view    *view
	trouble *complaints
	looked  sync.Once
	ready   chan struct{} // closed by looked

	draining atomic.Bool
	news     chan struct{} // gets a value when the lease has something new to say

	mu     sync.Mutex
	status Status
	trust  Trust
}

// Status is what an owner knows about itself.
type Status struct {
	Node       string         `json:"node"`
	Session    string         `json:"session"`    // empty until it has a lease
	Trusted    bool           `json:"trusted"`    // it may execute
	Draining   bool           `json:"draining"`   // it wants to own nothing
	Partitions map[int]uint64 `json:"partitions"` // owned: partition → epoch
}

// New returns an owner; [Owner.Run] makes it work.
func New(cfg Config) (*Owner, error) {
	name := regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_-]|\.[A-Za-z0-9])*$`)
	switch {
	case !name.MatchString(cfg.Node) || len(cfg.Node) > 64:
		return nil, fmt.Errorf("node name %q: want letters, digits, -, _ and single dots, at most 64, a letter or digit first", cfg.Node)
	case cfg.Partitions < 1:
		return nil, fmt.Errorf("%d partitions: want at least one", cfg.Partitions)
	}
	if cfg.TTL <= 0 {
		cfg.TTL = DefaultTTL
	}
	if cfg.LeaveTimeout <= 0 {
		cfg.LeaveTimeout = DefaultLeaveTimeout
	}
	if cfg.LogStream == nil {
		cfg.LogStream = func(int) int { return 0 }
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Owner{
		cfg: cfg, start: time.Now(), view: newView(cfg.TTL), trouble: newComplaints(cfg.Log),
		ready: make(chan struct{}), status: Status{Node: cfg.Node}, news: make(chan struct{}, 1),
	}, nil
}

// Run holds a lease, claims what may be claimed and writes checkpoints until ctx ends; then it hands everything
// over, which takes at most twice the leave timeout, and returns nil. Otherwise it waits for servers that do not
// answer, and returns only [ErrNameTaken], [ErrBadRecord] or an [*InboxError], having handed over what it had.
// It is called once.
func (o *Owner) Run(ctx context.Context) error {
	var watches sync.WaitGroup
	defer watches.Wait()
	watching, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	watches.Go(func() {
		o.watch(watching, "watch partitions", func(ctx context.Context) error {
			return o.cfg.Records.Watch(ctx, o.view.learn)
		})
	})
	for first := true; ; first = false {
		err := newSession(o, first).run(ctx)
		if !errors.Is(err, errSessionLost) {
			return err
		}
	}
}

// watch keeps a watch going: one that ends begins again.
func (o *Owner) watch(ctx context.Context, operation string, follow func(context.Context) error) {
	for ctx.Err() == nil {
		o.trouble.about(ctx, operation, follow(ctx))
		pause(ctx, o.cfg.TTL/renewals)
	}
}

// Ready is closed when the owner has looked at every partition once: what it could claim is hosted.
func (o *Owner) Ready() <-chan struct{} { return o.ready }

// Status returns what the owner knows about itself now.
func (o *Owner) Status() Status {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := o.status
	s.Trusted, s.Draining = o.trust.Left(o.now()) > 0, o.draining.Load()
	s.Partitions = maps.Clone(s.Partitions)
	return s
}

// Trusted reports whether this node may execute, by the clocks now, not as of the last [Host.SetTrusted].
func (o *Owner) Trusted() bool { return o.left() > 0 }

// left returns for how much longer the lease is trusted.
func (o *Owner) left() time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.trust.Left(o.now())
}

func (o *Owner) setTrust(t Trust) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.trust = t
}

func (o *Owner) setStatus(session string, epochs map[int]uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.status.Session, o.status.Partitions = session, epochs
}

func (o *Owner) now() Instant {
	now := time.Now()
	return Instant{Mono: now.Sub(o.start), Wall: now.Round(0)}
}

// pause waits for d or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

var _ Inbox = actor.Inbox(nil)
