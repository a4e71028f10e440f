package actor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Own starts to host the partitions of claims. It blocks until the tail of their logs was read: what a former owner
// left unsettled is then being taken up, without any outside event.
func (h *Host) Own(ctx context.Context, claims []Claim) error {
	floors := make(map[int]uint64, len(claims))
	added := make(map[int]*partition, len(claims))
	for _, c := range claims {
		floors[c.Partition] = c.Checkpoint.Floor
		added[c.Partition] = newPartition(h, c)
	}
	h.mu.Lock()
	for id := range added {
		h.taking[id] = map[Address]bool{}
	}
	h.mu.Unlock()
	left, ends, err := h.unsettledRuns(ctx, claims, floors)
	if err != nil {
		h.taken(added)
		return err
	}
	for id, end := range ends {
		added[id].end = end
	}
	for addr, seq := range left {
		p := added[h.cfg.Partition(addr)]
		p.unsettled[addr], p.left[addr] = seq, seq
	}
	h.mu.Lock()
	for id, p := range added {
		if old := h.partitions[id]; old != nil {
			h.mu.Unlock()
			h.taken(added)
			return fmt.Errorf("own partition %d: it is owned already", id)
		}
		h.partitions[id] = p
	}
	h.mu.Unlock()
	for _, addr := range h.taken(added) {
		h.Touched(addr)
	}
	for addr := range left {
		p := added[h.cfg.Partition(addr)]
		if !h.Hosts(addr.Type) {
			p.note(addr.Type) // it stays unsettled, for a node that has its type
			continue
		}
		p.deliver(addr, item{kind: itemResume})
	}
	h.spawn(func() { h.findLeftovers(slices.Collect(maps.Values(added))) })
	h.inbox.again()
	h.log.InfoContext(ctx, "partitions taken", "partitions", len(claims), "unsettled_runs", len(left))
	return nil
}

// taken ends the taking of partitions and returns the objects that others appended to meanwhile.
func (h *Host) taken(ps map[int]*partition) (touched []Address) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for id := range ps {
		touched = slices.AppendSeq(touched, maps.Keys(h.taking[id]))
		delete(h.taking, id)
	}
	return touched
}

// unsettledRuns returns the runs that a former owner may have left with something to do, and since which record; and where the
// log of each partition ended before they were looked for.
func (h *Host) unsettledRuns(ctx context.Context, claims []Claim, floors map[int]uint64) (left map[Address]uint64, ends map[int]uint64, err error) {
	left, ends = map[Address]uint64{}, map[int]uint64{}
	epochs := map[int]uint64{}
	for _, c := range claims {
		end, err := h.cfg.Log.End(ctx, c.Partition)
		if err != nil {
			return nil, nil, fmt.Errorf("own partition %d: %w", c.Partition, err)
		}
		h.saw(c.Partition, end)
		ends[c.Partition], epochs[c.Partition] = end, c.Epoch
		for _, u := range c.Checkpoint.Unsettled {
			if addr, err := ParseAddress(u.Run); err == nil {
				left[addr] = u.Seq
			}
		}
	}
	for e, err := range h.cfg.Log.Tail(ctx, floors) {
		if err != nil {
			return nil, nil, fmt.Errorf("read the tail of the logs: %w", err)
		}
		if e.Foreign || e.Epoch > epochs[h.cfg.Partition(e.Address)] {
			continue // not a record, or of an owner after this one
		}
		_, known := left[e.Address]
		switch {
		case e.Unsettled && !known:
			left[e.Address] = e.Seq
		case !e.Unsettled && known:
			delete(left, e.Address)
		}
	}
	return left, ends, nil
}

// Release stops taking work for the partitions and waits until their turns in flight are over, as long as ctx allows.
// Step bodies that still run lose their context then, and are waited for up to a second, so that a body that heeds its
// context does not overlap with the next owner's. It returns what is finished; a partition that is not in the map has an
// append in doubt and must not be given away: its lease has to lapse.
func (h *Host) Release(ctx context.Context, ids []int) (map[int]Checkpoint, error) {
	finished := make(map[int]Checkpoint, len(ids))
	var released []*partition
	var doubt error
	for _, id := range ids {
		p := h.owned(id)
		if p == nil {
			continue
		}
		p.mu.Lock()
		p.releasing, p.idle = true, make(chan struct{})
		if len(p.working) == 0 {
			close(p.idle)
		}
		p.mu.Unlock()
	}
	for _, id := range ids {
		p := h.owned(id)
		if p == nil {
			continue
		}
		select {
		case <-p.idle:
			if err := p.ctx.Err(); err != nil { // turns were given up, and an append may be on its way
				doubt = fmt.Errorf("release partition %d: %w", id, err)
				continue
			}
			p.mu.Lock()
			finished[id] = p.checkpointLocked()
			p.mu.Unlock()
			released = append(released, p)
		case <-ctx.Done():
			doubt = fmt.Errorf("release partition %d: %w", id, ctx.Err())
		}
	}
	h.Drop(ids)
	h.awaitBodies(ctx, released)
	return finished, doubt
}

