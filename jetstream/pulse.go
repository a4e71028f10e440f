package jetstream

import (
	"math"
	"sync"
	"time"
)

// pulse tells which requests to one stream were lost, as those are that come while it has no leader. Slow is not lost: a server
// that is behind works off what was asked before, also what was asked again.
//
// A request is lost when it has waited for long, and a later one was answered. While none is, one request in a while is
// repeated to find out whether the stream answers again.
type pulse struct {
	least  time.Duration // for which a request is not taken for lost, however fast others are
	memory time.Duration // after which half of what answers took is not believed any more

	mu       sync.Mutex
	answered time.Time     // when the latest request that was answered was sent
	takes    time.Duration // about what answers took,
	learned  time.Time     // as was known then
	probed   time.Time     // when a request was last repeated in silence
}

const (
	// patience is after how many times what answers take a request is perhaps lost.
	patience = 4
	// briefly is the memory for small answers: a stream that elects a leader is slow once.
	briefly = 2 * time.Second
)

// about returns what answers take.
func (p *pulse) about(now time.Time) time.Duration {
	return time.Duration(float64(p.takes) * math.Exp2(-float64(now.Sub(p.learned))/float64(p.memory)))
}

// heard notes that a request was answered. What answers take is longer at once, and shorter little by little.
func (p *pulse) heard(sent time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	took, about := now.Sub(sent), p.about(now)
	p.takes, p.learned = max(took, about-(about-took)/16), now
	if sent.After(p.answered) {
		p.answered = sent
	}
}

// gaveUp notes that a request takes longer than it was waited for.
func (p *pulse) gaveUp(sent time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	p.takes, p.learned = max(now.Sub(sent), p.about(now)), now
}

// lost reports whether a request should be made once more; it was made n times, the last one when it was sent.
func (p *pulse) lost(sent time.Time, n int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	wait := max(p.least, patience*p.about(now))
	switch {
	case now.Sub(sent) < wait:
		return false
	case p.answered.After(sent):
		return now.Sub(sent) >= wait<<(n-1) // it may just be a slow one
	case now.Sub(p.probed) < wait:
		return false
	}
	p.probed = now
	return true
}

// pulses are those of the streams that a store asks.
type pulses struct {
	mu       sync.Mutex
	byStream map[string]*pulse
}

// of returns the pulse of a stream, whose requests are not taken for lost before least, with this memory.
func (p *pulses) of(stream string, least, memory time.Duration) *pulse {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.byStream == nil {
		p.byStream = map[string]*pulse{}
	}
	if p.byStream[stream] == nil {
		p.byStream[stream] = &pulse{least: least, memory: memory}
	}
	return p.byStream[stream]
}
