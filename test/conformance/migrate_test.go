package conformance

import (
	"fmt"
	"strings"
	"testing"

	"github.com/perdure/perdure/test/harness"
	"github.com/perdure/perdure/test/objects"
)

// TestMigrate changes the type of a state and of a payload between restarts, with a call that holds the object and one that
// waits behind it; goes back to the older code, which refuses the object; and forth again.
func TestMigrate(t *testing.T) {
	n := harness.Run(t, harness.Config(t), objects.NewWallet1(), objects.Tallies)
	nc := n.Dial()
	ask := func(want, subject, payload string, header ...string) {
		t.Helper()
		r := harness.Ask(t, nc, subject, []byte(payload), append(header, "Perdure-Timeout", "9s")...)
		if got := string(r.Data); got != want && (r.Code == 0 || !strings.Contains(got, want)) {
			t.Errorf("%s %s: got %d %s, want %s", subject, payload, r.Code, got, want)
		}
	}
	ask("5", "call.wallet.a.pay", `{"euros":5}`)
	harness.AskStored(t, nc, "hook.wallet.a.hold", nil)
	seq := harness.AskStored(t, nc, "hook.wallet.a.pay", []byte(`{"euros":2}`))
	ask(`{"euros":5}`, "call.wallet.a.$state", "", "Perdure-After", fmt.Sprint(seq))

	n.Again(objects.NewWallet(), objects.Tallies)
	nc = n.Dial()
	ask("1", "call.tally.a.add", `{"n":1}`)
	ask("701", "call.wallet.a.pay", `{"cents":1}`) // behind the one that waited
	ask(`{"cents":701,"owner":"nobody"}`, "call.wallet.a.$state", "")
	if r := harness.Ask(t, nc, "call.wallet.$type.$describe", nil); strings.Count(string(r.Data), `"version":2`) != 2 {
		t.Errorf("described as %s", r.Data)
	}

	n.Again(objects.NewWallet1(), objects.Tallies)
	nc = n.Dial()
	before, _ := harness.Logs(t, nc)
	harness.AskStored(t, nc, "hook.wallet.a.pay", []byte(`{"euros":1}`))
	ask("upgrade it", "call.wallet.a.pay", `{"euros":1}`)
	ask("upgrade it", "call.wallet.a.$state", "")
	ask("2", "call.tally.a.add", `{"n":1}`)
	after, _ := harness.Logs(t, nc)
	for subject := range after {
		if strings.Contains(subject, "wallet") && len(after[subject]) != len(before[subject]) {
			t.Errorf("%s: older code has written", subject)
		}
	}

	n.Again(objects.NewWallet(), objects.Tallies)
	nc = n.Dial()
	ask("702", "call.wallet.a.pay", `{"cents":1}`)
	letters(t, nc, 1) // the send of before was not in the log, so it is checked by what a payload is now
	logs, _ := harness.Logs(t, nc)
	harness.CheckLogs(t, logs)
}
