package cluster

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/internal/natstest"
	"github.com/perdure/perdure/internal/race"
	"github.com/perdure/perdure/router"
	"github.com/perdure/perdure/test/harness"
)

// form is where the servers are.
type form string

const (
	external form = "external" // NATS servers of their own
	embedded form = "embedded" // each node has one, and they form a cluster
)

const (
	upWithin = 3 * time.Minute // a node that starts while others come and go
	shortTTL = 2 * time.Second
)

// topology is nodes that share a NATS installation.
type topology struct {
	t        *testing.T
	form     form
	ttl      time.Duration
	replicas string
	urls     []string // of the servers, for clients
	nodes    []*member
	servers  []*server.Server // external
	watch    *watch
	binary   string
	dir      string
}

// both runs a test on both forms. Nodes with embedded servers need ten seconds to start, so that most tests leave them
// to the full form.
func both(t *testing.T, when occasion, test func(t *testing.T, f form)) {
	t.Helper()
	skipSlow(t)
	t.Run(string(external), func(t *testing.T) { test(t, external) })
	t.Run(string(embedded), func(t *testing.T) {
		if when == inFull && !full() {
			t.Skip("only in the full form, FULL=1")
		}
		test(t, embedded)
	})
}

// occasion is when a test runs with embedded servers.
type occasion int

const (
	always occasion = iota
	inFull
)

func skipSlow(t *testing.T) {
	t.Helper()
	switch {
	case testing.Short():
		t.Skip("it takes a lease's time, several times")
	case race.Enabled:
		t.Skip("what is tested are other processes, which have no race detector, and it would only be slow")
	}
}

// begin starts so many nodes and waits until they are up.
func begin(t *testing.T, f form, nodes int) *topology {
	t.Helper()
	top := lay(t, f)
	for range nodes {
		top.add()
	}
	top.begin()
	return top
}

// beginUnhurried is [begin] with a lease that outlasts a stall of the machine, for tests in which no node may lose it.
func beginUnhurried(t *testing.T, f form, nodes int) *topology {
	t.Helper()
	top := lay(t, f)
	top.ttl = max(top.ttl, router.DefaultTTL)
	for range nodes {
		top.add()
	}
	top.begin()
	return top
}

// begin starts all nodes.
func (top *topology) begin() {
	t := top.t
	t.Helper()
	for _, m := range top.nodes {
		m.start()
	}
	t.Cleanup(top.report)
	top.awaitUp()
	var watches []*nats.Conn
	for _, url := range top.urls {
		watches = append(watches, harness.Connect(t, url, nats.Name("watch")))
	}
	top.watch = newWatch(t, top.ttl, watches)
	top.awaitStill()
}

// report shows what the nodes said last, when the test has failed.
func (top *topology) report() {
	for _, m := range top.nodes {
		if said := m.proc.Stderr(); top.t.Failed() {
			top.t.Logf("%s said last:\n%s", m.name, said[max(len(said)-reported, 0):])
		}
	}
}

const reported = 6 << 10

// owners returns who owns each partition as soon as all have an owner: one look may come when a node that lives has not
// renewed its lease for a moment.
func (top *topology) owners() (owners map[int]string) {
	top.t.Helper()
	harness.Eventually(top.t, time.Minute, func() string {
		if owners = top.watch.owners(); len(owners) == partitions {
			return ""
		}
		return cmp.Or(top.unowned(), "partitions had no owner a moment ago")
	})
	return owners
}

// awaitStill waits until partitions have stopped moving.
func (top *topology) awaitStill() {
	top.t.Helper()
	top.awaitShared()
	before, since := top.watch.owners(), time.Now()
	harness.Eventually(top.t, 3*top.ttl+2*time.Minute, func() string {
		if now := top.watch.owners(); len(now) < partitions || !maps.Equal(now, before) {
			before, since = now, time.Now()
		}
		if time.Since(since) < top.ttl {
			return fmt.Sprintf("partitions move: %v", top.watch.owned())
		}
		return ""
	})
}

// sharedTTLs is how many TTLs it may take until every node has what belongs to it: a node that did not claim it in time
// gets it a few later.
const sharedTTLs = 5

