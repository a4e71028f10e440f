package actor

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"
)

// run is one object in memory. Its mailbox belongs to the partition; everything else to its worker, a goroutine that
// lives as long as there is something to do. An idle object costs no goroutine, save that of resident run code.
//
//	evicted ──deliver──▶ loading ──▶ resident ──idle and settled──▶ evicted
//	                        ▲           │
//	                        └─conflict──┘   (what is in memory is discarded, never patched)
type run struct {
	host *Host
	part *partition
	addr Address
	typ  *typeDef
	log  *slog.Logger

	mailbox []item // guarded by part.mu

	x           *execution // nil: not loaded
	status      Status     // after the last record
	parked      *parking   // why it takes no calls; nil: it does
	unloadable  string     // why it could not be loaded the last time, as it was logged
	incarnation string     // of what is loaded
	count       uint64     // of records in the log
	claimed     bool       // a record under this claim is in the log, or in the turn
	last        uint64     // sequence of the object's last message, for the next append
	lastRec     uint64     // sequence of the last record: last, unless foreign messages followed
	index       Index      // of the last record
	tail        stateTail  // an object's state in the log
	recent      []Event    // outcomes in the last record, where it is too large to be read for each caller that asks again
	records     recordReader
	trim        trimmer
	snapshotAt  uint64            // record with the last checkpoint of a run function; 0: none
	tableAt     uint64            // record with the last table of ids; 0: none
	tables      []idTableAt       // that one, and those that it adds to and that are still needed; known with ids
	openAt      map[string]uint64 // where the calls without outcome stand
	burying     []BuriedSend      // sends up to inboxPos that are becoming dead letters
	inboxPos    uint64            // every send up to it is in the log, or of no use
	ids         *idTable          // nil: not loaded
	startedWith []byte            // input of the run function; nil: not started
	startedBy   string            // call id of the start, where it has an id policy
	heirOf      uint64            // last record of the run before, until the first one of this run is durable
	ended       *Event            // what ended the run
	recovered   []*stepRun        // steps in the log without result, to be run again

	waiters   map[string][]*waiter   // by call id
	onEnd     []*waiter              // for the run's end
	onPurged  []*waiter              // for the end of everything that is kept of it
	purging   bool                   // the last record is a tombstone, and is being followed
	timers    map[string]*time.Timer // reminders of waits and retries, by id
	firings   map[string]firing      // by wait
	armed     map[string]bool        // waits and alarms that a schedule keeps
	stepCtx   context.Context        //nolint:containedctx // ends the step bodies of what is loaded
	stepEnd   context.CancelFunc
	bodies    map[string]*body // step bodies that run, by step id
	outbox    outbox
	unsettled uint64 // first record since which the run is unsettled; 0: settled
	resume    uint64 // effects in records from here on may not be out; 0: all are
	streams   runStreams

	usedAt time.Time // of the last turn
	bytes  int64     // about how many it takes in memory

	alarmTimer *time.Timer // reminder of the next alarm
	arming     *alarm      // whose schedule the record under construction arms; nil: none
	alarmsAt   uint64      // record with the table of alarms; 0: there are none
	alarmsN    uint64      // its number
}

// parking is why a run takes no calls.
type parking struct{ reason, message string }

func newRun(p *partition, addr Address) *run {
	return &run{
		host: p.host, part: p, addr: addr, typ: p.host.types.types[addr.Type],
		log:     p.host.log.With("run", addr.String(), "partition", p.claim.Partition),
		waiters: map[string][]*waiter{}, timers: map[string]*time.Timer{}, armed: map[string]bool{}, openAt: map[string]uint64{},
		records: recordReader{log: p.host.cfg.Log, addr: addr}, firings: map[string]firing{}, bodies: map[string]*body{}, streams: newRunStreams(),
	}
}

// itemKind says what a mailbox item is.
type itemKind int

const (
	itemCall     itemKind = iota // a call or a send
	itemStep                     // a step attempt ended
	itemRetry                    // a step's next attempt is due
	itemTimer                    // a timer may be due
	itemConflict                 // the token that a hook claimed is held by another run
	itemSettle                   // effects are out
	itemResume                   // take up what a former owner left
	itemExpired                  // callers' time is up
	itemBuried                   // a dead letter is kept
	itemIDs                      // older call ids are read
	itemSwept                    // all that was kept before a tombstone is gone
	itemTouched                  // somebody else appended to the log
	itemLeftover                 // there are parts of large records to look at
)

// item is something for a run's worker.
type item struct {
	kind  itemKind
	req   *Request
	inbox uint64 // of a send
	// badAddress: the key of req is the token that was sent, which does not decode
	badAddress bool
	done       func(applied bool) // called once: with true when the item is durable or of no use, with false when it was dropped
	step       stepAttempt        //
	id         string             // of the timer or step
	event      Event              // hook_conflict
	seq        uint64             // of a record
}

// refuse drops the item: a caller is told, a send or firing is read again by whoever owns the partition next.
func (it *item) refuse(err *Error) {
	if it.req != nil && it.inbox == 0 {
		it.req.fail(err)
	}
	it.end(false)
}

func (it *item) end(applied bool) {
	if it.done != nil {
		it.done(applied)
		it.done = nil
	}
}

// work runs turns until the mailbox is empty.
func (r *run) work() {
	for {
		batch, gone := r.part.next(r, r.forgettable())
		if gone {
			r.abandon()
		}
		if batch == nil {
			return
		}
		r.usedAt = time.Now()
		done := r.turn(batch)
		r.weigh()
		if !done {
			r.backOff()
		}
	}
}

