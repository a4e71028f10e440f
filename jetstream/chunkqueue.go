package jetstream

import (
	"sync"

	"github.com/nats-io/nats.go"
)

const (
	// queueMessages and queueBytes bound what waits for a reader that is slower than its stream. One message always fits.
	queueMessages = 512
	queueBytes    = 512 << 10
)

// chunkQueue is what a subscription has brought and its reader has not taken. When it is full the newest messages
// are dropped: the reader finds them in the stream.
type chunkQueue struct {
	wake chan struct{} // has one element when there may be something to take

	mu      sync.Mutex
	waiting []*stored
	bytes   int
	lost    bool // since lost was last taken
}

func newChunkQueue() *chunkQueue { return &chunkQueue{wake: make(chan struct{}, 1)} }

// put takes a message from the subscription. It never blocks. What the stream did not republish is ignored.
func (q *chunkQueue) put(stream string, m *nats.Msg) {
	s, ok := parseStored(m)
	if !ok || serverHeader(m.Header, nats.JSStream) != stream {
		return
	}
	q.mu.Lock()
	if len(q.waiting) >= queueMessages || (q.bytes+m.Size() > queueBytes && len(q.waiting) > 0) {
		q.lost = true
	} else {
		q.waiting = append(q.waiting, s)
		q.bytes += m.Size()
	}
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take returns everything that waits, and whether messages were dropped after it.
func (q *chunkQueue) take() (all []*stored, lost bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	all, lost = q.waiting, q.lost
	q.waiting, q.bytes, q.lost = nil, 0, false
	return all, lost
}
