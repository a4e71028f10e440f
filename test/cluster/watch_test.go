package cluster

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/perdure/perdure/router"
)

// watch keeps every revision of leases and of partitions' records, with the time at which the server stored it. The
// servers run on this machine, so that their times, those of the journals and those of the test are of one clock, and
// it does not matter how late the watch learns of something.
//
// A bucket keeps the last revision of a key, so a watch that is slow, or was disconnected, misses some. Hence one watch
// over each server, where one may be killed. What all of them missed is known: sequences and epochs have no gaps.
type watch struct {
	t   *testing.T
	ttl time.Duration

	mu      sync.Mutex
	renewed map[string][]time.Time     // session → when it was created and renewed
	names   map[string]string          // session → node
	leases  map[uint64]time.Time       // every message of the bucket, by sequence
	claims  map[int]map[uint64]claimed // partition → epoch
	now     map[int]revision           // partition → last revision seen
}

// claimed is what is known of a claim: the first revision seen with its epoch.
type claimed struct {
	node, session string
	since         time.Time // by the claimer, before it asked
	at            time.Time // stored; later than the claim when its first revision was missed
}

type revision struct {
	router.Record
	seq uint64
}

func newWatch(t *testing.T, ttl time.Duration, servers []*nats.Conn) *watch {
	t.Helper()
	w := &watch{
		t: t, ttl: ttl, renewed: map[string][]time.Time{}, names: map[string]string{}, leases: map[uint64]time.Time{},
		claims: map[int]map[uint64]claimed{}, now: map[int]revision{},
	}
	for _, nc := range servers {
		w.follow(nc, "KV_PERDURE_LEASES", w.lease)
		w.follow(nc, "KV_PERDURE_PARTITIONS", w.record)
	}
	return w
}

func (w *watch) follow(nc *nats.Conn, stream string, learn func(m jetstream.Msg, seq uint64, at time.Time)) {
	w.t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(w.t.Context(), upWithin)
	defer cancel()
	c, err := js.OrderedConsumer(ctx, stream, jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverAllPolicy})
	if err != nil {
		w.t.Fatalf("watch %s: %v", stream, err)
	}
	following, err := c.Consume(func(m jetstream.Msg) {
		if meta, err := m.Metadata(); err == nil {
			w.mu.Lock()
			defer w.mu.Unlock()
			learn(m, meta.Sequence.Stream, meta.Timestamp)
		}
	})
	if err != nil {
		w.t.Fatalf("watch %s: %v", stream, err)
	}
	w.t.Cleanup(following.Stop)
}

func (w *watch) lease(m jetstream.Msg, seq uint64, at time.Time) {
	if _, ok := w.leases[seq]; ok {
		return
	}
	w.leases[seq] = at
	var l router.Lease
	if json.Unmarshal(m.Data(), &l) != nil || l.Session == "" {
		return // deleted
	}
	times := w.renewed[l.Session]
	i, _ := slices.BinarySearchFunc(times, at, time.Time.Compare)
	w.renewed[l.Session] = slices.Insert(times, i, at)
	w.names[l.Session] = l.Node
}

func (w *watch) record(m jetstream.Msg, seq uint64, at time.Time) {
	p, err := strconv.Atoi(m.Subject()[strings.LastIndexByte(m.Subject(), '.')+1:])
	var r router.Record
	if err != nil || json.Unmarshal(m.Data(), &r) != nil || r.Session == "" {
		w.t.Errorf("%s: %s is no record", m.Subject(), m.Data())
		return
	}
	if w.claims[p] == nil {
		w.claims[p] = map[uint64]claimed{}
	}
	is, ok := w.claims[p][r.Epoch]
	switch {
	case !ok || at.Before(is.at) && is.session == r.Session:
		w.claims[p][r.Epoch] = claimed{r.Node, r.Session, r.Since, at}
	case is.node != r.Node || is.session != r.Session:
		w.t.Errorf("partition %d: epoch %d is of %s (session %s) and of %s (session %s)", p, r.Epoch, is.node, is.session, r.Node, r.Session)
	}
	last := w.now[p]
	if seq > last.seq {
		w.now[p] = revision{r, seq}
	}
	if seq > last.seq && r.Epoch < last.Epoch || seq < last.seq && r.Epoch > last.Epoch {
		w.t.Errorf("partition %d: epochs %d (revision %d) and %d (revision %d) are not in order", p, last.Epoch, last.seq, r.Epoch, seq)
	}
}

