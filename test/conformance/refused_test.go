package conformance

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/perdure/perdure/test/harness"
	"github.com/perdure/perdure/test/objects"
)

// TestRefused lets the servers refuse every append for a while: what was accepted is applied afterwards, without any
// event from outside.
func TestRefused(t *testing.T) {
	n := harness.Run(t, harness.Config(t), objects.Counter, objects.Tallies, objects.Slow, objects.Sleeper)
	nc := n.Dial()
	for _, subject := range []string{"call.tally.a.add", "call.tally.b.add"} {
		harness.Ask(t, nc, subject, []byte(`{"n":1}`))
	}
	harness.Ask(t, nc, "call.counter.a.action", []byte(`{"type":"increment"}`))
	waits := make(chan harness.Reply, 2)
	go func() { // a step in flight when the appends are refused
		r, _ := harness.TryAsk(t.Context(), nc, "call.slow.a.wait", []byte(`{"millis":3000}`), time.Minute, "Perdure-Timeout", "60s")
		waits <- r
	}()
	go func() { // a sleep that comes due meanwhile
		r, _ := harness.TryAsk(t.Context(), nc, "call.sleeper.a.nap", []byte(`{"nanos":3000000000}`), time.Minute, "Perdure-Timeout", "60s")
		waits <- r
	}()
	harness.Eventually(t, 5*time.Second, func() string {
		return fmt.Sprint(map[bool]string{true: "", false: "not waiting yet"}[len(describe(t, nc, "slow/a").Steps) == 1 && len(describe(t, nc, "sleeper/a").Waits) == 1])
	})
	due := time.Now().Add(3 * time.Second) // of both, at the latest

	restore := refuseAppends(t, nc)
	r, err := harness.TryAsk(t.Context(), nc, "call.tally.a.add", []byte(`{"n":100}`), 5*time.Second, "Perdure-Call-Id", "again")
	if err != nil || r.Code != 503 {
		t.Errorf("call while the log refuses: got %d %s %v, want 503", r.Code, r.Data, err)
	}
	for range 5 {
		harness.AskStored(t, nc, "hook.tally.a.add", []byte(`{"n":1}`))
		harness.AskStored(t, nc, "hook.tally.new.add", []byte(`{"n":1}`))
		harness.AskStored(t, nc, "hook.counter.a.action", []byte(`{"type":"increment"}`))
	}
	<-time.After(time.Until(due.Add(time.Second))) // the step ends and the sleep comes due while the log refuses
	restore()

	for range 2 {
		select {
		case r := <-waits:
			if string(r.Data) != "1" {
				t.Errorf("call that waited for a step or sleep: got %s, want 1", r.Data)
			}
		case <-time.After(30 * time.Second):
			t.Error("a run with a step or a sleep in flight does not go on after the log takes records again")
		}
	}
	last := fmt.Sprint(harness.State(t, nc, "PERDURE_INBOX").LastSeq)
	for subject, want := range map[string]string{"call.tally.a.get": "6", "call.tally.new.get": "5"} {
		if r := harness.Ask(t, nc, subject, nil, "Perdure-After", last); string(r.Data) != want {
			t.Errorf("%s: got %s, want %s", subject, r.Data, want)
		}
	}
	if r := harness.Ask(t, nc, "call.counter.a.action", []byte(`{"type":"get"}`), "Perdure-After", last); string(r.Data) != "6" {
		t.Errorf("counter: got %s, want 6", r.Data)
	}
	if r := harness.Ask(t, nc, "call.tally.a.add", []byte(`{"n":100}`), "Perdure-Call-Id", "again"); string(r.Data) != "106" {
		t.Errorf("the refused call, repeated: got %s, want 106", r.Data)
	}
	logs, _ := harness.Logs(t, nc)
	harness.CheckLogs(t, logs)
}

// refuseAppends makes the log streams full; what it returns makes room again.
func refuseAppends(t *testing.T, nc *nats.Conn) (restore func()) {
	t.Helper()
	set := func(limit int64) {
		for _, name := range harness.LogStreams(t, nc) {
			js := jetStream(t, nc)
			stream, err := js.Stream(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			cfg := stream.CachedInfo().Config
			cfg.MaxMsgSize = int32(limit)
			if _, err := js.UpdateStream(t.Context(), cfg); err != nil {
				t.Fatal(err)
			}
		}
	}
	set(10)
	return func() { set(-1) }
}
