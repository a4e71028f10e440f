package actor

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of trimming.
const (
	trimBatch = 128 // records that are being removed at a time
	trimmers  = 8   // logs that a node removes records from at a time
	trimSlack = 32  // records beyond the policy before those of an object that was loaded are looked for
)

// Kept is what a record says of how much is left of the log. Records below From are needed by nobody from this record
// on, and are removed once it is durable.
type Kept struct {
	From     uint64   `json:"from"`
	N        uint64   `json:"n"`                  // the number of record From
	Left     uint64   `json:"left"`               // records from From on, when it was set
	Removing []uint64 `json:"removing,omitempty"` // records below From that may still be there
}

// trimmer removes records that the type's policy does not keep.
//
// A record says first that nobody needs what is below Kept.From, and then that is removed: so a node that comes after a
// crash knows what may be missing, and what may be left over.
type trimmer struct {
	Kept              // as the last record says
	leftOver bool     // of Removing, by a node before this one
	seqs     []uint64 // of the records from From on; nil: not known
	known    bool     // whether seqs is
	listing  *listing // looks for them
	removal  *removal // of what is below From
}

// listing looks for an object's records by the pages of its index, in the background.
type listing struct {
	found  atomic.Pointer[[]uint64]
	failed atomic.Bool
	since  []uint64 // records committed meanwhile
}

// removal removes records in the background, the oldest first.
type removal struct {
	mu      sync.Mutex
	seqs    []uint64
	running bool
}

// pending is what may still be there.
func (m *removal) pending() []uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.seqs)
}

// add has more records removed. It reports whether somebody has to start doing so.
func (m *removal) add(seqs []uint64) (start bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seqs = append(m.seqs, seqs...)
	start = !m.running && len(m.seqs) > 0
	m.running = m.running || start
	return start
}

// next returns what to remove next after done, which is gone; ok is false when there is nothing.
func (m *removal) next(done uint64) (seq uint64, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.seqs) > 0 && m.seqs[0] == done {
		m.seqs = m.seqs[1:]
	}
	if len(m.seqs) == 0 {
		m.running = false
		return 0, false
	}
	return m.seqs[0], true
}

// first is the oldest record that may be read.
func (t *trimmer) first() uint64 { return max(t.From, 1) }

// restore takes up what the last record says. Where its index names all records, no more has to be read.
func (t *trimmer) restore(last entryRecord) {
	*t = trimmer{removal: &removal{}}
	if last.Kept != nil {
		t.Kept = *last.Kept
		t.leftOver = len(t.Removing) > 0
	}
	if last.index.Prev < t.first() {
		t.seqs, t.known = append(slices.Clone(last.index.Page), last.seq), true
		t.seqs = slices.DeleteFunc(t.seqs, func(seq uint64) bool { return seq < t.From })
	}
}

// keep puts into a record what is left of the log once it is durable.
func (r *run) keep(rec *Record) {
	t := &r.trim
	t.takeStock()
	next := t.Kept
	if !t.leftOver {
		next.Removing = t.removal.pending()
	}
	if k := min(r.excess(), trimBatch-len(next.Removing)); k > 0 {
		next.From, next.N, next.Left = t.seqs[k], max(t.N, 1)+uint64(k), uint64(len(t.seqs)+1-k)
		next.Removing = slices.Concat(next.Removing, t.seqs[:k])
	}
	if next.From != 0 {
		rec.Kept = &next
	}
}

// takeStock takes up what was found in the background.
func (t *trimmer) takeStock() {
	if t.listing == nil || t.listing.failed.Load() {
		t.listing = nil // the next record has it looked for again
		return
	}
	if found := t.listing.found.Load(); found != nil {
		all := slices.Concat(*found, t.listing.since)
		i, _ := slices.BinarySearch(all, t.From)
		t.listing, t.seqs, t.known = nil, all[i:], true
	}
}