// owners returns who owns each partition now: partitions that were given back and those of silent sessions are left out.
func (w *watch) owners() map[int]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	owners := map[int]string{}
	for p, r := range w.now {
		renewed := w.renewed[r.Session]
		if !r.Released && len(renewed) > 0 && time.Since(renewed[len(renewed)-1]) < w.ttl/2 {
			owners[p] = r.Node
		}
	}
	return owners
}

// claimed returns how many partitions a node has claimed last, whether or not it lives.
func (w *watch) claimed(node string) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.now {
		if r.Node == node && !r.Released {
			n++
		}
	}
	return n
}

// owned returns how many partitions each node owns now.
func (w *watch) owned() map[string]int {
	count := map[string]int{}
	for _, node := range w.owners() {
		count[node]++
	}
	return count
}

// trusted reports whether the node could trust a lease of its own at that moment. ok is false when the watch does not
// know. No renewal is stored before it was sent nor after it was answered, so whoever trusts a lease at a moment has
// one that was stored at most 0.7 TTL before.
func (w *watch) trusted(node string, l *life, moment time.Time) (trusted, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	trust := router.NewTrust(w.ttl, router.Instant{}).Left(router.Instant{})
	for session, renewed := range w.renewed {
		if w.names[session] != node {
			continue
		}
		i, _ := slices.BinarySearchFunc(renewed, moment, time.Time.Compare)
		if i > 0 && renewed[i-1].After(l.began) && moment.Sub(renewed[i-1]) <= trust {
			return true, true
		}
	}
	return false, !w.missedLeases(span{moment.Add(-trust), moment})
}

// missedLeases reports whether something that the watch has not seen may have been stored in a span.
func (w *watch) missedLeases(s span) bool {
	seqs := slices.Sorted(maps.Keys(w.leases))
	for i := 1; i < len(seqs); i++ {
		if seqs[i] > seqs[i-1]+1 && w.leases[seqs[i-1]].Before(s.to) && w.leases[seqs[i]].After(s.from) {
			return true
		}
	}
	return false
}

// mayExecute reports whether the node had claimed the partition in this life before that moment, and nobody else had
// since. ok is false when the watch does not know.
func (w *watch) mayExecute(p int, node string, l *life, moment time.Time) (may, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for epoch, c := range w.claims[p] {
		if c.node != node || c.since.Before(l.began) || c.since.After(moment) {
			continue
		}
		superseded := false
		for later, by := range w.claims[p] {
			superseded = superseded || later > epoch && by.session != c.session && by.at.Before(moment)
		}
		if !superseded {
			return true, true
		}
	}
	return false, !w.missedClaims(p, moment)
}

// missedClaims reports whether a claim that the watch has not seen may have held at a moment: one between a claim that
// was made before the moment and one that was seen after it.
func (w *watch) missedClaims(p int, moment time.Time) bool {
	epochs := slices.Sorted(maps.Keys(w.claims[p]))
	for i, epoch := range epochs {
		before, made := uint64(0), time.Time{}
		if i > 0 {
			before, made = epochs[i-1], w.claims[p][epochs[i-1]].since
		}
		if epoch > before+1 && made.Before(moment) && w.claims[p][epoch].at.After(moment) {
			return true
		}
	}
	return false
}

// claim returns what is known of an epoch.
func (w *watch) claim(p int, epoch uint64) (claimed, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c, ok := w.claims[p][epoch]
	return c, ok
}

// unowned says how many partitions have no owner now; empty: none.
func (top *topology) unowned() string {
	if n := partitions - len(top.watch.owners()); n > 0 {
		return strconv.Itoa(n) + " partitions have no owner"
	}
	return ""
}

// epochs returns the last epoch of each partition.
func (w *watch) epochs() map[int]uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	epochs := map[int]uint64{}
	for p, r := range w.now {
		epochs[p] = r.Epoch
	}
	return epochs
}
