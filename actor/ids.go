package actor

import (
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"time"
)

// Limits of the call ids that an object remembers.
const (
	idsKept      = 1000           // the last ids, within idsAge
	idsAge       = 24 * time.Hour // after that only an id whose call can still be repeated is kept
	idsMargin    = 5 * time.Second
	idsLimit     = 1 << 20 // all ids that must be kept; beyond it new calls get 429
	idsEvery     = 64      // records between two tables, or fewer where they have more than idsFullTable ids
	idsFullTable = 1024    // a table up to this size holds all ids, a larger one only what is new
	idsShare     = 64      // of all ids that are new in a table which is not due by the number of records
)

// idTable is what an object knows of the calls it has received: by it a repeated call gets its first outcome.
type idTable struct {
	entries map[string]*IDEntry
	order   []string // by arrival
	fresh   map[string]*IDEntry
	since   int // records since the last table

	older *olderIDs // ids that are not read yet; nil: entries has all
}

func newIDTable() *idTable {
	return &idTable{entries: map[string]*IDEntry{}, fresh: map[string]*IDEntry{}}
}

// digest is a hash of s, short and long enough that two call ids of one object never share it.
func digest(s []byte) string {
	h := sha256.Sum256(s)
	return base64.RawURLEncoding.EncodeToString(h[:12])
}

// find returns what is known of a call id.
func (t *idTable) find(id string) *IDEntry { return t.entries[digest([]byte(id))] }

// unsure reports whether a call id that is not found may be one of those that are not read yet.
func (t *idTable) unsure(id string) bool {
	return t.older != nil && t.find(id) == nil && t.older.seen.mayHave(digest([]byte(id)))
}

// full reports whether a new id has no place: every id is still needed.
func (t *idTable) full(now time.Time) bool {
	t.expire(now)
	return t.size() >= idsLimit
}

// size is how many ids are known, about, where not all are read.
func (t *idTable) size() int {
	if t.older != nil {
		return len(t.entries) + len(t.older.seen)
	}
	return len(t.entries)
}

// observe takes up what an event says of call ids; seq is its record.
func (t *idTable) observe(ev *Event, seq uint64) {
	switch ev.Type {
	case HookReceived:
		if ev.Hash != "" {
			e := &IDEntry{ID: digest([]byte(ev.ID)), Payload: ev.Hash, Hook: ev.Name, At: ev.At.Unix()}
			if ev.Due != nil {
				e.Until = ev.Due.Add(idsMargin).Unix() + 1
			}
			t.put(e)
		}
	case CallCompleted, CallFailed:
		if e := t.find(ev.ID); e != nil {
			e.Seq = seq
			t.fresh[e.ID] = e
		}
	default:
	}
}

func (t *idTable) put(e *IDEntry) {
	if t.entries[e.ID] == nil {
		t.order = append(t.order, e.ID)
	}
	t.entries[e.ID], t.fresh[e.ID] = e, e
}

// expire forgets the oldest ids as far as the limits allow. A call without outcome is never forgotten.
func (t *idTable) expire(now time.Time) {
	unix := now.Unix()
	for turned := 0; len(t.order) > 0; {
		e := t.entries[t.order[0]]
		old := unix-e.At > int64(idsAge/time.Second) || len(t.order) > idsKept
		switch {
		case !old || e.Until >= unix || e.Seq == 0 && turned == 2:
			return
		case e.Seq == 0: // a call that nobody answers does not keep those behind it
			turned++
			t.order = append(t.order[1:], t.order[0])
			continue
		}
		delete(t.entries, e.ID)
		delete(t.fresh, e.ID)
		t.order = t.order[1:]
	}
}

// table returns the next record's table of ids, perhaps empty, or nil when none is due. whole reports that it needs no
// table before it.
func (t *idTable) table(now time.Time) (ids []IDEntry, whole bool) {
	if t.older != nil || t.since < idsEvery && len(t.fresh) < max(idsFullTable, len(t.entries)/idsShare) {
		return nil, false
	}
	t.expire(now)
	ids, whole = []IDEntry{}, len(t.entries) <= idsFullTable
	for _, id := range t.order {
		if e := t.entries[id]; whole || e.Seq == 0 || t.fresh[id] != nil {
			ids = append(ids, *e)
		}
	}
	return ids, whole
}

// written notes that a record was committed, and whether it carried a table.
func (t *idTable) written(table bool) {
	t.since++
	if table {
		t.since = 0
		clear(t.fresh)
	}
}

// restore takes up a table read from the log. Tables are restored oldest first.
func (t *idTable) restore(ids []IDEntry) {
	for i := range ids {
		t.put(&ids[i])
	}
	clear(t.fresh)
	t.since = 0
}

// idTableAt is a table of ids in the log: as much of it as says whether those before it are still needed.
type idTableAt struct {
	seq    uint64
	ids    int
	oldest int64 // when the first of them was received, Unix seconds
	until  int64 // as in the record
}

func tableAt(seq uint64, rec *Record) idTableAt {
	t := idTableAt{seq: seq, ids: len(rec.IDs), until: rec.IDsUntil}
	if len(rec.IDs) > 0 {
		t.oldest = rec.IDs[0].At
	}
	return t
}

// olderNeeded reports whether tables before t hold ids that must be remembered; total is how many ids t has with those
// after it.
func (t idTableAt) olderNeeded(total int, now time.Time) bool {
	recent := t.ids == 0 || now.Unix()-t.oldest <= int64(idsAge/time.Second)
	return t.until >= now.Unix() || total < idsKept && recent
}

// neededTables drops the oldest of tables that nobody reads any more.
func neededTables(tables []idTableAt, now time.Time) []idTableAt {
	total := 0
	for i := len(tables) - 1; i > 0; i-- {
		if total += tables[i].ids; !tables[i].olderNeeded(total, now) {
			return tables[i:]
		}
	}
	return tables
}

// rest tells of the ids that are not in a table how long they have to be kept, and which they may be: they stand in older
// ones.
func (t *idTable) rest(table []IDEntry) (until int64, seen idFilter) {
	in := make(map[string]bool, len(table))
	for i := range table {
		in[table[i].ID] = true
	}
	seen = newIDFilter(len(t.entries) - len(in))
	for id, e := range t.entries {
		if !in[id] {
			until = max(until, e.Until)
			seen.add(id)
		}
	}
	return until, seen
}

// takeOlder takes up the tables that were not read before, the oldest first. What is known already is newer.
func (t *idTable) takeOlder(tables []entryRecord) {
	all := newIDTable()
	for _, older := range tables {
		all.restore(older.IDs)
	}
	all.dropEnded(t.entries)
	for _, id := range t.order {
		all.put(t.entries[id])
	}
	t.entries, t.order, t.older = all.entries, all.order, nil
}

// dropEnded forgets the calls without outcome that are not among those of the last table, which has all that still had
// none: the others had theirs since, and were forgotten.
func (t *idTable) dropEnded(last map[string]*IDEntry) {
	t.order = slices.DeleteFunc(t.order, func(id string) bool {
		ended := t.entries[id].Seq == 0 && last[id] == nil
		if ended {
			delete(t.entries, id)
		}
		return ended
	})
}
