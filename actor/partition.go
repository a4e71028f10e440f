package actor

import (
	"context"
	"slices"
	"sync"
	"time"
)

// partition is one that this node owns: the runs in memory, and what of it is finished.
type partition struct {
	host   *Host
	claim  Claim
	ctx    context.Context //nolint:containedctx // ends when the node no longer owns the partition
	cancel context.CancelFunc
	bodies sync.WaitGroup // step bodies that run

	mu        sync.Mutex
	releasing bool
	runs      map[Address]*run
	working   map[*run]struct{}   // runs with a worker
	idle      chan struct{}       // closed when releasing and no run has a worker
	types     map[string]bool     // of which it has, or was asked for, objects
	kept      map[uint64]keptSend // sends that wait for a node that hosts their type, by sequence
	unsettled map[Address]uint64
	left      map[Address]uint64 // unsettled when the partition was taken, and not taken up yet
	end       uint64             // of its log, before that was looked for
	appending map[*run]uint64    // what the log had when the append started
	inbox     watermark
	timers    watermark
	held      []*Request // calls that wait for a send to be received first
	shown     Checkpoint // what Checkpoint returned last
	shownAt   time.Time
	active    bool // something was committed since
	leftover  leftovers
}

func newPartition(h *Host, c Claim) *partition {
	p := &partition{
		host: h, claim: c, runs: map[Address]*run{}, working: map[*run]struct{}{},
		types: map[string]bool{}, kept: map[uint64]keptSend{}, unsettled: map[Address]uint64{}, left: map[Address]uint64{}, appending: map[*run]uint64{}, shown: c.Checkpoint,
		leftover: leftovers{},
	}
	for _, typ := range c.Checkpoint.Types {
		p.types[typ] = true
	}
	p.inbox.start(c.Checkpoint.Inbox)
	p.timers.start(c.Checkpoint.Timers)
	p.ctx, p.cancel = context.WithCancel(h.ctx)
	return p
}

// lags reports whether the log may have records of former owners that are not seen yet. They are seen once a record of this
// claim is stored.
func (p *partition) lags() bool { return p.claim.Unclean || p.host.cfg.Lags }

// deliver puts it into the run's mailbox; a run without a worker gets one.
func (p *partition) deliver(addr Address, it item) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.releasing || p.ctx.Err() != nil {
		it.refuse(Errorf(CodeUnavailable, "the partition of %s is being handed over", addr))
		return
	}
	r := p.runs[addr]
	if r == nil {
		r = newRun(p, addr)
		p.runs[addr] = r
		p.noteLocked(addr.Type)
		p.host.resident.Add(1)
		p.host.crowd()
	}
	r.mailbox = append(r.mailbox, it)
	p.wakeLocked(r)
}

func (p *partition) wakeLocked(r *run) {
	if _, busy := p.working[r]; !busy && p.ctx.Err() == nil {
		if p.host.spawn(r.work) {
			p.working[r] = struct{}{}
		}
	}
}

// next returns what is in the run's mailbox. When that is nothing the worker must end. gone says that the run is no
// longer in memory, because forget said so or the partition went away: then it is the worker's to end.
func (p *partition) next(r *run, forget bool) (batch []item, gone bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(r.mailbox) > 0 && p.ctx.Err() == nil && !p.releasing {
		batch = r.mailbox
		r.mailbox = nil
		return batch, false
	}
	delete(p.working, r)
	if gone = (forget && len(r.mailbox) == 0) || p.ctx.Err() != nil; gone {
		p.removeLocked(r)
	}
	if p.releasing && len(p.working) == 0 {
		close(p.idle)
	}
	return nil, gone
}

func (p *partition) removeLocked(r *run) {
	if p.runs[r.addr] == r {
		delete(p.runs, r.addr)
		p.host.resident.Add(-1)
		p.host.residentBytes.Add(-r.bytes)
		r.bytes = 0
	}
}

// awaits reports whether the run's mailbox has what only its memory knows: the end of an effect that is out.
func (p *partition) awaits(r *run) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.ContainsFunc(r.mailbox, func(it item) bool { return it.kind == itemConflict })
}

// putBack returns items to the front of the run's mailbox.
func (p *partition) putBack(r *run, items []item) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r.mailbox = slices.Concat(items, r.mailbox)
}

// settle notes whether the run has something left to do that its log does not show as done; seq is the first record
// that says so.
func (p *partition) settle(addr Address, unsettled bool, seq uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if unsettled {
		p.unsettled[addr] = seq
	} else {
		delete(p.unsettled, addr)
	}
	p.active = true
}

// appendBegins notes a lower bound of where the run's append may land.
func (p *partition) appendBegins(r *run) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.appending[r] = p.host.lastSeen(p.claim.Partition)
}

func (p *partition) appendEnds(r *run) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.appending, r)
}

// hold keeps a call back until the send that it names was received, and reports whether it did.
func (p *partition) hold(req *Request) bool {
	if req.Header.After == 0 {
		return false
	}
	p.mu.Lock()
	if p.releasing || p.ctx.Err() != nil || req.Header.After <= p.inbox.reached(p.host.inbox.position()) {
		p.mu.Unlock()
		return false // to be taken now, or sent on to the next owner
	}
	p.held = append(p.held, req)
	p.host.inbox.held.Add(1)
	p.mu.Unlock()
	p.releaseHeld() // the reader may have passed by meanwhile
	timeout := req.Timeout()
	time.AfterFunc(timeout, func() {
		p.mu.Lock()
		n := len(p.held)
		p.held = slices.DeleteFunc(p.held, func(r *Request) bool { return r == req })
		p.host.inbox.held.Add(int64(len(p.held) - n))
		p.mu.Unlock()
		req.fail(Errorf(CodeTimeout, "inbox sequence %d was not received within %s", req.Header.After, timeout))
	})
	return true
}

// releaseHeld delivers the calls that waited for sends which are received by now.
func (p *partition) releaseHeld() {
	p.mu.Lock()
	position := p.inbox.reached(p.host.inbox.position())
	var ready []*Request
	p.held = slices.DeleteFunc(p.held, func(r *Request) bool {
		if r.Header.After > position {
			return false
		}
		ready = append(ready, r)
		return true
	})
	p.mu.Unlock()
	for _, req := range ready {
		p.host.inbox.held.Add(-1)
		p.deliver(req.Address, item{kind: itemCall, req: req})
	}
}