// awaitShared waits until every partition has an owner and every node owns some.
func (top *topology) awaitShared() {
	top.t.Helper()
	harness.Eventually(top.t, sharedTTLs*top.ttl+2*time.Minute, func() string {
		owned := top.watch.owned()
		if why := top.unowned(); why != "" {
			return why
		}
		for _, m := range top.nodes {
			if m.alive() && owned[m.name] == 0 {
				return fmt.Sprintf("%s owns nothing: %v", m.name, owned)
			}
		}
		return ""
	})
}

// lay makes the servers, where they are external, and no node.
func lay(t *testing.T, f form) *topology {
	t.Helper()
	switch {
	case f == embedded:
		return on(t, f, replicas(f))
	case replicas(f) == "1":
		return on(t, f, "1", natstest.Server(t, durable))
	default:
		return on(t, f, replicas(f), natstest.Cluster(t, durable)...)
	}
}

// on is a topology on servers, without nodes.
func on(t *testing.T, f form, replicas string, servers ...*server.Server) *topology {
	t.Helper()
	top := &topology{t: t, form: f, ttl: leaseTTL(t), replicas: replicas, servers: servers, binary: binary(t), dir: t.TempDir()}
	for _, s := range servers {
		top.urls = append(top.urls, s.ClientURL())
	}
	return top
}

// durable has an external server sync as the nodes' own would, and tell clients of no other: what is cut off finds no
// way around.
func durable(o *server.Options) {
	o.SyncAlways = syncMode() == "always"
	o.Cluster.NoAdvertise = true
}

// add makes a node, which is not started. With embedded servers all are made before the first is started.
func (top *topology) add() *member {
	i := len(top.nodes)
	m := &member{top: top, name: fmt.Sprintf("n%d", i)}
	m.program = harness.Program{Binary: top.binary, Args: []string{
		"--name", m.name, "--lease-ttl", top.ttl.String(), "--replicas", top.replicas, "--idle", "5s",
	}}
	if top.form == embedded {
		m.program.Store = filepath.Join(top.dir, m.name)
		m.program.Listen = fmt.Sprintf("127.0.0.1:%d", natstest.FreePort(top.t))
		m.route = fmt.Sprintf("nats://127.0.0.1:%d", natstest.FreePort(top.t))
		m.program.Args = append(m.program.Args, "--sync", syncMode(), "--cluster-name", "test", "--cluster-listen", strings.TrimPrefix(m.route, "nats://"))
		top.urls = append(top.urls, "nats://"+m.program.Listen)
	}
	top.nodes = append(top.nodes, m)
	return m
}

// connect connects a client that knows all servers.
func (top *topology) connect(opts ...nats.Option) *nats.Conn {
	top.t.Helper()
	return harness.Connect(top.t, strings.Join(top.urls, ","), opts...)
}

func (top *topology) awaitUp() {
	top.t.Helper()
	for _, m := range top.nodes {
		m.proc.AwaitUp(top.t, upWithin)
	}
}

// executions returns every execution of a step, with the life of the node that it was in.
func (top *topology) executions() []execution {
	top.t.Helper()
	var all []execution
	for _, m := range top.nodes {
		for _, l := range m.lives {
			for _, x := range harness.ReadJournal(top.t, l.journal) {
				all = append(all, execution{x, m, l})
			}
		}
	}
	return all
}

// member is one node of a topology, which may live several times.
type member struct {
	top     *topology
	name    string
	route   string // of its embedded server
	servers string // external: other than those of the topology
	program harness.Program
	proc    *harness.Process
	lives   []*life
}

// life is one process of a node.
type life struct {
	journal string
	began   time.Time
	ended   time.Time // zero: it lives
	pauses  []span
}

type span struct{ from, to time.Time }