// forgettable reports whether nothing but its log is left of the run: then it need not stay in memory.
func (r *run) forgettable() bool {
	return r.x == nil && !r.purging || r.lastRec == 0 && len(r.x.journal.out) == 0 && len(r.waiters) == 0
}

// backOff waits before a turn that could not be committed is tried again.
func (r *run) backOff() {
	t := time.NewTimer(250 * time.Millisecond)
	defer t.Stop()
	select {
	case <-t.C:
	case <-r.part.ctx.Done():
	}
}

// turn applies items and commits what follows from them in one record. It reports false when the log could not be
// read or written: then calls were answered so, everything else waits in the mailbox, and nothing stays in memory.
func (r *run) turn(batch []item) bool {
	if _, err := r.host.trust.wait(r.part.ctx); err != nil {
		r.postpone(batch, Errorf(CodeUnavailable, "this node no longer owns %s", r.addr), false)
		return true
	}
	if err := r.load(r.part.ctx, batch); err != nil {
		if text := err.Error(); r.part.ctx.Err() == nil && text != r.unloadable {
			r.log.Warn("load run", "err", err) // not again and again while sends wait for what may take days
			r.unloadable = text
		}
		r.postpone(batch, asError(err, CodeUnavailable), errors.Is(err, errUnreadable))
		return false
	}
	r.unloadable = ""
	if r.purging {
		return r.purgeTurn(batch)
	}
	t := &turn{run: r, started: time.Now(), unsure: r.part.lags() && !r.claimed}
	t.complete()
	applied := 0
	if t.terminateFirst(batch) {
		applied = 1
	}
	t.goOn()
	t.recover(reads(batch))
	for applied < len(batch) && !r.x.stalled && (applied == 0 || !t.full()) && !t.early(&batch[applied]) {
		t.apply(&batch[applied])
		applied++
	}
	if applied < len(batch) {
		r.part.putBack(r, batch[applied:])
	}
	t.complete()
	if r.status = r.x.settledStatus(); t.purges {
		r.status = StatusPurged
	}
	return r.commit(t, batch[:applied])
}

func reads(batch []item) bool {
	return slices.ContainsFunc(batch, func(it item) bool { return it.kind == itemCall })
}

// maxUnreadable is how many sends wait in memory for a run whose log this node cannot read.
const maxUnreadable = 256

// postpone answers the batch's calls with err and keeps the rest for later; what is in memory is discarded.
func (r *run) postpone(batch []item, err *Error, unreadable bool) {
	kept, sends := batch[:0:0], 0
	for _, it := range batch {
		switch {
		case it.kind == itemCall && it.inbox == 0:
			it.req.fail(err)
		case it.kind == itemCall && unreadable && sends == maxUnreadable:
			r.host.bury(&it, err) // a run that nobody can work on must not hold up the others
		case it.kind == itemStep, it.kind == itemRetry:
		default:
			if kept = append(kept, it); it.kind == itemCall {
				sends++
			}
		}
	}
	r.unload()
	if r.unsettled != 0 || len(r.firings) > 0 || len(r.waiters) > 0 || len(r.onEnd) > 0 || len(r.onPurged) > 0 {
		kept = append(kept, item{kind: itemResume, seq: r.unsettled}) // somebody waits for what was discarded
	}
	if len(kept) > 0 {
		r.part.putBack(r, distinct(kept))
	}
}

// distinct leaves out what another item says as well. While an object cannot be read, each try adds such items, and would have
// to deal with all of them.
func distinct(items []item) []item {
	type what struct {
		kind itemKind
		id   string
		seq  uint64
	}
	said := map[what]bool{}
	return slices.DeleteFunc(items, func(it item) bool {
		switch it.kind {
		case itemTimer, itemExpired, itemResume, itemTouched, itemLeftover, itemIDs, itemSwept:
			w := what{it.kind, it.id, it.seq}
			if it.done == nil && said[w] {
				return true
			}
			said[w] = true
		default:
		}
		return false
	})
}

// unload discards what is in memory: the log has everything.
func (r *run) unload() {
	if r.stepEnd != nil {
		r.stepEnd()
	}
	for id, t := range r.timers {
		t.Stop()
		delete(r.timers, id)
	}
	if r.alarmTimer != nil {
		r.alarmTimer.Stop()
		r.alarmTimer = nil
	}
	r.arming = nil
	clear(r.armed)
	clear(r.bodies)
	r.streams.forget()
	clear(r.openAt)
	r.recent, r.purging = nil, false
	r.startedBy, r.heirOf, r.tail, r.trim, r.tables = "", 0, stateTail{}, trimmer{}, nil
	r.ids, r.recovered, r.startedWith, r.parked, r.claimed, r.ended = nil, nil, nil, nil, false, nil
	if r.x != nil {
		r.x.stop()
		r.x = nil
	}
}

// abandon ends a run whose partition went away: whoever waits is told to ask again.
func (r *run) abandon() {
	r.unload()
	gone := func() *Error { return Errorf(CodeUnavailable, "this node no longer owns %s", r.addr) }
	r.turnAway(gone().Doubtful()) // the log has their calls
	for i := range r.mailbox {
		r.mailbox[i].refuse(gone())
	}
}

// entry makes the record of a turn.
func (r *run) entry(body []byte, unsettled bool) *Entry {
	return &Entry{
		Address: r.addr, Epoch: r.part.claim.Epoch, Turn: uuid.NewString(), Node: r.host.cfg.Node,
		Status: r.status, Unsettled: unsettled, Index: r.nextIndex(), Body: body,
	}
}
