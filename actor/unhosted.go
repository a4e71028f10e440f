package actor

import "time"

// keepsFor is how long a send waits for a node that hosts its type while there is none; then it is a dead letter.
const keepsFor = 24 * time.Hour

// keeps reports whether a send to a type that this node does not host stays in the inbox for one that does.
func (h *Host) keeps(p *partition, m *Message) bool {
	if h.Hosts(m.Type) || !h.cfg.Known(m.Type) || time.Since(m.Time) >= keepsFor && !h.cfg.Elsewhere(m.Type) {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.noteLocked(m.Type)
	p.kept[m.Seq] = keptSend{until: time.Now().Add(max(keepsFor-time.Since(m.Time), time.Hour))}
	return true
}

// keptSend is a send that stays in the inbox.
type keptSend struct {
	until time.Time
	again bool // it is to be read again now
}

// reconsider has the sends that were kept for long enough read again.
func (h *Host) reconsider(now time.Time) {
	due := false
	for _, p := range h.all() {
		p.mu.Lock()
		for seq, k := range p.kept {
			if !k.again && !now.Before(k.until) {
				p.kept[seq] = keptSend{k.until, true}
				due = true
			}
		}
		p.mu.Unlock()
	}
	if due {
		h.inbox.again()
	}
}

// readFromLocked is where the inbox is to be read from.
func (p *partition) readFromLocked() uint64 {
	from := p.inbox.read
	for seq, k := range p.kept {
		if k.again {
			from = min(from, seq-1)
		}
	}
	return from
}

// retakeLocked reports whether a message that was read before is one to be read again.
func (p *partition) retakeLocked(seq uint64) bool {
	again := p.kept[seq].again
	if again {
		delete(p.kept, seq)
	}
	return again
}

// note says that the partition has, or was asked for, objects of a type: it goes to a node that hosts it.
func (p *partition) note(typ string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.noteLocked(typ)
}

func (p *partition) noteLocked(typ string) {
	if !p.types[typ] {
		p.types[typ] = true
		p.active = true
	}
}
