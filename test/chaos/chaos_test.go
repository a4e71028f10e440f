package chaos

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/test/harness"
	"github.com/perdure/perdure/test/objects"
)

const (
	callers  = 64
	counters = 45
	tallies  = 45
	ledgers  = 10
	workers  = 6
)

// TestKill drives 64 callers, half of what they do calls and half sends, against 100 objects, while the node is killed
// with SIGKILL at random moments and started again on its store.
func TestKill(t *testing.T) {
	kills, seed := harness.Number(t, "N", 5), harness.Number(t, "SEED", int(time.Now().UnixNano()))
	t.Logf("SEED=%d N=%d", seed, kills)
	dir := t.TempDir()
	journal := filepath.Join(dir, "steps")
	program := program(t, dir, seed, "--idle", "2s")
	program.Env = []string{"STEP_JOURNAL=" + journal}
	node := program.Start(t)
	node.AwaitUp(t, 30*time.Second)
	load := &load{t: t, register: harness.NewRegister(), stop: make(chan struct{})}
	load.start(program, uint64(seed))

	r := rand.New(rand.NewPCG(uint64(seed), 1))
	for i := range kills {
		if i%5 == 4 { // for once it may hand over
			node.AwaitUp(t, 30*time.Second)
			if err := node.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if code := node.ExitCode(t, 30*time.Second); code != 0 {
				t.Errorf("exit code %d on SIGTERM: %s", code, node.Stderr())
			}
			node = program.Start(t)
		}
		wait(node, time.Duration(100+r.IntN(1200))*time.Millisecond)
		node.Kill()
		node = program.Start(t)
		if r.IntN(4) > 0 { // else it is perhaps killed while it starts
			node.AwaitUp(t, 30*time.Second)
		}
	}
	node.AwaitUp(t, 30*time.Second)
	wait(node, time.Second)
	close(load.stop)
	load.wg.Wait()
	nc := program.Connect(t)
	harness.AwaitDrained(t, nc, 20*time.Second)
	answered, _ := load.register.Operations()
	t.Logf("%d kills; %d calls answered, %d sends accepted, %d jobs done", kills, answered, load.sends.count(), load.jobs.count())
	first := load.check(perdure.NewClient(nc), "warm")

	node.Kill() // everything is replayed from its log
	node = program.Start(t)
	node.AwaitUp(t, 30*time.Second)
	harness.Eventually(t, 10*time.Second, func() string {
		if !nc.IsConnected() {
			return "not connected"
		}
		return ""
	})
	second := load.check(perdure.NewClient(nc), "cold")
	for run, state := range first {
		if second[run] != state {
			t.Errorf("%s: replayed cold to %s, was %s", run, second[run], state)
		}
	}
	logs := soundLogs(t, nc)
	steps := harness.NewStepCheck("first", "second")
	for _, records := range logs {
		for _, r := range records {
			steps.Record(r)
		}
	}
	steps.Check(t, harness.ReadJournal(t, journal))
	if dead := harness.ReadStream(t, nc, "PERDURE_DEAD"); len(dead) > 0 {
		t.Errorf("%d dead letters, the first: %s", len(dead), dead[0].Data)
	}
}

func wait(p *harness.Process, d time.Duration) {
	select {
	case <-p.Ended():
	case <-time.After(d):
	}
}

// load is the callers and what they were told.
type load struct {
	t        *testing.T
	register *harness.Register
	stop     chan struct{}
	wg       sync.WaitGroup
	sends    counter
	jobs     counter
}

type counter struct {
	mu sync.Mutex
	n  int
}

func (c *counter) add() { c.mu.Lock(); c.n++; c.mu.Unlock() }

func (c *counter) count() int { c.mu.Lock(); defer c.mu.Unlock(); return c.n }

func (l *load) start(p harness.Program, seed uint64) {
	conns := make([]*nats.Conn, 8)
	for i := range conns {
		conns[i] = p.Connect(l.t)
	}
	for i := range callers {
		c := &caller{
			load: l, name: fmt.Sprintf("caller-%02d", i), said: map[string]int{},
			Caller: harness.Caller{TB: l.t, Client: perdure.NewClient(conns[i%len(conns)]), Rand: rand.New(rand.NewPCG(seed, uint64(100+i)))},
		}
		l.wg.Go(c.run)
	}
	for i := range workers {
		c := &caller{load: l, name: fmt.Sprintf("employer-%d", i), Caller: harness.Caller{TB: l.t, Client: perdure.NewClient(conns[i]), Rand: rand.New(rand.NewPCG(seed, uint64(500+i)))}}
		l.wg.Go(func() { c.employ(actor.Address{Type: "worker", Key: strconv.Itoa(i)}) })
	}
}

