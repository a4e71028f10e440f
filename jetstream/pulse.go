package jetstream

import (
	"sync"
	"time"
)

// pulse tells which requests to one stream were lost, as those are that come while it has no leader. Slow is not lost: a server
// that is behind works off what was asked before, also what was asked again.
//
// A request is lost when it has waited for long, and a later one was answered. While none is, one request in a while is
// repeated to find out whether the stream answers again.
type pulse struct {
	mu       sync.Mutex
	answered time.Time     // when the latest request that was answered was sent
	takes    time.Duration // about what answers take: at once longer, slowly shorter
	probed   time.Time     // when a request was last repeated in silence
}

// leastPatience is for how long a request is not taken for lost; it is leastPatience, or patience times what answers take.
const (
	leastPatience = time.Second
	patience      = 4
)

// heard notes that a request was answered.
func (p *pulse) heard(sent time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	took := time.Since(sent)
	p.takes = max(took, p.takes-(p.takes-took)/16)
	if sent.After(p.answered) {
		p.answered = sent
	}
}

// lost reports whether a request should be made once more; it was made n times, the last one when it was sent.
func (p *pulse) lost(sent time.Time, n int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	wait := max(leastPatience, patience*p.takes)
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

// pulses are those of a store's streams.
type pulses struct {
	mu       sync.Mutex
	byStream map[string]*pulse
}

func (p *pulses) of(stream string) *pulse {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.byStream == nil {
		p.byStream = map[string]*pulse{}
	}
	if p.byStream[stream] == nil {
		p.byStream[stream] = &pulse{}
	}
	return p.byStream[stream]
}
