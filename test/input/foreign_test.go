package input

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/perdure/perdure/test/harness"
	"github.com/perdure/perdure/test/objects"
)

// TestForeign publishes what is not ours on every subject that a node reads, while objects work.
func TestForeign(t *testing.T) {
	n := harness.Run(t, harness.Config(t), objects.Counter, objects.Tallies, objects.Sleeper, objects.Slow)
	nc := n.Dial()
	increment := func(want int) {
		t.Helper()
		for _, call := range [][2]string{{"call.tally.a.add", `{"n":1}`}, {"call.counter.a.action", `{"type":"increment"}`}} {
			if r := harness.Ask(t, nc, call[0], []byte(call[1])); string(r.Data) != fmt.Sprint(want) {
				t.Errorf("%s: got %d %s, want %d", call[0], r.Code, r.Data, want)
			}
		}
	}
	increment(1)
	tally, counter := logSubject(t, nc, "tally.a"), logSubject(t, nc, "counter.a")
	done := 1
	for _, body := range []string{
		"", "null", "hello", "{}", "[]", `{"v":1}`, `{"v":0,"run":"tally/a"}`, strings.Repeat("x", 64<<10),
		`{"v":1,"run":"tally/a","incarnation":"x","epoch":1,"events":[],"state":{"count":1000}}`,
		`{"v":1,"run":"tally/b","incarnation":"x","epoch":1,"events":[],"state":{"count":1000}}`,
	} {
		for _, header := range []nats.Header{
			nil,
			{"Perdure-Epoch": {"1"}},
			{"Perdure-Turn": {"x"}},
			{"Perdure-Epoch": {"99999"}, "Perdure-Turn": {"forged"}},
			{"Perdure-Epoch": {"-1"}, "Perdure-Turn": {"x"}},
			{"Perdure-Epoch": {"99999"}, "Perdure-Turn": {"forged"}, "Perdure-Page": {"1,2,3"}, "Perdure-Prev": {"7"}, "Perdure-Blobs": {"3"}},
		} {
			for _, subject := range []string{
				tally, counter, "log.0.nothing.x", "log.63.tally.a", "own.0.call.tally.a.add", "own.0.call", "own.1.x.y.z",
				"fire.0.sleeper.a", "fire.1.nothing.x", "timer.0.sleeper.a.x", "blob.0.tally.a", "emit.tally.a.default", "dead.x.y",
				"$KV.PERDURE_TOKENS.x", "$KV.PERDURE_META.x", "$KV.PERDURE_LEASES.node.x", "$KV.PERDURE_PARTITIONS.x",
			} {
				if err := nc.PublishMsg(&nats.Msg{Subject: subject, Header: header, Data: []byte(body)}); err != nil {
					t.Fatal(err)
				}
			}
		}
		done++
		increment(done)
	}
	for range 2 {
		n.Again(objects.Counter, objects.Tallies, objects.Sleeper, objects.Slow)
		nc = n.Dial()
		done++
		increment(done)
	}
	logs, foreign := harness.Logs(t, nc)
	if foreign == 0 {
		t.Error("nothing foreign came into the logs: the test shows nothing")
	}
	t.Logf("%d foreign messages in %d logs", foreign, len(logs))
}

// TestForeign_WhileWorking puts foreign messages into a log while a step and a sleep of its run are in flight.
func TestForeign_WhileWorking(t *testing.T) {
	n := harness.Run(t, harness.Config(t), objects.Slow, objects.Sleeper)
	nc := n.Dial()
	for _, call := range [][3]string{{"slow", "wait", `{"millis":700}`}, {"sleeper", "nap", `{"nanos":700000000}`}} {
		t.Run(call[0], func(t *testing.T) {
			answer := make(chan harness.Reply, 1)
			go func() {
				r, _ := harness.TryAsk(t.Context(), nc, "call."+call[0]+".a."+call[1], []byte(call[2]), 10*time.Second)
				answer <- r
			}()
			harness.Eventually(t, 5*time.Second, func() string {
				if _, ok := findLog(t, nc, call[0]+".a"); !ok {
					return "no log"
				}
				return ""
			})
			subject := logSubject(t, nc, call[0]+".a")
			for range 5 {
				if err := nc.Publish(subject, []byte("foreign")); err != nil {
					t.Fatal(err)
				}
				<-time.After(20 * time.Millisecond)
			}
			if r := <-answer; string(r.Data) != "1" {
				t.Errorf("got %d %s, want 1", r.Code, r.Data)
			}
		})
	}
}

