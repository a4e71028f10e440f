package input

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/perdure/perdure/test/harness"
	"github.com/perdure/perdure/test/objects"
)

// TestForeign_Buckets overwrites what nodes keep in their buckets: the objects go on, perhaps after a moment.
func TestForeign_Buckets(t *testing.T) {
	for _, key := range []string{"PERDURE_PARTITIONS.partition.%d", "PERDURE_LEASES.node.local", "PERDURE_LEASES.node.other"} {
		for _, value := range []string{"", "garbage", "{}", `{"node":"other","session":"x","epoch":0}`} {
			t.Run(key+" "+value, func(t *testing.T) {
				t.Parallel()
				n := harness.Run(t, harness.Config(t), objects.Tallies)
				nc := n.Dial()
				harness.Ask(t, nc, "call.tally.a.add", []byte(`{"n":1}`))
				partition := strings.Split(logSubject(t, nc, "tally.a"), ".")[1]
				if err := nc.Publish("$KV."+strings.Replace(key, "%d", partition, 1), []byte(value)); err != nil {
					t.Fatal(err)
				}
				want := 1
				harness.Eventually(t, 15*time.Second, func() string {
					r, err := harness.TryAsk(t.Context(), nc, "call.tally.a.add", []byte(`{"n":1}`), 2*time.Second, "Perdure-Call-Id", "x")
					if err != nil || r.Code != 0 {
						return fmt.Sprint(r.Code, r.Err, err)
					}
					want = 2
					return ""
				})
				select {
				case <-n.Done():
					t.Error("the node ended")
				case <-time.After(1500 * time.Millisecond): // the next renewal and checkpoint see it
				}
				harness.Eventually(t, 15*time.Second, func() string {
					r, err := harness.TryAsk(t.Context(), nc, "call.tally.a.get", nil, 2*time.Second)
					if err != nil || string(r.Data) != fmt.Sprint(want) {
						return fmt.Sprint(r.Code, string(r.Data), r.Err, err)
					}
					return ""
				})
				logs, _ := harness.Logs(t, nc)
				harness.CheckLogs(t, logs)
				n.Again(objects.Tallies)
				if r := harness.Ask(t, n.Dial(), "call.tally.a.get", nil); string(r.Data) != fmt.Sprint(want) {
					t.Errorf("after a restart: got %d %s, want %d", r.Code, r.Data, want)
				}
			})
		}
	}
}

// TestForeign_Firing fires a sleep before its time.
func TestForeign_Firing(t *testing.T) {
	n := harness.Run(t, harness.Config(t), objects.Sleeper)
	nc := n.Dial()
	answer := make(chan time.Time, 1)
	began := time.Now()
	go func() {
		if r, err := harness.TryAsk(t.Context(), nc, "call.sleeper.a.nap", []byte(`{"nanos":3000000000}`), 10*time.Second); err != nil || r.Code != 0 {
			t.Errorf("nap: %d %v", r.Code, err)
		}
		answer <- time.Now()
	}()
	var d struct{ Waits []struct{ ID string } }
	harness.Eventually(t, 2*time.Second, func() string {
		r := harness.Ask(t, nc, "call.sleeper.a.$describe", nil)
		if err := json.Unmarshal(r.Data, &d); err != nil || len(d.Waits) == 0 {
			return fmt.Sprint("no wait: ", err)
		}
		return ""
	})
	partition := strings.Split(logSubject(t, nc, "sleeper.a"), ".")[1]
	for _, header := range []nats.Header{nil, {"Perdure-Timer": {d.Waits[0].ID}}, {"Perdure-Timer": {"wait-nothing"}}, {"Perdure-Timer": {"%"}}} {
		for _, subject := range []string{"fire." + partition + ".sleeper.a", "fire." + partition + ".sleeper.nobody", "fire." + partition + ".nothing.a"} {
			if err := nc.PublishMsg(&nats.Msg{Subject: subject, Header: header}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if took := (<-answer).Sub(began); took < 3*time.Second || took > 3*time.Second+600*time.Millisecond {
		t.Errorf("a sleep of 3 s took %s", took)
	}
}
