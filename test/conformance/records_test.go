package conformance

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/test/harness"
	"github.com/perdure/perdure/test/objects"
)

// TestRecords counts, in the streams, what calls, sends and queries cost.
func TestRecords(t *testing.T) {
	cfg := harness.Config(t)
	cfg.Flush = time.Minute // a slow machine must not make a quick step outlast its turn
	n := harness.Run(t, cfg, objects.Counter, objects.Tallies)
	nc := n.Dial()
	increment, amount, get := []byte(`{"type":"increment"}`), []byte(`{"n":1}`), []byte(`{"type":"get"}`)
	for _, tc := range []struct {
		name       string
		do         func()
		logs, sent uint64
	}{
		{"call of a run function", func() { harness.Ask(t, nc, "call.counter.a.action", increment) }, 1, 0},
		{"call of a method", func() { harness.Ask(t, nc, "call.tally.a.add", amount) }, 1, 0},
		{"query", func() { harness.Ask(t, nc, "call.tally.a.get", nil) }, 0, 0},
		{"query of an object without record", func() { harness.Ask(t, nc, "call.tally.new.get", nil) }, 0, 0},
		{"state", func() { harness.Ask(t, nc, "call.tally.a.$state", nil) }, 0, 0},
		{"events", func() { harness.Ask(t, nc, "call.tally.a.$events", nil) }, 0, 0},
		{"describe", func() { harness.Ask(t, nc, "call.counter.a.$describe", nil) }, 0, 0},
		{"describe of a run without record", func() { harness.Ask(t, nc, "call.counter.new.$describe", nil) }, 0, 0},
		{"send to a run function", func() { sendAndAwait(t, nc, "counter", "action", increment) }, 1, 1},
		{"send to a method", func() { sendAndAwait(t, nc, "tally", "add", amount) }, 1, 1},
		{"method that fails", func() { harness.Ask(t, nc, "call.tally.a.add", []byte(`{"n":"x"}`)) }, 0, 0},
		{"a last call", func() { harness.Ask(t, nc, "call.counter.a.action", get) }, 1, 0},
	} {
		logs, inbox := logged(t, nc), harness.State(t, nc, "PERDURE_INBOX").LastSeq
		tc.do()
		if got := logged(t, nc) - logs; got != tc.logs {
			t.Errorf("%s: %d records, want %d", tc.name, got, tc.logs)
		}
		if got := harness.State(t, nc, "PERDURE_INBOX").LastSeq - inbox; got != tc.sent {
			t.Errorf("%s: %d messages in the inbox, want %d", tc.name, got, tc.sent)
		}
	}
}

// logged is how many messages all log streams have had.
func logged(t *testing.T, nc *nats.Conn) (sum uint64) {
	t.Helper()
	for _, name := range harness.LogStreams(t, nc) {
		sum += harness.State(t, nc, name).LastSeq
	}
	return sum
}

func sendAndAwait(t *testing.T, nc *nats.Conn, typ, hook string, payload []byte) {
	t.Helper()
	seq := harness.AskStored(t, nc, fmt.Sprintf("hook.%s.a.%s", typ, hook), payload)
	// A read that comes after the send waits for it and writes nothing.
	harness.Ask(t, nc, "call."+typ+".a.$describe", nil, "Perdure-After", fmt.Sprint(seq))
}

// TestRecords_Batch has one object so busy that its turns take several calls each.
func TestRecords_Batch(t *testing.T) {
	cfg := harness.Config(t)
	cfg.Sync = perdure.SyncAlways // a record takes its time, and calls queue meanwhile
	n := harness.Run(t, cfg, objects.Counter, objects.Tallies)
	for _, typ := range []string{"counter", "tally"} {
		const callers, each = 32, 20
		before := logged(t, n.Conn())
		var wg sync.WaitGroup
		for range callers {
			client := perdure.NewClient(n.Dial())
			wg.Go(func() {
				for range each {
					add(t, client, actor.Address{Type: typ, Key: "hot"}, 1)
				}
			})
		}
		wg.Wait()
		if got := logged(t, n.Conn()) - before; got >= callers*each/2 {
			t.Errorf("%s: %d records for %d calls from %d callers", typ, got, callers*each, callers)
		} else {
			t.Logf("%s: %d records for %d calls from %d callers", typ, got, callers*each, callers)
		}
	}
}
