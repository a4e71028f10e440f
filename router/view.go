package router

import (
	"maps"
	"sync"
	"time"
)

// view is what a node knows about records and sessions. It is safe for concurrent use: the watches fill it.
type view struct {
	changed chan struct{} // gets a value after a record changed

	mu      sync.Mutex
	records map[int]Record
	sight   sightings
}

func newView(ttl time.Duration) *view {
	return &view{changed: make(chan struct{}, 1), records: map[int]Record{}, sight: newSightings(ttl)}
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
	if !news {
		return
	}
	select {
	case v.changed <- struct{}{}:
	default:
	}
}

// see notes a lease as read or watched.
func (v *view) see(l Lease, now time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.sight.see(l.Session, l.Revision, now)
}

// silent is [sightings.silent].
func (v *view) silent(session string, now time.Duration) time.Duration {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.sight.silent(session, now)
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

// prune forgets dead sessions that no record names.
func (v *view) prune(now time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	named := map[string]bool{}
	for _, r := range v.records {
		named[r.Session] = true
	}
	v.sight.prune(named, now)
}
