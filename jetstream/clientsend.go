package jetstream

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/perdure/perdure/actor"
)

// Send implements [actor.Client]. A repetition after a lost ack carries the same call id, by which the object
// drops the double.
func (c *Client) Send(ctx context.Context, addr actor.Address, hook string, payload []byte, h actor.CallHeader) (uint64, error) {
	if err := c.check(addr, hook, payload, h); err != nil {
		return 0, err
	}
	if h.CallID == "" {
		h.CallID = uuid.NewString()
	}
	until := deadline(ctx, h.Timeout)
	leave, err := c.lanes.enter(ctx, addr, until)
	if err != nil {
		return 0, err
	}
	defer leave()
	subject, header := c.names.Hook(addr, hook), FormatCallHeader(h)
	m, err := c.do(ctx, &ask{
		until:    until,
		message:  func(time.Duration) *nats.Msg { return &nats.Msg{Subject: subject, Header: header, Data: payload} },
		tryAgain: func(m *nats.Msg) *actor.Error { _, again, _ := decodePubAck(m.Data); return again },
	})
	if err != nil {
		return 0, err
	}
	seq, _, err := decodePubAck(m.Data)
	if err != nil {
		return 0, err
	}
	c.acked.put(addr, seq)
	return seq, nil
}

// Error codes of JetStream for a message that was not stored.
const (
	jsMessageTooLarge = 10054
	jsStoreFailed     = 10077 // with the cause as text, limits among them
	jsTooManyRequests = 10167
)

// decodePubAck reads what JetStream answers to a publish: the sequence, or why the message was not stored.
// again is not nil when that may pass.
func decodePubAck(body []byte) (seq uint64, again *actor.Error, err error) {
	var ack struct {
		jetstream.PubAck
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(body, &ack); err != nil {
		return 0, nil, fmt.Errorf("decode the inbox's answer: %w", err)
	}
	switch e := ack.Error; {
	case e == nil && ack.Sequence == 0:
		return 0, nil, fmt.Errorf("decode the inbox's answer: no sequence in %.100q", body)
	case e == nil:
		return ack.Sequence, nil, nil
	case e.ErrorCode == jsMessageTooLarge:
		return 0, nil, actor.Errorf(actor.CodeTooLarge, "the inbox refuses it: %s", e.Description)
	case e.ErrorCode == jsStoreFailed && strings.HasPrefix(e.Description, "maximum "):
		return 0, nil, actor.Errorf(actor.CodeLimit, "the inbox is full: %s", e.Description).With(map[string]string{"limit": "inbox"})
	case e.ErrorCode == jsTooManyRequests, e.Code >= 500:
		again = actor.Errorf(actor.CodeUnavailable, "the inbox cannot store it: %s", e.Description)
		return 0, again, again
	default:
		return 0, nil, actor.Errorf(actor.CodeInvalid, "the inbox refuses it: %s", e.Description)
	}
}

// lanes let one send at a time pass for each object: a second that is stored while the first is still being
// repeated would overtake it. The zero value is ready.
type lanes struct {
	mu sync.Mutex
	by map[actor.Address]*lane
}

type lane struct {
	free  chan struct{} // holds one token while nobody sends
	users int           // who sends or waits
}

func (l *lanes) enter(ctx context.Context, addr actor.Address, until time.Time) (leave func(), err error) {
	l.mu.Lock()
	if l.by == nil {
		l.by = map[actor.Address]*lane{}
	}
	x := l.by[addr]
	if x == nil {
		x = &lane{free: make(chan struct{}, 1)}
		x.free <- struct{}{}
		l.by[addr] = x
	}
	x.users++
	l.mu.Unlock()
	late := time.NewTimer(time.Until(until))
	defer late.Stop()
	waiting := actor.Errorf(actor.CodeUnavailable, "an earlier send to %s is not acknowledged yet", addr)
	select {
	case <-x.free:
		return func() { x.free <- struct{}{}; l.exit(addr, x) }, nil
	case <-late.C:
		l.exit(addr, x)
		return nil, waiting
	case <-ctx.Done():
		l.exit(addr, x)
		return nil, fmt.Errorf("%w: %w", waiting, context.Cause(ctx))
	}
}

func (l *lanes) exit(addr actor.Address, x *lane) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if x.users--; x.users == 0 {
		delete(l.by, addr)
	}
}

// ackedPage bounds how many objects a client remembers its last send to: it keeps the last one or two pages of
// them. Forgetting one costs only that a call right after the send may overtake it.
const ackedPage = 5_000

// ackedSends remembers the last acknowledged send to each object until a call has followed. The zero value is ready.
type ackedSends struct {
	mu       sync.Mutex
	now, old map[actor.Address]uint64
}

func (a *ackedSends) put(addr actor.Address, seq uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.now == nil || len(a.now) >= ackedPage {
		a.now, a.old = map[actor.Address]uint64{}, a.now
	}
	a.now[addr] = max(seq, a.now[addr])
}

func (a *ackedSends) last(addr actor.Address) uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return max(a.now[addr], a.old[addr])
}

// forget is called when the object has received everything up to seq.
func (a *ackedSends) forget(addr actor.Address, seq uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.now[addr] <= seq {
		delete(a.now, addr)
	}
	if a.old[addr] <= seq {
		delete(a.old, addr)
	}
}
