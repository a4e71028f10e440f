package jetstream

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/internal/natstest"
)

// TestLog_lost has requests be lost, as those to a stream are that has no leader: whoever waits goes on soon after there is one.
func TestLog_lost(t *testing.T) {
	addr := actor.Address{Type: "lost", Key: "k"}
	lostFor := 3500 * time.Millisecond
	for name, tc := range map[string]struct {
		do     func(t *testing.T, l *Log) error
		want   error
		within time.Duration // from the beginning
	}{
		"a read": {func(t *testing.T, l *Log) error {
			_, err := l.Last(t.Context(), addr)
			return err
		}, actor.ErrNoRecord, lostFor + getPatience + askAgain},
		"a read of a part": {func(t *testing.T, l *Log) error {
			_, err := l.store.get(t.Context(), l.store.names.BlobsStream(), getRequest{Seq: 1})
			return err
		}, errNoMessage, lostFor + partPatience + askAgain},
		"an append": {func(t *testing.T, l *Log) error {
			_, err := l.Append(t.Context(), entry(addr, "t1", "{}"), 0)
			return err
		}, actor.ErrAppendUnknown, appendPatience + askAgain},
	} {
		t.Run(name, func(t *testing.T) {
			natstest.InBubble(t, func(t *testing.T) {
				s := natstest.Bubble(t)
				wire := natstest.NewWire(s)
				dial := func() *nats.Conn {
					return natstest.Connect(t, s, append(AppendOptions(), nats.InProcessServer(wire))...)
				}
				l := provision(t, dial(), Config{Partitions: 1, LogStreams: 1}).Log(dial())
				wire.Lose()
				time.AfterFunc(lostFor, wire.Mend)
				begin := time.Now()
				if err := tc.do(t, l); !errors.Is(err, tc.want) {
					t.Errorf("got %v, want %v", err, tc.want)
				}
				if took := time.Since(begin); took > tc.within {
					t.Errorf("took %v, want at most %v", took, tc.within)
				}
			})
		})
	}
}

// TestProvision_leaderless has a store be looked up while the servers have no leader: the node goes on soon after there is one, however
// long it has waited.
func TestProvision_leaderless(t *testing.T) {
	natstest.InBubble(t, func(t *testing.T) {
		lostFor := 7500 * time.Millisecond
		s := natstest.Bubble(t)
		wire := natstest.NewWire(s)
		provision(t, natstest.Connect(t, s), Config{Partitions: 1, LogStreams: 1})
		nc := natstest.Connect(t, s, nats.InProcessServer(wire))
		if _, err := newJS(t, nc).AccountInfo(t.Context()); err != nil {
			t.Fatal(err) // the inbox of its answers is known to the server now
		}
		wire.Lose()
		time.AfterFunc(lostFor, wire.Mend)
		begin := time.Now()
		provision(t, nc, Config{})
		if took := time.Since(begin); took > lostFor+answerWithin+askAgain {
			t.Errorf("took %v", took)
		}
	})
}

// slowReads is a store whose server answers reads one after another, each after a while.
func slowReads(t *testing.T, each time.Duration) *Store {
	t.Helper()
	opts := natstest.Options(t.TempDir())
	opts.DontListen, opts.JetStream = true, false
	s := natstest.Start(t, opts)
	server := natstest.Connect(t, s)
	body, err := json.Marshal(map[string]any{"message": map[string]any{"subject": "x", "seq": 1}})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	sub, err := server.Subscribe("$JS.API.STREAM.MSG.GET.*", func(m *nats.Msg) {
		select {
		case <-time.After(each):
		case <-ctx.Done():
		}
		_ = m.Respond(body)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(sub.SetPendingLimits(-1, -1), server.Flush()); err != nil {
		t.Fatal(err)
	}
	return &Store{nc: natstest.Connect(t, s)}
}

// TestStore_getSlow: reads from a server that is slow, or behind, are answered. Reads that were repeated because of that would be in
// the way of each other.
func TestStore_getSlow(t *testing.T) {
	parts := Names{}.BlobsStream()
	for _, tc := range []struct {
		stream         string
		each           time.Duration
		readers, reads int
	}{
		{"X", 900 * time.Millisecond, 1, 20},
		{"X", 1100 * time.Millisecond, 1, 20},
		{"X", 1500 * time.Millisecond, 1, 20},
		{"X", 1900 * time.Millisecond, 1, 20},
		{"X", 4 * time.Millisecond, 800, 4},
		{"X", time.Millisecond, 3000, 4},
		{parts, 2500 * time.Millisecond, 1, 9},
		{parts, 5500 * time.Millisecond, 1, 9},
		{parts, 8500 * time.Millisecond, 1, 9},
		{parts, 1500 * time.Millisecond, 8, 9},
	} {
		t.Run(fmt.Sprint(tc), func(t *testing.T) {
			natstest.InBubble(t, func(t *testing.T) {
				s := slowReads(t, tc.each)
				var failed atomic.Int64
				var readers sync.WaitGroup
				for range tc.readers {
					readers.Go(func() {
						for range tc.reads {
							if _, err := s.get(t.Context(), tc.stream, getRequest{Seq: 1}); err != nil {
								failed.Add(1)
							}
						}
					})
				}
				readers.Wait()
				if n := failed.Load(); n > 0 {
					t.Errorf("%d of %d reads failed", n, tc.readers*tc.reads)
				}
			})
		})
	}
}

// TestReader_withoutConsumer: several messages are asked for at a time, and given in order; those that are gone are left out.
func TestReader_withoutConsumer(t *testing.T) {
	natstest.InBubble(t, func(t *testing.T) {
		opts := natstest.Options(t.TempDir())
		opts.DontListen, opts.JetStream = true, false
		server := natstest.Start(t, opts)
		nc := natstest.Connect(t, server)
		latency := 10 * time.Millisecond
		_, err := nc.Subscribe("$JS.API.STREAM.MSG.GET.X", func(m *nats.Msg) {
			var req getRequest
			if err := json.Unmarshal(m.Data, &req); err != nil {
				t.Error(err)
			}
			answer := fmt.Sprintf(`{"message":{"subject":"x","seq":%d}}`, req.Seq)
			if req.Seq%5 == 0 {
				answer = `{"error":{"code":404,"err_code":10037,"description":"no message found"}}`
			}
			time.AfterFunc(latency, func() { _ = m.Respond([]byte(answer)) })
		})
		if err := errors.Join(err, nc.Flush()); err != nil {
			t.Fatal(err)
		}
		r := reader{store: &Store{nc: natstest.Connect(t, server)}, stream: "X"}
		var got []uint64
		begin := time.Now()
		if err := r.withoutConsumer(t.Context(), 3, 500, func(m *stored) error { got = append(got, m.Seq); return nil }); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took > 40*latency {
			t.Errorf("took %v", took)
		}
		var want []uint64
		for seq := uint64(3); seq <= 500; seq++ {
			if seq%5 != 0 {
				want = append(want, seq)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %v", got)
		}
	})
}
