package harness

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Message is a stored message.
type Message struct {
	Subject string
	Seq     uint64
	Time    time.Time
	Header  nats.Header
	Data    []byte
}

// ReadStream returns every message of a stream, oldest first.
func ReadStream(tb testing.TB, nc *nats.Conn, name string) []Message {
	tb.Helper()
	var all []Message
	EachMessage(tb, nc, name, func(m Message) { all = append(all, m) })
	return all
}

// EachMessage calls fn for every message that a stream has now, oldest first.
func EachMessage(tb testing.TB, nc *nats.Conn, name string, fn func(m Message)) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), 5*time.Minute)
	defer cancel()
	stream := lookUp(ctx, tb, nc, name)
	if stream.CachedInfo().State.Msgs == 0 {
		return
	}
	// A server that has just come back may be slow to serve a consumer: an ordered one begins again where it was.
	consumer, err := stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{InactiveThreshold: time.Minute})
	if err != nil {
		tb.Fatalf("read stream %s: %v", name, err)
	}
	it, err := consumer.Messages()
	if err != nil {
		tb.Fatalf("read stream %s: %v", name, err)
	}
	defer it.Stop()
	settled := false // the server has sent all, and the last ones may be on their way
	for n := 0; ; {
		m, err := it.Next(jetstream.NextMaxWait(2 * time.Second))
		if errors.Is(err, nats.ErrTimeout) && ctx.Err() == nil {
			if settled {
				return // the last ones were removed meanwhile
			}
			info, err := consumer.Info(ctx)
			settled = err == nil && info.NumPending == 0
			continue
		}
		if err != nil {
			tb.Fatalf("read stream %s after %d messages: %v", name, n, err)
		}
		meta, err := m.Metadata()
		if err != nil {
			tb.Fatalf("read stream %s: %v", name, err)
		}
		n++
		settled = false
		fn(Message{m.Subject(), meta.Sequence.Stream, meta.Timestamp, m.Headers(), m.Data()})
		if meta.NumPending == 0 {
			return
		}
	}
}

// Counts returns how many messages each stream has, those of leases and checkpoints left out, which change by themselves.
func Counts(tb testing.TB, nc *nats.Conn) map[string]uint64 {
	tb.Helper()
	counts := map[string]uint64{}
	for _, name := range Streams(tb, nc) {
		if strings.HasSuffix(name, "_LEASES") || strings.HasSuffix(name, "_PARTITIONS") {
			continue
		}
		counts[name] = State(tb, nc, name).LastSeq
	}
	return counts
}

// Streams returns the names of all streams.
func Streams(tb testing.TB, nc *nats.Conn) []string {
	tb.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		tb.Fatal(err)
	}
	var names []string
	list := js.StreamNames(tb.Context())
	for name := range list.Name() {
		names = append(names, name)
	}
	if err := list.Err(); err != nil {
		tb.Fatalf("list streams: %v", err)
	}
	return names
}

// LogStreams returns the names of the log streams.
func LogStreams(tb testing.TB, nc *nats.Conn) []string {
	tb.Helper()
	var logs []string
	for _, name := range Streams(tb, nc) {
		if strings.Contains(name, "_LOG_") {
			logs = append(logs, name)
		}
	}
	return logs
}

// State returns the state of a stream.
func State(tb testing.TB, nc *nats.Conn, name string) jetstream.StreamState {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), 20*time.Second)
	defer cancel()
	return lookUp(ctx, tb, nc, name).CachedInfo().State
}

// AwaitDrained waits until the inbox is empty, save its newest message: a stream that is never empty cannot forget its
// last sequence.
func AwaitDrained(tb testing.TB, nc *nats.Conn, within time.Duration) {
	tb.Helper()
	Eventually(tb, within, func() string {
		if s := State(tb, nc, "PERDURE_INBOX"); s.Msgs > 1 {
			return fmt.Sprintf("the inbox holds %d messages, %d to %d", s.Msgs, s.FirstSeq, s.LastSeq)
		}
		return ""
	})
}

func lookUp(ctx context.Context, tb testing.TB, nc *nats.Conn, name string) jetstream.Stream {
	tb.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		tb.Fatal(err)
	}
	stream, err := js.Stream(ctx, name)
	if err != nil {
		tb.Fatalf("look up stream %s: %v", name, err)
	}
	return stream
}

// Consumers returns how many consumers a stream has.
func Consumers(tb testing.TB, nc *nats.Conn, name string) int {
	tb.Helper()
	return State(tb, nc, name).Consumers
}
