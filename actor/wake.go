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
	// skew is what the clocks of nodes may differ by.
	skew = time.Second
)

// wakeAt is when the schedule of a wait fires that is due then: always the same part of the spread for one object.
func (r *run) wakeAt(due time.Time) time.Time {
	h := fnv.New64a()
	h.Write([]byte(r.addr.String()))
	lead := leastLead + time.Duration(h.Sum64()%uint64(leadSpread))
	return due.Add(-min(lead, max(due.Sub(r.host.now())/2, 0)))
}

// asleep reports whether the schedule of a wait that was armed has certainly not fired. One that has, perhaps while the run was
// parked, keeps the time no longer.
func (r *run) asleep(id string, due time.Time) bool {
	_, fired := r.firings[id]
	return !fired && due.Sub(r.host.now()) > leastLead+leadSpread+skew
}

// firing is one that came before its wait is due. It is not acknowledged until it was of use, so that another owner finds it;
// for that it keeps its run in memory.
type firing struct {
	done func(applied bool)
	look *time.Timer // when its wait is due
}

// keepFiring keeps a firing that came early. Its schedule has fired: from here on this node keeps the time. One firing is enough: a
// schedule that was armed again, because nobody knew of it, fires again.
func (r *run) keepFiring(id string, early time.Duration, it *item) {
	delete(r.armed, id)
	f, kept := r.firings[id]
	if !kept {
		if it.done == nil {
			return
		}
		f.done, it.done = it.done, nil
	} else {
		f.look.Stop()
	}
	look := item{kind: itemTimer, id: id}
	f.look = time.AfterFunc(early, func() { r.part.deliver(r.addr, look) })
	r.firings[id] = f
}

// dropFiring lets go of a firing that is of no use any more: its wait is over, or its time has come while the run does nothing, and
// who loads the run finds that it is due.
func (r *run) dropFiring(id string) {
	delete(r.armed, id)
	if f, kept := r.firings[id]; kept {
		delete(r.firings, id)
		f.look.Stop()
		f.done(true)
	}
}

// timed reports whether something else than this node keeps the time of a wait: a schedule, or a firing that will be read again.
func (r *run) timed(id string) bool {
	_, fired := r.firings[id]
	return fired || r.armed[id]
}

// letGo drops a firing once the turn is durable, if it is of no use then: until then it is what the next owner would go by.
func (t *turn) letGo(id string) {
	r := t.run
	t.later = append(t.later, func() {
		if r.parked != nil || r.x.paused != nil || r.x.waits[id] == nil && r.x.alarms.byID(id) == nil {
			r.dropFiring(id)
		}
	})
}