// caller does one thing after another and repeats each until it is acknowledged.
type caller struct {
	*load
	harness.Caller
	name string
	said map[string]int // by ledger: how many entries it got from this caller
}

func (c *caller) run() {
	for n := 0; ; n++ {
		select {
		case <-c.stop:
			return
		default:
		}
		id := fmt.Sprintf("%s-%d", c.name, n)
		call := c.Rand.IntN(2) == 0
		switch i := c.Rand.IntN(counters + tallies + ledgers); {
		case i < counters:
			amount := 1 + c.Rand.IntN(9)
			c.add(actor.Address{Type: "counter", Key: strconv.Itoa(i)}, "action", objects.Action{Type: "increment", Amount: amount}, amount, id, call)
		case i < counters+tallies:
			amount := 1 + c.Rand.IntN(9)
			c.add(actor.Address{Type: "tally", Key: strconv.Itoa(i)}, "add", objects.Amount{N: amount}, amount, id, call)
		default:
			addr := actor.Address{Type: "ledger", Key: strconv.Itoa(i)}
			c.said[addr.Key]++
			c.do(addr, "append", objects.Entry{Sender: c.name, N: c.said[addr.Key]}, id, call)
		}
	}
}

func (c *caller) add(addr actor.Address, hook string, in any, amount int, id string, call bool) {
	o := c.do(addr, hook, in, id, call)
	switch {
	case o == nil && call:
	case o == nil:
		c.register.Sent(addr.String(), amount)
	default:
		var sum int
		if err := json.Unmarshal(o.Result, &sum); err != nil {
			c.t.Errorf("%s: result %s", addr, o.Result)
		}
		c.register.Answered(addr.String(), harness.Acked{Sum: sum, Amount: amount, Seq: o.Seq})
	}
}

// do calls or sends until it is acknowledged. The outcome of a send is nil.
func (c *caller) do(addr actor.Address, hook string, in any, id string, call bool) *actor.Outcome {
	if call {
		return c.Call(addr, hook, in, id)
	}
	if c.Send(addr, hook, in, id) > 0 {
		c.sends.add()
	}
	return nil
}

func (c *caller) employ(addr actor.Address) {
	for n := 1; ; n++ {
		select {
		case <-c.stop:
			return
		default:
		}
		o := c.do(addr, "work", objects.Job{ID: n, Millis: c.Rand.IntN(60)}, fmt.Sprintf("%s-%d", c.name, n), true)
		if o == nil {
			return
		}
		if got := string(o.Result); got != strconv.Itoa(n) {
			c.t.Errorf("%s: job %d was the run's job %s", addr, n, got)
		}
		c.jobs.add()
	}
}

// check compares every object with the register and returns the states.
func (l *load) check(client *perdure.Client, when string) map[string]string {
	l.t.Helper()
	states := map[string]string{}
	for i := range counters + tallies + ledgers {
		addr, hook, in := actor.Address{Type: "tally", Key: strconv.Itoa(i)}, "get", any(nil)
		switch {
		case i < counters:
			addr.Type, hook, in = "counter", "action", objects.Action{Type: "get"}
		case i >= counters+tallies:
			addr.Type, hook = "ledger", actor.HookState
		}
		payload, _ := json.Marshal(in)
		o, err := client.Call(l.t.Context(), addr, hook, payload, actor.CallHeader{})
		if err != nil {
			l.t.Errorf("%s: read %s: %v", when, addr, err)
			continue
		}
		states[addr.String()] = string(o.Result)
		if addr.Type == "ledger" {
			var s objects.Ledger
			if err := json.Unmarshal(o.Result, &s); err != nil || len(s.Wrong) > 0 {
				l.t.Errorf("%s: %s: %v, out of order: %s", when, addr, err, strings.Join(s.Wrong, "; "))
			}
			continue
		}
		if got, want := string(o.Result), strconv.Itoa(l.register.Sum(addr.String())); got != want {
			l.t.Errorf("%s: %s is %s, acknowledged %s", when, addr, got, want)
		}
		if wrong := l.register.Disorder(addr.String()); wrong != "" {
			l.t.Errorf("%s: %s", when, wrong)
		}
	}
	return states
}
