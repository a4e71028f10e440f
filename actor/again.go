package actor

import (
	"time"

	"github.com/google/uuid"
)

// IDPolicy says what a start does where the run with the key has ended.
type IDPolicy string

// The policies of a start. A run that has not ended is never replaced.
const (
	Once         IDPolicy = ""       // the key has one run for ever (the default)
	AfterFailure IDPolicy = "failed" // a new run begins, unless the one before completed
	AfterEnd     IDPolicy = "ended"  // a new run begins, however the one before ended
)

// StartAgain lets a start begin a new run where the one with this key has ended. The new run shares nothing with the one
// before: neither log, call ids, tokens, timers nor streams. For a start that may be repeated, also after its run has
// ended, give a [CallID]: the same one begins one run.
func StartAgain(p IDPolicy) CallOption { return func(h *CallHeader) { h.IDPolicy = p } }

// begins reports whether a start begins a new run after one that has ended with status s.
func (p IDPolicy) begins(s Status) bool {
	return s.Ended() && (p == AfterEnd || p == AfterFailure && s != StatusCompleted)
}

// renews reports whether the item is a start that begins a new run.
func (t *turn) renews(it *item) bool {
	if it.kind != itemCall || it.req.Hook != HookStart || t.run.typ.run == nil || it.inbox != 0 {
		return false
	}
	h := it.req.Header
	return h.IDPolicy.begins(t.run.x.status) && (h.CallID == "" || h.CallID != t.run.startedBy)
}

// early reports whether the item has to wait for the next turn: a record belongs to one run.
func (t *turn) early(it *item) bool { return t.purges || len(t.run.x.journal.out) > 0 && t.renews(it) }

// againIn is how long a start waits before it looks again whether all is let out that the run before has left.
const againIn = 20 * time.Millisecond

// renew makes way for a new run, and reports whether it could: until all effects of the run before are out, the start
// comes again.
func (t *turn) renew(it *item) bool {
	r := t.run
	if !r.outbox.idle() || r.resume != 0 {
		r.later(againIn, item{kind: itemCall, req: it.req})
		return false
	}
	inbox, burying, previous, left := r.inboxPos, r.burying, r.lastRec, r.trim.removal
	r.unload()
	r.heirOf = previous
	r.count, r.tableAt, r.index, r.status = 0, 0, Index{}, StatusPending
	r.snapshotAt, r.trim = 0, trimmer{known: true, removal: left}
	r.inboxPos, r.burying = inbox, burying // sends know of no runs
	r.ids = newIDTable()
	r.streams.begin(nil)
	r.newExecution(uuid.NewString())
	r.streams.knowSteps(nil)
	return true
}
