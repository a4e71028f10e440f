package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
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

const (
	movers  = 16
	ledgers = 100
)

// TestMoves hands partitions around between the nodes without pause, by draining one after the other, while sends and
// calls arrive: every one is applied once, and a caller's are applied in the order in which it made them, whether it
// sends or calls.
func TestMoves(t *testing.T) {
	both(t, inFull, func(t *testing.T, f form) {
		seed := seed(t)
		operations := length(t, "N", 1000, 10_000)
		top := begin(t, f, 3)
		before := top.watch.epochs()
		said := top.say(seed, operations)
		moves := 0
		nc := top.connect(nats.Name("operator"))
		for i := 0; said.going(); i++ {
			m := top.nodes[i%len(top.nodes)]
			drain(t, nc, m, false)
			harness.Eventually(t, upWithin, func() string {
				if n := top.watch.owned()[m.name]; n > 0 {
					return fmt.Sprintf("%s drains and owns %d partitions", m.name, n)
				}
				return ""
			})
			drain(t, nc, m, true)
			moves++
		}
		said.wg.Wait()
		claims := 0
		for p, epoch := range top.watch.epochs() {
			claims += int(epoch - before[p]) //nolint:gosec // few
		}
		t.Logf("%d operations while nodes were drained %d times and partitions claimed %d times", operations, moves, claims)
		harness.AwaitDrained(t, nc, time.Minute)
		said.check(perdure.NewClient(nc))
		top.checkLogs()
	})
}

// drain has a node hand over what it owns, or takes that back.
func drain(t *testing.T, nc *nats.Conn, m *member, off bool) {
	t.Helper()
	payload, err := json.Marshal(map[string]bool{"off": off})
	if err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, upWithin, func() string { // it is refused while no other node could take the partitions
		r, err := harness.TryAsk(t.Context(), nc, "node."+m.name+".drain", payload, time.Second)
		switch {
		case err != nil:
			return err.Error()
		case r.Code != 0:
			return r.Err.Error()
		}
		return ""
	})
}

// sayings are entries that callers make in ledgers.
type sayings struct {
	t     *testing.T
	wg    sync.WaitGroup
	left  atomic.Int64
	mu    sync.Mutex
	count map[string]map[string]int // ledger → sender → entries
}

func (top *topology) say(seed uint64, operations int) *sayings {
	s := &sayings{t: top.t, count: map[string]map[string]int{}}
	s.left.Store(int64(operations))
	for i := range movers {
		c := &harness.Caller{TB: top.t, Client: perdure.NewClient(top.connect(nats.Name("load"))), Rand: rand.New(rand.NewPCG(seed, uint64(i)))} //nolint:gosec // small
		s.wg.Go(func() { s.run(c, fmt.Sprintf("mover-%d", i)) })
	}
	top.t.Cleanup(func() {
		s.left.Store(0)
		s.wg.Wait()
	})
	return s
}

func (s *sayings) going() bool { return s.left.Load() > 0 }

// run sends or calls. What is called must be applied after what the same caller has sent before.
func (s *sayings) run(c *harness.Caller, name string) {
	for n := 0; s.left.Add(-1) >= 0; n++ {
		addr := objects.Ledgers.At(strconv.Itoa(c.Rand.IntN(ledgers)))
		e := objects.Entry{Sender: name, N: s.next(addr, name)}
		id := fmt.Sprintf("%s-%d", name, n)
		if c.Rand.IntN(2) == 0 {
			c.Send(addr, "append", e, id)
		} else {
			c.Call(addr, "append", e, id)
		}
		think(time.Duration(c.Rand.IntN(2 * int(sayEvery))))
	}
}

// sayEvery is how long a caller waits between two operations, so that partitions move many times meanwhile.
const sayEvery = 100 * time.Millisecond

func think(d time.Duration) { <-time.After(d) }

func (s *sayings) next(addr actor.Address, sender string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.count[addr.Key] == nil {
		s.count[addr.Key] = map[string]int{}
	}
	s.count[addr.Key][sender]++
	return s.count[addr.Key][sender]
}

// check compares every ledger with what was said.
func (s *sayings) check(client *perdure.Client) {
	s.t.Helper()
	for key, senders := range s.count {
		l, _, err := objects.Ledgers.State(context.WithoutCancel(s.t.Context()), client, key)
		if err != nil || len(l.Wrong) > 0 {
			s.t.Errorf("ledger/%s: %v, out of order: %s", key, err, strings.Join(l.Wrong, "; "))
		}
		for sender, n := range senders {
			if l.Last[sender] != n {
				s.t.Errorf("ledger/%s has %d entries of %s, %d were acknowledged", key, l.Last[sender], sender, n)
			}
		}
	}
}
