package router

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// view is what a node knows about records, leases and sessions. It is safe for concurrent use: the watches fill it.
type view struct {
	ttl     time.Duration // of leases that do not say their own
	changed chan struct{} // gets a value after a record changed, or who lives

	mu      sync.Mutex
	records map[int]Record
	leases  map[string]Lease // by node; without session: gone, at that revision
	whole   bool             // all leases that there were have been seen
	sight   sightings
}

func newView(ttl time.Duration) *view {
	return &view{
		ttl: ttl, changed: make(chan struct{}, 1), records: map[int]Record{}, leases: map[string]Lease{}, sight: newSightings(),
	}
}

// learn notes a record as read, watched or written by this node; the newest revision counts.
func (v *view) learn(r Record) {
	v.mu.Lock()
	was, ok := v.records[r.Partition]
	news := !ok || r.Revision > was.Revision
	if news {
		v.records[r.Partition] = r
	}
	v.mu.Unlock()
	if news {
		v.tell()
	}
}

func (v *view) tell() {
	select {
	case v.changed <- struct{}{}:
	default:
	}
}

// see notes a lease as read or watched; one without session says that the node has none. The newest revision counts.
func (v *view) see(l Lease, now time.Duration) {
	v.mu.Lock()
	was := v.leases[l.Node]
	if l.Revision < was.Revision || l.Revision == was.Revision && was.Session == "" {
		v.mu.Unlock()
		return
	}
	v.leases[l.Node] = l
	if l.Session != "" {
		v.sight.see(l.Session, l.Revision, now)
	}
	v.mu.Unlock()
	if was.Session != l.Session || was.Draining != l.Draining || !slices.Equal(was.Types, l.Types) {
		v.tell()
	}
}

// vanished notes that a node which had the lease l has none.
func (v *view) vanished(l Lease) {
	v.mu.Lock()
	was := v.leases[l.Node]
	gone := was.Session == l.Session && was.Revision == l.Revision
	if gone {
		v.leases[l.Node] = Lease{Node: l.Node, Revision: l.Revision}
	}
	v.mu.Unlock()
	if gone {
		v.tell()
	}
}

// blank forgets all leases, because they will be told anew.
func (v *view) blank() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.leases, v.whole = map[string]Lease{}, false
}

// complete notes that all leases there were have been told.
func (v *view) complete() {
	v.mu.Lock()
	v.whole = true
	v.mu.Unlock()
	v.tell()
}

// known returns the leases.
func (v *view) known() []Lease {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.DeleteFunc(slices.Collect(maps.Values(v.leases)), func(l Lease) bool { return l.Session == "" })
}

// living returns the nodes whose leases were renewed lately, and how long until the first of them is taken for dead.
// whole is false while not all are known.
func (v *view) living(now time.Duration) (members []member, next time.Duration, whole bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	next = v.ttl
	for _, l := range v.leases {
		if left := v.leftLocked(l, now); left > 0 {
			members = append(members, member{node: l.Node, types: l.Types, draining: l.Draining})
			next = min(next, left)
		}
	}
	return members, next, v.whole
}

// leftLocked returns for how much longer a lease counts as a living node's; 0: it does not.
func (v *view) leftLocked(l Lease, now time.Duration) time.Duration {
	if l.Session == "" {
		return 0
	}
	return v.sight.silent(l.Session, l.TTL.or(v.ttl), now)
}

// silent returns for how much longer a session must stay unseen to be taken for dead, as [sightings.silent].
func (v *view) silent(session string, ttl Millis, now time.Duration) time.Duration {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.sight.silent(session, ttl.or(v.ttl), now)
}

// doubt has nobody be taken for dead before until, on the monotonic clock, who is not known to be.
func (v *view) doubt(until time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.sight.doubt = until
}

// bury is [sightings.bury].
func (v *view) bury(session string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.sight.bury(session)
}

// record returns what is known about a partition.
func (v *view) record(partition int) Record {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.records[partition]
}

// snapshot returns a copy of all records known.
func (v *view) snapshot() map[int]Record {
	v.mu.Lock()
	defer v.mu.Unlock()
	return maps.Clone(v.records)
}

// hosted reports whether a living node hosts the type, or may: not all are known.
func (v *view) hosted(typ string, now time.Duration) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, l := range v.leases {
		if slices.Contains(l.Types, typ) && v.leftLocked(l, now) > 0 {
			return true
		}
	}
	return !v.whole
}

// needed reports whether a partition has objects of the type.
func (v *view) needed(typ string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, r := range v.records {
		if slices.Contains(r.Types, typ) {
			return true
		}
	}
	return false
}

// restart is [sightings.restart].
func (v *view) restart(now time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.sight.restart(now)
}

// prune forgets sessions that no record and no lease names.
func (v *view) prune() {
	v.mu.Lock()
	defer v.mu.Unlock()
	named := map[string]bool{}
	for _, r := range v.records {
		named[r.Session] = true
	}
	for _, l := range v.leases {
		named[l.Session] = true
	}
	v.sight.prune(named)
}
