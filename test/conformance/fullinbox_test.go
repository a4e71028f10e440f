package conformance

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/perdure/perdure/internal/natstest"
	"github.com/perdure/perdure/test/harness"
	"github.com/perdure/perdure/test/objects"
)

// TestInbox_Full fills the inbox while no node runs. Whatever its oldest message is, a node then works it off: one that
// came by token would have to go through the inbox again, which has no room.
func TestInbox_Full(t *testing.T) {
	for name, first := range map[string]string{"by name": "hook.tally.k0.add", "by token": "hook.$token.tally:k0:add.$resume"} {
		t.Run(name, func(t *testing.T) {
			cfg := harness.Config(t)
			cfg.NATS, cfg.Partitions, cfg.LogStreams = []string{natstest.Server(t).ClientURL()}, 4, 1
			n := harness.Run(t, cfg, objects.Tallies)
			nc := n.Dial()
			js := jetStream(t, nc)
			n.End()
			inbox, err := js.Stream(t.Context(), "PERDURE_INBOX")
			if err != nil {
				t.Fatal(err)
			}
			small := inbox.CachedInfo().Config
			small.MaxBytes = 64 << 10
			if _, err := js.UpdateStream(t.Context(), small); err != nil {
				t.Fatal(err)
			}
			payload := fmt.Appendf(nil, `{"n":1,"more":%q}`, strings.Repeat("x", 1000))
			sends := 0
			for subject := first; ; subject = fmt.Sprintf("hook.tally.k%d.add", sends) {
				if _, err := js.Publish(t.Context(), subject, payload, jetstream.WithRetryAttempts(0)); err != nil {
					t.Logf("full after %d sends: %v", sends, err)
					break
				}
				sends++
			}
			n.Again(objects.Tallies)
			harness.AwaitDrained(t, nc, 20*time.Second)
			for i := range sends {
				if r := harness.Ask(t, nc, fmt.Sprintf("call.tally.k%d.get", i), nil); string(r.Data) != "1" {
					t.Errorf("k%d is %d %s, want 1", i, r.Code, r.Data)
				}
			}
			if dead := harness.ReadStream(t, nc, "PERDURE_DEAD"); len(dead) > 0 {
				t.Errorf("%d dead letters, the first: %s", len(dead), dead[0].Data)
			}
		})
	}
}
