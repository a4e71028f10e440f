package cluster

import (
	"encoding/json"
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
// A bucket keeps the last revision of a key, so a watch that is slow, or was disconnected, misses some. It knows when:
// sequences are missing then, and between them everything may have happened.
type watch struct {
	t   *testing.T
	ttl time.Duration

	mu     sync.Mutex
	leases map[string][]time.Time     // session → when it was created and renewed
	names  map[string]string          // session → node
	gaps   []span                     // of leases: something may be missing between
	claims map[int]map[uint64]claimed // partition → epoch
	now    map[int]router.Record      // partition → last revision
	seq    map[string]uint64          // by stream
	at     map[string]time.Time
}

// claimed is what is known of a claim: the first revision seen with its epoch.
type claimed struct {
	node, session string
	since         time.Time // by the claimer, before it asked
	at            time.Time // stored; later than the claim when its first revision was missed
}

func newWatch(t *testing.T, nc *nats.Conn, ttl time.Duration) *watch {
	t.Helper()
	w := &watch{
		t: t, ttl: ttl, leases: map[string][]time.Time{}, names: map[string]string{}, claims: map[int]map[uint64]claimed{},
		now: map[int]router.Record{}, seq: map[string]uint64{}, at: map[string]time.Time{},
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	for bucket, learn := range map[string]func(jetstream.Msg, *jetstream.MsgMetadata){"PERDURE_LEASES": w.lease, "PERDURE_PARTITIONS": w.record} {
		c, err := js.OrderedConsumer(t.Context(), "KV_"+bucket, jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverAllPolicy})
		if err != nil {
			t.Fatalf("watch bucket %s: %v", bucket, err)
		}
		following, err := c.Consume(func(m jetstream.Msg) {
			if at, err := m.Metadata(); err == nil {
				w.mu.Lock()
				defer w.mu.Unlock()
				learn(m, at)
			}
		})
		if err != nil {
			t.Fatalf("watch bucket %s: %v", bucket, err)
		}
		t.Cleanup(following.Stop)
	}
	return w
}

func (w *watch) lease(m jetstream.Msg, at *jetstream.MsgMetadata) {
	if before := w.seq[at.Stream]; before > 0 && at.Sequence.Stream > before+1 {
		w.gaps = append(w.gaps, span{w.at[at.Stream], at.Timestamp})
	}
	w.seq[at.Stream], w.at[at.Stream] = at.Sequence.Stream, at.Timestamp
	var l router.Lease
	if json.Unmarshal(m.Data(), &l) != nil || l.Session == "" {
		return // deleted
	}
	w.leases[l.Session] = append(w.leases[l.Session], at.Timestamp)
	w.names[l.Session] = l.Node
}

func (w *watch) record(m jetstream.Msg, at *jetstream.MsgMetadata) {
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
	case !ok:
		w.claims[p][r.Epoch] = claimed{r.Node, r.Session, r.Since, at.Timestamp}
	case is.node != r.Node || is.session != r.Session:
		w.t.Errorf("partition %d: epoch %d is of %s (session %s) and of %s (session %s)", p, r.Epoch, is.node, is.session, r.Node, r.Session)
	}
	if r.Epoch < w.now[p].Epoch {
		w.t.Errorf("partition %d: epoch went back from %d to %d", p, w.now[p].Epoch, r.Epoch)
	}
	w.now[p] = r
}

// owners returns who owns each partition now: partitions that were given back and those of silent sessions are left out.
func (w *watch) owners() map[int]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	owners := map[int]string{}
	for p, r := range w.now {
		renewed := w.leases[r.Session]
		if !r.Released && len(renewed) > 0 && time.Since(renewed[len(renewed)-1]) < w.ttl/2 {
			owners[p] = r.Node
		}
	}
	return owners
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
	for session, renewed := range w.leases {
		if w.names[session] != node {
			continue
		}
		i, _ := slices.BinarySearchFunc(renewed, moment, time.Time.Compare)
		if i > 0 && renewed[i-1].After(l.began) && moment.Sub(renewed[i-1]) <= trust {
			return true, true
		}
	}
	missing := slices.ContainsFunc(w.gaps, func(g span) bool { return g.from.Before(moment) && moment.Before(g.to.Add(trust)) })
	return false, !missing
}

// mayExecute reports whether the node had claimed the partition in this life before that moment, and nobody else had
// since.
func (w *watch) mayExecute(p int, node string, l *life, moment time.Time) bool {
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
