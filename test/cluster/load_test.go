package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/test/harness"
	"github.com/perdure/perdure/test/objects"
)

// callersOf is how a load is made.
type loadConfig struct {
	callers   int
	objects   int
	hot       int           // of the objects; a fifth of the work is theirs, and their histories are kept
	employers int           // callers of workers, whose steps note themselves in the journal
	think     time.Duration // between a caller's operations, on average
}

// fullLoad is what the promises speak of. The callers think, so that the nodes have time for their leases on machines
// that run the servers and the callers too.
var fullLoad = loadConfig{callers: 64, objects: 10_000, hot: 16, employers: 24, think: 25 * time.Millisecond}

// load is callers and what they were told.
type load struct {
	t        *testing.T
	cfg      loadConfig
	top      *topology
	register *harness.Register
	history  history
	strict   atomic.Bool // operations that begin now must succeed at once
	calls    atomic.Int64
	sends    atomic.Int64
	jobs     atomic.Int64

	leave context.CancelFunc
	stop  <-chan struct{}
	wg    sync.WaitGroup

	mu      sync.Mutex
	strictN int
	took    []timed
}

// timed is when a call began and how long it took.
type timed struct {
	began time.Time
	took  time.Duration
	addr  actor.Address
}

// drive starts callers; they go on until [load.end].
func (top *topology) drive(seed uint64, cfg loadConfig) *load {
	top.t.Helper()
	ctx, leave := context.WithCancel(top.t.Context())
	l := &load{t: top.t, cfg: cfg, top: top, register: harness.NewRegister(), leave: leave, stop: ctx.Done()}
	l.history.began = time.Now()
	conns := make([]*nats.Conn, 8)
	for i := range conns {
		conns[i] = top.connect(nats.Name("load"))
	}
	for i := range cfg.callers + cfg.employers {
		c := &caller{load: l, n: i, Caller: harness.Caller{
			TB: top.t, Client: perdure.NewClient(conns[i%len(conns)]), Rand: rand.New(rand.NewPCG(seed, uint64(i))), //nolint:gosec // small
		}}
		do := c.add
		if i >= cfg.callers {
			do = c.employ
		}
		l.wg.Go(func() { c.run(do) })
	}
	top.t.Cleanup(l.end)
	return l
}

// end lets every caller finish what it does.
func (l *load) end() {
	l.leave()
	l.wg.Wait()
}

// goOn lets the load go on for d.
func (l *load) goOn(d time.Duration) {
	select {
	case <-l.stop:
	case <-time.After(d):
	}
}

// calm lets the load go on for d, in which every operation must succeed at once.
func (l *load) calm(d time.Duration) {
	l.t.Helper()
	l.strict.Store(true)
	l.goOn(d)
	l.strict.Store(false)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.strictN == 0 {
		l.t.Error("nothing was called after the faults")
	}
	l.t.Logf("%d operations in the %s after the faults", l.strictN, d)
}

// caller does one thing after another.
type caller struct {
	*load
	harness.Caller
	n, done int
}

func (c *caller) run(do func(id string)) {
	for {
		select {
		case <-c.stop:
			return
		case <-time.After(time.Duration(c.Rand.Int64N(int64(2*c.cfg.think) + 1))):
		}
		c.done++
		do(fmt.Sprintf("caller-%d-%d", c.n, c.done))
	}
}

// add adds to a tally by call or send, or reads it. What is sent to hot ones has no known end, so they are called only.
func (c *caller) add(id string) {
	hot := c.Rand.IntN(5) == 0
	key := c.Rand.IntN(c.cfg.objects)
	if hot {
		key = c.Rand.IntN(c.cfg.hot)
	}
	hot = key < c.cfg.hot
	addr := objects.Tallies.At(strconv.Itoa(key))
	amount := 1 + c.Rand.IntN(9)
	switch kind := c.Rand.IntN(10); {
	case kind == 0:
		o := c.call(addr, "get", nil, id)
		if hot {
			c.history.note(c.n, addr, 0, o)
		}
	case kind < 4 && !hot:
		if c.Send(addr, "add", objects.Amount{N: amount}, id) > 0 {
			c.register.Sent(addr.String(), amount)
			c.sends.Add(1)
		}
	default:
		o := c.call(addr, "add", objects.Amount{N: amount}, id)
		if o.sum > 0 {
			c.register.Answered(addr.String(), harness.Acked{Sum: o.sum, Amount: amount, Seq: o.seq})
		}
		if hot {
			c.history.note(c.n, addr, amount, o)
		}
	}
}

// employ gives the caller's worker a job.
func (c *caller) employ(id string) {
	o := c.call(actor.Address{Type: "worker", Key: strconv.Itoa(c.n)}, "work", objects.Job{ID: c.done, Millis: c.Rand.IntN(100)}, id)
	if o.known && o.sum != c.done {
		c.t.Errorf("worker/%d: job %d was the run's job %d", c.n, c.done, o.sum)
	}
	c.jobs.Add(1)
}

// observed is what a call has seen.
type observed struct {
	began, ended time.Time
	known        bool // it was answered
	sum          int
	seq          uint64
}

// call calls until there is an answer, which is a number.
func (c *caller) call(addr actor.Address, hook string, in any, id string) observed {
	strict := c.strict.Load()
	o := observed{began: time.Now()}
	out := c.first(strict, addr, hook, in, id)
	if out == nil {
		out = c.Call(addr, hook, in, id)
	}
	o.ended = time.Now()
	if addr.Type == "tally" { // else it takes as long as it was told
		c.note(strict, timed{o.began, o.ended.Sub(o.began), addr})
	}
	if out == nil {
		return o
	}
	c.calls.Add(1)
	if err := json.Unmarshal(out.Result, &o.sum); err != nil {
		c.t.Errorf("%s %s: result %s", hook, addr, out.Result)
		return o
	}
	o.known, o.seq = true, out.Seq
	return o
}

// first tries once, where that has to be enough.
func (c *caller) first(strict bool, addr actor.Address, hook string, in any, id string) *actor.Outcome {
	if !strict {
		return nil
	}
	payload, err := json.Marshal(in)
	if err != nil {
		c.t.Error(err)
		return nil
	}
	out, err := c.Client.Call(context.WithoutCancel(c.t.Context()), addr, hook, payload, actor.CallHeader{CallID: id, Timeout: strictTimeout})
	if err != nil {
		c.t.Errorf("%s of %s fails after the faults: %v", hook, addr, err)
	}
	return out
}

// strictTimeout is in which a call without faults must succeed.
const strictTimeout = 10 * time.Second

func (l *load) note(strict bool, t timed) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if strict {
		l.strictN++
	}
	l.took = append(l.took, t)
}

// between returns the calls that began in a span.
func (l *load) between(s span) []timed {
	l.mu.Lock()
	defer l.mu.Unlock()
	var in []timed
	for _, t := range l.took {
		if t.began.After(s.from) && t.began.Before(s.to) {
			in = append(in, t)
		}
	}
	return in
}
