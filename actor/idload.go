package actor

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// olderIDs are those of tables that are not read yet. A call whose id is certainly not among them does not wait for that.
type olderIDs struct {
	seen   idFilter          // of all of them
	tables idTables          // where they are
	result chan idTablesRead // nil: nobody reads them yet
	again  time.Time         // not before, in the background: the last time they could not be read
}

// olderAgainIn is when tables that could not be read are read again, where no call needs them before.
const olderAgainIn = time.Second

type idTablesRead struct {
	tables []entryRecord // oldest first
	err    error
}

// idTables is a chain of tables in the log.
type idTables struct {
	newest uint64 // record with the last of them
	after  int    // how many ids the tables after them have
	first  uint64 // the oldest record that may be read
}

// read reads the tables that are still needed, the oldest first.
func (at idTables) read(ctx context.Context, records *recordReader, now time.Time) (tables []entryRecord, err error) {
	total := at.after
	for seq := at.newest; seq >= at.first; { // what is trimmed has no id that is still kept
		rec, err := records.one(ctx, seq)
		if err != nil {
			return nil, fmt.Errorf("read call ids: %w", err)
		}
		tables = append(tables, rec)
		total += len(rec.IDs)
		if seq = rec.IDsBefore; !tableAt(rec.seq, rec.Record).olderNeeded(total, now) {
			break
		}
	}
	slices.Reverse(tables)
	return tables, nil
}

// knowIDs reads the ids of earlier calls as far as the batch needs them; see also commit. A read of a cold object does
// without.
func (r *run) knowIDs(ctx context.Context, batch []item) error {
	for _, it := range batch {
		if !r.asksForIDs(it) {
			continue
		}
		if r.ids == nil {
			if err := r.loadIDs(ctx); err != nil {
				return err
			}
		}
		if it.kind == itemCall && r.ids.unsure(it.req.Header.CallID) {
			r.ids.older.again = time.Time{}
			r.readOlderIDs()
			return r.takeOlderIDs(ctx)
		}
	}
	if r.ids != nil && r.ids.older != nil && len(r.ids.older.result) > 0 {
		if err := r.takeOlderIDs(ctx); err != nil {
			r.log.WarnContext(ctx, "call ids are not read yet", "err", err)
			r.ids.older.again = time.Now().Add(olderAgainIn)
			r.later(olderAgainIn, item{kind: itemIDs})
		}
	}
	return nil
}

// asksForIDs reports whether the ids of earlier calls have to be known for an item, or for the record that follows from it.
func (r *run) asksForIDs(it item) bool {
	if it.kind == itemTimer {
		return r.parked == nil && r.x.paused == nil && !r.x.status.Ended() // now, while what was read to load the run is at hand
	}
	if it.kind != itemCall || it.req.Header.CallID == "" {
		return false
	}
	h := r.typ.hooks[it.req.Hook]
	return h != nil && h.query == nil
}

// loadIDs reads the call ids that the object remembers: those in the last table and in the records since, and a filter of
// the others. Where the record has none, which earlier versions wrote, all tables are read.
func (r *run) loadIDs(ctx context.Context) error {
	ids := newIDTable()
	var tables []entryRecord
	since := r.trim.first()
	if at := r.tableAt; at >= since {
		last, err := r.records.one(ctx, at)
		if err != nil {
			return fmt.Errorf("read call ids: %w", err)
		}
		older := idTables{newest: last.IDsBefore, after: len(last.IDs), first: since}
		switch {
		case !tableAt(at, last.Record).olderNeeded(older.after, r.host.now()):
		case len(last.IDsSeen) > 0 && older.newest >= since:
			ids.older = &olderIDs{seen: last.IDsSeen, tables: older}
		default:
			if tables, err = older.read(ctx, &r.records, r.host.now()); err != nil {
				return err
			}
		}
		tables = append(tables, last)
	}
	r.tables = nil
	for i, t := range tables {
		if i > 0 && i == len(tables)-1 {
			last := newIDTable()
			last.restore(t.IDs)
			ids.dropEnded(last.entries)
		}
		ids.restore(t.IDs)
		since = t.seq
		r.tables = append(r.tables, tableAt(t.seq, t.Record))
	}
	if r.lastRec != 0 {
		if err := r.observeSince(ctx, ids, since); err != nil {
			return err
		}
	}
	ids.expire(r.host.now())
	r.ids = ids
	return nil
}

// readOlderIDs has the tables read that nobody had to wait for, if there are any.
func (r *run) readOlderIDs() {
	if r.ids == nil || r.ids.older == nil || r.ids.older.result != nil || time.Now().Before(r.ids.older.again) {
		return
	}
	older, result := r.ids.older, make(chan idTablesRead, 1)
	p, addr, now := r.part, r.addr, r.host.now()
	reader := recordReader{log: r.host.cfg.Log, addr: addr}
	if r.host.spawn(func() {
		tables, err := older.tables.read(p.ctx, &reader, now)
		result <- idTablesRead{tables, err}
		p.deliver(addr, item{kind: itemIDs})
	}) {
		older.result = result
	}
}

// takeOlderIDs takes up what is being read. It blocks until that is done.
func (r *run) takeOlderIDs(ctx context.Context) error {
	select {
	case read := <-r.ids.older.result:
		if read.err != nil {
			r.ids.older.result = nil
			return read.err
		}
		r.ids.takeOlder(read.tables)
		var all []idTableAt
		for _, t := range read.tables {
			all = append(all, tableAt(t.seq, t.Record))
		}
		r.tables = append(all, r.tables...)
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *run) observeSince(ctx context.Context, ids *idTable, since uint64) error {
	last, err := r.records.one(ctx, r.lastRec)
	if err != nil {
		return err
	}
	records, err := r.readFrom(ctx, since, last)
	if err != nil {
		return err
	}
	for _, rec := range records {
		for i := range rec.Events {
			ids.observe(&rec.Events[i], rec.seq)
		}
		ids.since++
	}
	return nil
}
