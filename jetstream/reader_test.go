package jetstream

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/sync/errgroup"

	"github.com/perdure/perdure/internal/natstest"
)

// TestReader_lostAnswer loses the answer to a reader's first request: it asks again in seconds, however far its
// context's deadline is.
func TestReader_lostAnswer(t *testing.T) {
	natstest.InBubble(t, func(t *testing.T) {
		srv := natstest.Bubble(t)
		wire := natstest.NewWire(srv)
		s := provision(t, natstest.Connect(t, srv, nats.InProcessServer(wire)), Config{Partitions: 1, LogStreams: 1})
		if _, err := newJS(t, natstest.Connect(t, srv)).Publish(t.Context(), "hook.a.b.c", nil); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		wire.Mute()
		var g errgroup.Group
		start := time.Now()
		g.Go(func() error {
			_, err := collect(ctx, s.Inbox(), 1, "a", 1)
			return err
		})
		time.Sleep(time.Second)
		wire.Mend()
		if err := g.Wait(); err != nil || time.Since(start) > 10*time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
	})
}

// TestReader_silence: a silent server is noticed by its missing heartbeats.
func TestReader_silence(t *testing.T) {
	natstest.InBubble(t, func(t *testing.T) {
		srv := natstest.Bubble(t)
		wire := natstest.NewWire(srv)
		s := provision(t, natstest.Connect(t, srv, nats.InProcessServer(wire)), Config{Partitions: 1, LogStreams: 1})
		r := reader{store: s, stream: s.names.InboxStream()}
		silence := errors.New("not noticed")
		var g errgroup.Group
		g.Go(func() error {
			silence = r.session(t.Context(), 1, nil, func(*stored) error { return nil })
			return nil
		})
		time.Sleep(time.Minute)
		wire.Mute()
		start := time.Now()
		_ = g.Wait()
		if d := time.Since(start); d > 3*readHeartbeat {
			t.Errorf("noticed after %v: %v", d, silence)
		}
	})
}

// TestReader_pendingGone: what the server says is pending and never comes holds up nobody who reads to an end.
func TestReader_pendingGone(t *testing.T) {
	natstest.InBubble(t, func(t *testing.T) {
		srv := natstest.Bubble(t)
		s := provision(t, natstest.Connect(t, srv), Config{Partitions: 1, LogStreams: 1})
		for range 2 * readAhead {
			if _, err := s.js.Publish(t.Context(), "hook.a.b.c", nil); err != nil {
				t.Fatal(err)
			}
		}
		r := reader{store: s, stream: s.names.InboxStream()}
		read, start := 0, time.Now()
		err := r.until(t.Context(), 1, 2*readAhead, func(*stored) error {
			if read++; read == 1 {
				time.Sleep(time.Second) // the first batch is on its way with all that is pending
				return s.purge(t.Context(), r.stream, purgeRequest{Subject: "in.>"})
			}
			return nil
		})
		if took := time.Since(start); err != nil || read != readAhead || took > 2*time.Second {
			t.Errorf("read %d in %v: %v", read, took, err)
		}
	})
}
