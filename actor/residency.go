package actor

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// relievedEvery is how often objects are looked for that can leave because there are too many, at most.
const relievedEvery = 250 * time.Millisecond

// sweep evicts settled objects that were idle for long, and those that were used least recently while there are too many
// objects in memory, or too many bytes.
func (h *Host) sweep(ctx context.Context) error {
	tick := time.NewTicker(min(h.cfg.Idle/4+time.Millisecond, 10*time.Second))
	defer tick.Stop()
	rest := time.NewTimer(0)
	defer rest.Stop()
	crowded := h.crowded
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case now := <-tick.C:
			h.reconsider(now)
			for _, p := range h.all() {
				p.evict(now, h.cfg.Idle)
			}
		case <-crowded:
			h.relieve(time.Now())
			crowded = nil
			rest.Reset(relievedEvery)
		case <-rest.C:
			crowded = h.crowded
		}
	}
}

// evict drops from memory what is settled, has no worker and was not used for idle. It returns how many runs left.
func (p *partition) evict(now time.Time, idle time.Duration) int {
	p.mu.Lock()
	var out []*run
	for _, r := range p.runs {
		if p.evictableLocked(r) && now.Sub(r.usedAt) >= idle {
			out = append(out, r)
			p.removeLocked(r)
		}
	}
	p.mu.Unlock()
	for _, r := range out {
		r.unload()
	}
	return len(out)
}

// evictableLocked reports whether the run's log has everything that is to be known of it. Only then may usedAt be read.
func (p *partition) evictableLocked(r *run) bool {
	_, busy := p.working[r]
	_, unsettled := p.unsettled[r.addr]
	return !busy && (!unsettled || r.rests()) && len(r.firings) == 0 && len(r.mailbox) == 0 && r.outbox.idle() && len(r.waiters) == 0 && len(r.onEnd) == 0 && !r.purging
}

// crowd asks for relief if there are too many objects in memory, or too many bytes. It does not block.
func (h *Host) crowd() {
	if h.resident.Load() <= int64(h.cfg.MaxResident) && h.residentBytes.Load() <= h.cfg.MaxResidentBytes {
		return
	}
	select {
	case h.crowded <- struct{}{}:
	default:
	}
}

// relieve evicts what was used least recently, until an eighth of each limit is free: so that it is not to be done again
// for each object that comes. What is unsettled or at work stays, whatever the limits.
func (h *Host) relieve(now time.Time) {
	runs := h.resident.Load() - int64(h.cfg.MaxResident)
	bytes := h.residentBytes.Load() - h.cfg.MaxResidentBytes
	if runs <= 0 && bytes <= 0 {
		return
	}
	if runs > 0 {
		runs += int64(h.cfg.MaxResident) / 8
	}
	if bytes > 0 {
		bytes += h.cfg.MaxResidentBytes / 8
	}
	type candidate struct {
		usedAt time.Time
		bytes  int64
	}
	var all []candidate
	for _, p := range h.all() {
		p.mu.Lock()
		for _, r := range p.runs {
			if p.evictableLocked(r) {
				all = append(all, candidate{r.usedAt, r.bytes})
			}
		}
		p.mu.Unlock()
	}
	if len(all) == 0 {
		return
	}
	slices.SortFunc(all, func(a, b candidate) int { return cmp.Compare(a.usedAt.UnixNano(), b.usedAt.UnixNano()) })
	last := 0
	for i, c := range all {
		if runs <= 0 && bytes <= 0 {
			break
		}
		last = i
		runs--
		bytes -= c.bytes
	}
	for _, p := range h.all() {
		p.evict(now, now.Sub(all[last].usedAt))
	}
}

// What an object in memory takes beside what it holds, in bytes: estimates, not measured.
const (
	runBytes     = 3 << 10
	routineBytes = 8 << 10
)

// weigh notes about how many bytes the run takes in memory.
func (r *run) weigh() {
	n := int64(runBytes)
	if x := r.x; x != nil {
		n += 2*int64(len(x.encoded)) + int64(x.journal.seen) + 2*int64(x.alarms.size())
		if x.body != nil {
			n += routineBytes
		}
		for _, c := range x.queue {
			n += int64(len(c.payload)) + 200
		}
	}
	n += int64(r.tail.bytes)
	if r.ids != nil {
		n += 200 * int64(len(r.ids.entries))
		if r.ids.older != nil {
			n += int64(len(r.ids.older.seen))
		}
	}
	r.host.residentBytes.Add(n - r.bytes)
	r.bytes = n
	r.host.crowd()
}