// TestReplySubject asks for replies where none may go.
func TestReplySubject(t *testing.T) {
	n := harness.Run(t, harness.Config(t), objects.Counter, objects.Tallies)
	nc := n.Dial()
	harness.Ask(t, nc, "call.tally.a.add", []byte(`{"n":1}`))
	harness.AskStored(t, nc, "hook.tally.a.add", []byte(`{"n":1}`))
	subjects := []string{
		"$JS.API.STREAM.DELETE.PERDURE_DEAD", "$JS.API.STREAM.PURGE.PERDURE_TIMERS", "$KV.PERDURE_META.store", "$KV.PERDURE_PARTITIONS.partition.0",
		logSubject(t, nc, "tally.a"), "hook.tally.b.add", "call.tally.b.add", "own.0.call.tally.a.add", "dead.x.y", "fire.0.tally.a", "$SYS.REQ.SERVER.PING",
		"someone.elses", "_INBOX", "_INBOXES.x",
	}
	for _, name := range harness.LogStreams(t, nc) {
		subjects = append(subjects, "$JS.API.STREAM.PURGE."+name)
	}
	harness.Eventually(t, 5*time.Second, func() string {
		if r := harness.Ask(t, nc, "call.tally.a.get", nil); string(r.Data) != "2" {
			return "the send is not applied"
		}
		return ""
	})
	before := harness.Counts(t, nc)
	for _, reply := range subjects {
		for _, call := range []string{"call.tally.a.get", "call.tally.a.$state", "call.nothing.x.y", "call.tally.$type.$describe", "call.$token.x.$resume", "$SRV.INFO"} {
			if err := nc.PublishMsg(&nats.Msg{Subject: call, Reply: reply, Data: nil}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 3 { // the node answers in order
		harness.Ask(t, nc, "call.tally.a.get", nil)
	}
	for name, last := range harness.Counts(t, nc) {
		if before[name] != last {
			t.Errorf("stream %s: last sequence was %d, is %d", name, before[name], last)
		}
	}
	if r := harness.Ask(t, nc, "call.tally.b.get", nil); string(r.Data) != "0" {
		t.Errorf("a reply subject was a call: tally/b is %s", r.Data)
	}
	if msgs := harness.State(t, nc, strings.Replace("PERDURE_LOG_0", "0", logStreamOf(t, nc), 1)).Msgs; msgs == 0 {
		t.Error("a log was purged")
	}
}

func logStreamOf(t *testing.T, nc *nats.Conn) string {
	t.Helper()
	for _, name := range harness.LogStreams(t, nc) {
		if harness.State(t, nc, name).LastSeq > 0 {
			return strings.TrimPrefix(name, "PERDURE_LOG_")
		}
	}
	t.Fatal("no log")
	return ""
}

// logSubject finds the subject of an object's log.
func logSubject(t *testing.T, nc *nats.Conn, suffix string) string {
	t.Helper()
	subject, ok := findLog(t, nc, suffix)
	if !ok {
		t.Fatalf("no log of %s", suffix)
	}
	return subject
}

func findLog(t *testing.T, nc *nats.Conn, suffix string) (string, bool) {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for _, name := range harness.LogStreams(t, nc) {
		stream, err := js.Stream(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		info, err := stream.Info(ctx, jetstream.WithSubjectFilter("log.*."+suffix))
		if err != nil {
			t.Fatal(err)
		}
		for subject := range info.State.Subjects {
			return subject, true
		}
	}
	return "", false
}