// start starts the node and returns at once.
func (m *member) start() {
	m.top.t.Helper()
	l := &life{journal: filepath.Join(m.top.dir, fmt.Sprintf("steps-%s-%d", m.name, len(m.lives))), began: time.Now()}
	m.lives = append(m.lives, l)
	p := m.program
	p.Env = append(p.Env, "STEP_JOURNAL="+l.journal)
	switch {
	case m.top.form == embedded:
		var routes []string
		for _, other := range m.top.nodes {
			if other != m {
				routes = append(routes, other.route)
			}
		}
		p.Args = append(p.Args, "--routes", strings.Join(routes, ","))
	case m.servers != "":
		p.Args = append(p.Args, "--nats", m.servers)
	default:
		p.Args = append(p.Args, "--nats", strings.Join(m.top.urls, ","))
	}
	m.proc = p.Start(m.top.t)
}

func (m *member) alive() bool { return m.life().ended.IsZero() }

func (m *member) life() *life { return m.lives[len(m.lives)-1] }

func (m *member) kill() {
	m.proc.Kill()
	m.life().ended = time.Now()
}

// terminate has the node hand over and end.
func (m *member) terminate() {
	m.top.t.Helper()
	if err := m.proc.Signal(syscall.SIGTERM); err != nil {
		m.top.t.Fatal(err)
	}
	if code := m.proc.ExitCode(m.top.t, time.Minute); code != 0 {
		m.top.t.Errorf("%s: exit code %d on SIGTERM: %s", m.name, code, m.proc.Stderr())
	}
	m.life().ended = time.Now()
}

// stop stops the process, and returns what lets it go on.
func (m *member) stop() (wake func()) {
	m.top.t.Helper()
	from := time.Now()
	if err := m.proc.Signal(syscall.SIGSTOP); err != nil {
		m.top.t.Fatal(err)
	}
	return func() {
		to := time.Now()
		if err := m.proc.Signal(syscall.SIGCONT); err != nil {
			m.top.t.Fatal(err)
		}
		m.life().pauses = append(m.life().pauses, span{from, to})
	}
}

// awaitSaid waits until the node has written this to its log since mark.
func (m *member) awaitSaid(text string, mark int, within time.Duration) {
	m.top.t.Helper()
	harness.Eventually(m.top.t, within, func() string {
		if m.proc.Said(text, mark) {
			return ""
		}
		return fmt.Sprintf("%s has not said %q:\n%s", m.name, text, m.proc.Stderr())
	})
}

// full reports whether the tests run at full length.
func full() bool { return os.Getenv("FULL") != "" }

// length is how often or how long something is done.
func length(t *testing.T, name string, short, long int) int {
	t.Helper()
	if full() {
		short = long
	}
	return harness.Number(t, name, short)
}

func seed(t *testing.T) uint64 {
	t.Helper()
	s := harness.Number(t, "SEED", int(time.Now().UnixNano()))
	t.Logf("SEED=%d", s)
	return uint64(s) //nolint:gosec // any bits will do
}

func leaseTTL(t *testing.T) time.Duration {
	t.Helper()
	v := os.Getenv("TTL")
	switch {
	case v == "" && full():
		return router.DefaultTTL
	case v == "":
		return shortTTL
	}
	d, err := time.ParseDuration(v)
	if err != nil {
		t.Fatalf("TTL: %v", err)
	}
	return d
}

func replicas(f form) string {
	switch v := os.Getenv("REPLICAS"); {
	case v != "":
		return v
	case f == embedded:
		return "3"
	default:
		return "1"
	}
}

func syncMode() string {
	if v := os.Getenv("SYNC"); v != "" {
		return v
	}
	return string(perdure.SyncInterval)
}

var built struct {
	once sync.Once
	path string
}

// TestMain removes the node program that the tests share.
func TestMain(m *testing.M) {
	code := m.Run()
	if built.path != "" {
		_ = os.RemoveAll(filepath.Dir(built.path))
	}
	os.Exit(code)
}

// binary builds the node program, once for all tests.
func binary(t *testing.T) string {
	t.Helper()
	built.once.Do(func() {
		dir, err := os.MkdirTemp("", "cluster") //nolint:usetesting // it outlives the test that needs it first
		if err != nil {
			t.Fatal(err)
		}
		built.path = harness.BuildIn(t, dir, "github.com/perdure/perdure/test/node")
	})
	return built.path
}
