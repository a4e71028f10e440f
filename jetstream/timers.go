package jetstream

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/nats-io/nats.go"
	js "github.com/nats-io/nats.go/jetstream"

	"github.com/perdure/perdure/actor"
)

// Timers are alarms on the stream TIMERS: each is a message schedule on a subject of its own, so that the server
// keeps it and no node has to be awake. It implements [actor.Timers].
type Timers struct{ store *Store }

var _ actor.Timers = (*Timers)(nil)

// Timers returns the durable alarms.
func (s *Store) Timers() *Timers { return &Timers{s} }

// armTries is how often an arming is tried that collides with itself on its way.
const armTries = 5

// Arm implements [actor.Timers]. The server fires up to 250 ms late, never early by its clock.
func (t *Timers) Arm(ctx context.Context, addr actor.Address, id string, at time.Time) error {
	n, p := t.store.names, t.store.Partition(addr)
	m := nats.NewMsg(n.Timer(p, addr, id))
	// Written by ourselves: the client library cuts to whole seconds, which fires early.
	m.Header[js.ScheduleHeader] = []string{"@at " + at.UTC().Format(time.RFC3339Nano)}
	m.Header[js.ScheduleTargetHeader] = []string{n.Fire(p, addr)}
	m.Header[HeaderTimer] = []string{actor.EncodeKey(id)}
	for try := 1; ; try++ {
		_, err := t.store.js.PublishMsg(perRequest(ctx), m, js.WithExpectLastSequencePerSubject(0))
		switch {
		case err == nil, isCode(err, js.JSErrCodeStreamWrongLastSequence): // it is armed already
			return nil
		case isCode(err, js.JSErrCodeStreamWrongLastSequenceConstant) && try < armTries: // armed already, or on its way
			if err := waitFor(ctx, firstRetry<<try); err != nil {
				return fmt.Errorf("arm timer %s of %s: %w", id, addr, err)
			}
		default:
			return fmt.Errorf("arm timer %s of %s: %w", id, addr, err)
		}
	}
}

// Cancel implements [actor.Timers].
func (t *Timers) Cancel(ctx context.Context, addr actor.Address, id string) error {
	subject := t.store.names.Timer(t.store.Partition(addr), addr, id)
	if err := t.store.purge(ctx, t.store.names.TimersStream(), purgeRequest{Subject: subject}); err != nil {
		return fmt.Errorf("cancel timer %s of %s: %w", id, addr, err)
	}
	return nil
}

// Follow implements [actor.Timers]. What is on its subjects without having been armed by [Timers.Arm] is left out.
func (t *Timers) Follow(ctx context.Context, from uint64, fn func(*actor.Firing) error) error {
	r := reader{store: t.store, stream: t.store.names.TimersStream(), filters: []string{t.store.names.FireAll()}, headersOnly: true}
	return r.follow(ctx, from, func(m *stored) error {
		f, err := t.firing(m)
		if err != nil {
			t.store.cfg.Logger.WarnContext(ctx, "a message is no firing of ours", "subject", m.Subject, "seq", m.Seq, "cause", err)
			return nil
		}
		return fn(f)
	})
}

func (t *Timers) firing(m *stored) (*actor.Firing, error) {
	p, addr, err := t.store.names.ParseFire(m.Subject)
	if err != nil {
		return nil, err
	}
	if p != t.store.Partition(addr) {
		return nil, fmt.Errorf("%s is not in partition %d", addr, p)
	}
	id, err := decodeTimerID(m.Header.Get(HeaderTimer))
	if err != nil {
		return nil, err
	}
	return &actor.Firing{Seq: m.Seq, Partition: p, Address: addr, ID: id}, nil
}

// Done implements [actor.Timers].
func (t *Timers) Done(ctx context.Context, seq uint64) error {
	if err := t.store.remove(ctx, t.store.names.TimersStream(), seq); err != nil {
		return fmt.Errorf("forget firing %d: %w", seq, err)
	}
	return nil
}

// decodeTimerID is the inverse of [actor.EncodeKey] for ids, which are longer than keys may be.
func decodeTimerID(value string) (string, error) {
	id, err := url.PathUnescape(value)
	if err != nil {
		return "", fmt.Errorf("timer id %q: %w", value, err)
	}
	if id == "" || actor.EncodeKey(id) != value {
		return "", fmt.Errorf("timer id %q is not as we write it", value)
	}
	return id, nil
}
