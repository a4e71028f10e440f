package jetstream

import (
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
)

// replyInbox is one subscription that receives the answers to all asks of a client. An ask keeps its
// subject while it is repeated, so that an answer to any of its repetitions settles it.
type replyInbox struct {
	nc *nats.Conn

	mu      sync.Mutex
	sub     *nats.Subscription
	prefix  string
	next    uint64
	waiting map[string]chan *nats.Msg
	closed  bool
}

// open returns a subject of its own for an ask, the answers that arrive there, and what gives it up again.
func (b *replyInbox) open() (subject string, answers <-chan *nats.Msg, release func(), err error) {
	return b.openFor(4) // later answers of the same ask are repetitions
}

// openFor is open for an ask that gets n answers; more are dropped when nobody has taken them yet.
func (b *replyInbox) openFor(n int) (subject string, answers <-chan *nats.Msg, release func(), err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return "", nil, nil, fmt.Errorf("the client is closed")
	}
	if b.sub == nil {
		prefix := b.nc.NewInbox()
		sub, err := b.nc.Subscribe(prefix+".*", b.deliver)
		if err != nil {
			return "", nil, nil, fmt.Errorf("subscribe for replies: %w", err)
		}
		b.sub, b.prefix, b.waiting = sub, prefix+".", map[string]chan *nats.Msg{}
	}
	token := strconv.FormatUint(b.next, 36)
	b.next++
	ch := make(chan *nats.Msg, n)
	b.waiting[token] = ch
	return b.prefix + token, ch, func() { b.forget(token) }, nil
}

func (b *replyInbox) deliver(m *nats.Msg) {
	b.mu.Lock()
	ch := b.waiting[strings.TrimPrefix(m.Subject, b.prefix)]
	b.mu.Unlock()
	select {
	case ch <- m:
	default: // nobody waits any more, or has not taken what came before
	}
}

func (b *replyInbox) forget(token string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.waiting, token)
}

func (b *replyInbox) close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	if b.sub == nil || b.nc.IsClosed() {
		return nil
	}
	return b.sub.Unsubscribe()
}
