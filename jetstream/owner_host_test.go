package jetstream_test

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/router"
)

// testPartitions is how many partitions the owners of the tests share.
const testPartitions = 8

// belongToB is how many of them belong to node b beside node a: all but 2, 3 and 4.
const belongToB = 5

// recorder is a host that executes nothing and notes what it is told.
type recorder struct {
	mu       sync.Mutex
	owns     [][]actor.Claim
	hosted   map[int]actor.Checkpoint
	trust    []bool // as told, one after another
	dropped  []int
	doubt    []int // partitions that Release does not finish
	failOwn  error
	failFrom int // of partitions from here on
}

func (r *recorder) Own(_ context.Context, claims []actor.Claim) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failOwn != nil && slices.ContainsFunc(claims, func(c actor.Claim) bool { return c.Partition >= r.failFrom }) {
		return r.failOwn
	}
	r.owns = append(r.owns, claims)
	for _, c := range claims {
		r.hosted[c.Partition] = c.Checkpoint
	}
	return nil
}

func (r *recorder) Checkpoint(p int) (actor.Checkpoint, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, ok := r.hosted[p]
	return c, ok
}

func (r *recorder) Release(_ context.Context, ps []int) (map[int]actor.Checkpoint, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	done := maps.Clone(r.hosted)
	maps.DeleteFunc(done, func(p int, _ actor.Checkpoint) bool { return !slices.Contains(ps, p) || slices.Contains(r.doubt, p) })
	for _, p := range ps {
		delete(r.hosted, p)
	}
	if len(done) < len(ps) {
		return done, errors.New("some did not finish")
	}
	return done, nil
}

func (r *recorder) Drop(ps []int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dropped = append(r.dropped, ps...)
	for _, p := range ps {
		delete(r.hosted, p)
	}
}

func (r *recorder) SetTrusted(trusted bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.trust = append(r.trust, trusted)
}

// finish says that partition p is done up to c.
func (r *recorder) finish(p int, change func(*actor.Checkpoint)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.hosted[p]
	change(&c)
	r.hosted[p] = c
}

// claims returns the last claim of each partition.
func (r *recorder) claims() map[int]actor.Claim {
	r.mu.Lock()
	defer r.mu.Unlock()
	last := map[int]actor.Claim{}
	for _, claims := range r.owns {
		for _, c := range claims {
			last[c.Partition] = c
		}
	}
	return last
}

// told returns what the host was told of trust, and the partitions that it was told to drop.
func (r *recorder) told() (trust []bool, dropped []int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.trust), slices.Clone(r.dropped)
}

// calls returns how often the host was given partitions.
func (r *recorder) calls() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.owns)
}

func (r *recorder) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.hosted)
}

// inbox is an inbox that has bounds and notes trims.
type inbox struct {
	mu     sync.Mutex
	bounds actor.InboxBounds
	trims  []uint64
}

func (i *inbox) Bounds(context.Context) (actor.InboxBounds, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.bounds, nil
}

func (i *inbox) set(b actor.InboxBounds) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.bounds = b
}

func (i *inbox) trimmed() []uint64 {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Clone(i.trims)
}

func (i *inbox) Trim(_ context.Context, seq uint64) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.trims = append(i.trims, seq)
	return nil
}

// node is an owner with a connection and a recording host.
type node struct {
	*router.Owner
	*link
	host  *recorder
	inbox *inbox
	cfg   router.Config
	stop  context.CancelFunc
	ended chan error
}

// newNode makes a node; change may adapt its configuration. Call run next.
func newNode(t *testing.T, s *server.Server, name string, changes ...func(*router.Config)) *node {
	t.Helper()
	n := &node{
		link:  dialBuckets(t, s),
		host:  &recorder{hosted: map[int]actor.Checkpoint{}},
		inbox: &inbox{bounds: actor.InboxBounds{First: 1, Last: 1000, Incarnation: "i"}},
		ended: make(chan error, 1),
	}
	n.cfg = router.Config{
		Node: name, Address: "at " + name, Types: []string{"counter"}, Partitions: testPartitions, TTL: ttl,
		LogStream: func(p int) int { return p * 2 / testPartitions },
		Host:      n.host, Leases: n.leases(t), Records: n.partitions(t), Inbox: n.inbox,
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)).With("on", name),
	}
	for _, change := range changes {
		change(&n.cfg)
	}
	var err error
	if n.Owner, err = router.New(n.cfg); err != nil {
		t.Fatal(err)
	}
	return n
}

// run starts the node; it ends with the test.
func (n *node) run(t *testing.T) *node {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	n.stop = cancel
	var running sync.WaitGroup
	running.Go(func() { n.ended <- n.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	return n
}

// runReady starts the node and waits until it has looked at every partition.
func (n *node) runReady(t *testing.T) *node {
	t.Helper()
	n.run(t)
	select {
	case <-n.Ready():
	case err := <-n.ended:
		t.Fatal("Run returned:", err)
	}
	synctest.Wait()
	return n
}

// leave stops the node and waits for it.
func (n *node) leave(t *testing.T) {
	t.Helper()
	n.stop()
	if err := <-n.ended; err != nil {
		t.Error("Run returned:", err)
	}
}

// record reads a partition's record.
func (n *node) record(t *testing.T, p int) router.Record {
	t.Helper()
	r, err := n.cfg.Records.Get(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