// releaseGrace is how long Release waits for step bodies whose context has ended.
const releaseGrace = time.Second

// awaitBodies waits until no step body of the partitions runs, for as long as they are given. None starts any more.
func (h *Host) awaitBodies(ctx context.Context, ps []*partition) {
	ended := make(chan struct{})
	go func() { // step bodies are user code, which may never return
		for _, p := range ps {
			p.bodies.Wait()
		}
		close(ended)
	}()
	ctx, cancel := context.WithTimeout(ctx, releaseGrace)
	defer cancel()
	select {
	case <-ended:
	case <-ctx.Done():
		h.log.WarnContext(ctx, "partitions are given away while step bodies still run after their context ended")
	}
}

// Drop forgets the partitions at once: another node owns them, or will. What runs for them ends without a trace.
func (h *Host) Drop(ids []int) {
	for _, id := range ids {
		h.mu.Lock()
		p := h.partitions[id]
		delete(h.partitions, id)
		h.mu.Unlock()
		if p != nil {
			p.drop()
		}
	}
}

// dropThis forgets p, unless the node has claimed the partition anew meanwhile.
func (h *Host) dropThis(p *partition) {
	h.mu.Lock()
	if h.partitions[p.claim.Partition] == p {
		delete(h.partitions, p.claim.Partition)
	}
	h.mu.Unlock()
	p.drop()
}

func (p *partition) drop() {
	p.cancel()
	p.mu.Lock()
	var idle []*run
	for _, r := range p.runs {
		if _, busy := p.working[r]; !busy {
			idle = append(idle, r)
			p.removeLocked(r)
		}
	}
	held := p.held
	p.held = nil
	p.mu.Unlock()
	for _, r := range idle {
		r.abandon()
	}
	for _, req := range held {
		p.host.inbox.held.Add(-1)
		req.fail(Errorf(CodeUnavailable, "this node no longer owns %s", req.Address))
	}
}

// Touched tells that somebody else appended to the object's log: what is in memory is read again.
func (h *Host) Touched(addr Address) {
	id := h.cfg.Partition(addr)
	h.mu.Lock()
	p := h.partitions[id]
	if seen := h.taking[id]; p == nil && seen != nil {
		seen[addr] = true
	}
	h.mu.Unlock()
	if p == nil {
		return
	}
	if h.Hosts(addr.Type) {
		p.deliver(addr, item{kind: itemTouched, seq: looksAgain})
	}
}

// A message is seen before the stream has stored it, or has refused it: nothing new is looked for again.
const (
	looksAgain  = 3
	lookAgainIn = 200 * time.Millisecond
)

// reread discards what is in memory when the log has gone on without this run, and looks again so many times. What a former
// owner appended late is taken up like what it left behind.
func (r *run) reread(ctx context.Context, looks uint64) error {
	last, err := r.host.cfg.Log.Last(ctx, r.addr)
	if err != nil && !errors.Is(err, ErrNoRecord) {
		return err
	}
	if r.lags(last, err) {
		return r.tooOld()
	}
	if err == nil && (last.Seq != r.last || last.Epoch < r.part.claim.Epoch && !r.claimed) {
		r.takeUp(r.part.claim.Checkpoint.Floor + 1)
	}
	if err == nil && last.Seq != r.last {
		r.unload()
		if err := r.activate(ctx); err != nil {
			return err
		}
	}
	if looks > 0 {
		r.later(lookAgainIn, item{kind: itemTouched, seq: looks - 1})
	}
	return nil
}

// takeUp has the effects of the records from since on done again: nobody knows which of them are out.
func (r *run) takeUp(since uint64) {
	if r.resume == 0 || since < r.resume {
		r.resume = since
	}
	if r.unsettled == 0 || since < r.unsettled {
		r.unsettled = since
	}
	r.part.settle(r.addr, true, r.unsettled)
}

// takeUpLeft takes up what a former owner has left, when the run is loaded for the first time: before anything else
// follows in its log, which could hide what was appended after the partition's log was read, or have it trimmed.
func (r *run) takeUpLeft(last *Entry) {
	switch since := r.part.takeLeft(r.addr); {
	case since != 0:
		r.takeUp(since)
	case last.Unsettled && !r.claimed && last.Seq > r.part.end:
		r.takeUp(r.part.claim.Checkpoint.Floor + 1)
	}
}

// takeLeft returns the first record since which a former owner has left the run unsettled, and forgets it; 0: it has not.
func (p *partition) takeLeft(addr Address) (since uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	since = p.left[addr]
	delete(p.left, addr)
	return since
}

// later delivers an item to the run after d.
func (r *run) later(d time.Duration, it item) {
	time.AfterFunc(d, func() { r.part.deliver(r.addr, it) })
}