// excess is how many of the oldest records nobody needs, with the one that is being written.
func (r *run) excess() int {
	p, seqs := r.typ.history, r.trim.seqs
	k := min(len(seqs)+1-max(p.last, 1), len(seqs)-1)
	if !p.trims || k <= 0 {
		return 0
	}
	needed, _ := slices.BinarySearch(seqs, r.needed())
	return min(k, needed)
}

// needed is the oldest record that somebody may still read, whatever becomes of the record that is being written.
func (r *run) needed() uint64 {
	low := r.lastRec
	need := func(seq uint64) {
		if seq != 0 {
			low = min(low, seq)
		}
	}
	switch {
	case r.typ.object != nil:
		if len(r.tail.chain) > 0 {
			need(r.tail.chain[0].seq)
		}
	case r.snapshotAt == 0:
		return 0
	default:
		need(r.snapshotAt)
	}
	for _, seq := range r.openAt {
		need(seq)
	}
	need(r.unsettled)
	need(r.resume)
	need(r.alarmsAt)
	if r.ids.older != nil {
		return 0 // they may have their outcomes anywhere
	}
	r.ids.expire(r.host.now())
	if len(r.ids.entries) == 0 {
		return low
	}
	if len(r.tables) == 0 {
		return 0 // which records have the ids is not known before there is a table
	}
	r.tables = neededTables(r.tables, r.host.now())
	need(r.tables[0].seq)
	for _, e := range r.ids.entries {
		need(e.Seq)
	}
	return low
}

// trimmed goes on after a record that is durable.
func (r *run) trimmed(seq uint64, rec *Record) {
	t := &r.trim
	if t.leftOver {
		r.remove(t.Removing)
	}
	t.leftOver = false
	if rec.Kept != nil {
		if i, _ := slices.BinarySearch(t.seqs, rec.Kept.From); i > 0 {
			r.remove(t.seqs[:i])
			t.seqs = t.seqs[i:]
		}
		t.Kept = *rec.Kept
	}
	switch {
	case t.known:
		t.seqs = append(t.seqs, seq)
	case t.listing != nil:
		t.listing.since = append(t.listing.since, seq)
	case t.due(r.typ.history, rec.N):
		r.list(seq)
	}
}

// due reports whether the records should be looked for; n is the number of the last one.
func (t *trimmer) due(p historyPolicy, n uint64) bool {
	most := max(uint64(p.last), t.Left) //nolint:gosec // not negative
	return p.trims && n+1-max(t.N, 1) > most+most/4+trimSlack
}

// list looks for the records up to last that are left.
func (r *run) list(last uint64) {
	l := &listing{}
	reader := recordReader{log: r.host.cfg.Log, addr: r.addr}
	index, from := r.index, r.trim.first()
	if !r.host.spawn(func() {
		seqs, err := reader.before(r.part.ctx, index, from)
		if err != nil {
			if r.part.ctx.Err() == nil {
				r.log.Warn("records that could be trimmed are not known", "err", err)
			}
			l.failed.Store(true)
			return
		}
		seqs = append(seqs, last)
		l.found.Store(&seqs)
	}) {
		return
	}
	r.trim.listing = l
}

// remove removes records, the oldest first; the last record says that nobody needs them.
func (r *run) remove(seqs []uint64) {
	m := r.trim.removal
	if !m.add(seqs) {
		return
	}
	h, ctx, addr, log := r.host, r.part.ctx, r.addr, r.log
	h.spawn(func() {
		select {
		case h.trimming <- struct{}{}:
			defer func() { <-h.trimming }()
		case <-ctx.Done():
			return
		}
		for seq, ok := m.next(0); ok; seq, ok = m.next(seq) {
			for wait := 50 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
				err := h.cfg.Log.Remove(ctx, addr, seq)
				if err == nil {
					break
				}
				if ctx.Err() == nil {
					log.Warn("record not removed yet", "seq", seq, "err", err)
				}
				if pause(ctx, wait) != nil {
					return
				}
			}
		}
	})
}
