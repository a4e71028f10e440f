package input

import (
	"fmt"
	"strings"
	"testing"
	"time"

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
				harness.Eventually(t, time.Minute, func() string {
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
				harness.Eventually(t, time.Minute, func() string {
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
