package actor

import (
	"hash/fnv"
	"time"
)

// How long before a wait is due its schedule fires: leastLead and up to leadSpread more, but never before half of the wait is over.
// The firing has the object read from its log, and a reminder in memory keeps the time from there on. So an object that
// was not in memory is in time, and of many that are due at once, not all are read at once.
const (
	leastLead  = time.Second
	leadSpread = 8 * time.Second
)

// wakeAt is when the schedule of a wait fires that is due then: always the same part of the spread for one object.
func (r *run) wakeAt(due time.Time) time.Time {
	h := fnv.New64a()
	h.Write([]byte(r.addr.String()))
	lead := leastLead + time.Duration(h.Sum64()%uint64(leadSpread))
	return due.Add(-min(lead, max(due.Sub(r.host.now())/2, 0)))
}

// keepFiring keeps a firing that came early until it is of use. Its schedule has fired: from here on this node alone keeps the
// time. One firing is enough: a schedule that was armed again, because nobody knew of it, fires again.
func (r *run) keepFiring(id string, early time.Duration, it *item) {
	delete(r.armed, id)
	if it.done == nil || r.firings[id] != nil {
		return
	}
	r.firings[id], it.done = it.done, nil
	r.later(early, item{kind: itemTimer, id: id})
}

// dropFiring lets go of a firing whose time has come while the run does nothing: who loads the run finds that it is due.
func (r *run) dropFiring(id string) {
	delete(r.armed, id)
	if done := r.firings[id]; done != nil {
		delete(r.firings, id)
		done(true)
	}
}
