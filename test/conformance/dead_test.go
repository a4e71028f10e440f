package conformance

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/test/harness"
	"github.com/perdure/perdure/test/objects"
)

// letters waits until n dead letters are kept and returns them.
func letters(t *testing.T, nc *nats.Conn, n int) (all []harness.Message) {
	t.Helper()
	harness.Eventually(t, 5*time.Second, func() string {
		if all = harness.ReadStream(t, nc, "PERDURE_DEAD"); len(all) != n {
			return fmt.Sprintf("%d dead letters, want %d", len(all), n)
		}
		return ""
	})
	return all
}

// retryAll retries every letter and returns the last sequence in the inbox.
func retryAll(t *testing.T, c *perdure.Client) (last uint64) {
	t.Helper()
	for d, err := range c.DeadLetters(t.Context(), actor.Address{}) {
		if err == nil {
			last, err = c.RetryDead(t.Context(), d)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return last
}

// TestDead_Retry sends what nobody can take, mends that, and retries: by name with and without call id, and by token. Then the
// letters are put back, as if the client had been killed before it took them away, and retried once more: nothing is doubled,
// also not by a node that has only the log.
func TestDead_Retry(t *testing.T) {
	n := harness.Run(t, harness.Config(t), objects.Counter)
	nc := n.Dial()
	told, err := nc.SubscribeSync("_INBOX.told")
	if err != nil {
		t.Fatal(err)
	}
	harness.AskStored(t, nc, "hook.tally.k.add", []byte(`{"n":5}`), "Perdure-Reply-To", told.Subject)
	harness.AskStored(t, nc, "hook.tally.k.add", []byte(`{"n":7}`), "Perdure-Call-Id", "mine")
	harness.AskStored(t, nc, "hook.$token.diary:k.$resume", []byte(`{"sender":"s","n":1}`))
	dead := letters(t, nc, 3)
	if m, err := told.NextMsg(5 * time.Second); err != nil || m.Header.Get("Nats-Service-Error-Code") != "404" {
		t.Fatalf("the reply-to got %v, %v", m, err)
	}

	n.Again(objects.Counter, objects.Tallies, objects.Diary)
	nc = n.Dial()
	if told, err = nc.SubscribeSync("_INBOX.told"); err != nil {
		t.Fatal(err)
	}
	harness.Ask(t, nc, "call.diary.k.show", nil) // from here on it holds the token
	for round := range 3 {
		if round > 0 {
			for _, d := range dead {
				if err := nc.Publish(d.Subject, d.Data); err != nil {
					t.Fatal(err)
				}
			}
			letters(t, nc, 3)
		}
		last := retryAll(t, n.Client())
		letters(t, nc, 0)
		if r := harness.Ask(t, nc, "call.tally.k.get", nil, "Perdure-After", fmt.Sprint(last)); string(r.Data) != "12" {
			t.Errorf("round %d: the tally is at %s, want 12", round, r.Data)
		}
		harness.AskStored(t, nc, "hook.$token.diary:k.$resume", fmt.Appendf(nil, `{"sender":"s","n":%d}`, round+2))
		harness.Eventually(t, 5*time.Second, func() string { // sends by one token keep their order
			var l objects.Ledger
			if err := json.Unmarshal(harness.Ask(t, nc, "call.diary.k.show", nil).Data, &l); err != nil {
				t.Fatal(err)
			}
			if l.Last["s"] != round+2 || len(l.Wrong) > 0 {
				return fmt.Sprintf("round %d: the diary has %+v", round, l)
			}
			return ""
		})
		if round == 1 {
			n.Again(objects.Counter, objects.Tallies, objects.Diary)
			nc = n.Dial()
		}
	}
	if m, err := told.NextMsg(5 * time.Second); err != nil || string(m.Data) != "5" && string(m.Data) != "12" {
		t.Errorf("the reply-to of a send that was retried got %v, %v", m, err)
	}
	if m, err := told.NextMsg(10 * time.Millisecond); err == nil {
		t.Errorf("and got %s, too", m.Data)
	}
	letters(t, nc, 0)
	logs, _ := harness.Logs(t, nc)
	harness.CheckLogs(t, logs)
}

// TestDead_RetryInVain retries what still cannot be applied: it becomes another letter, under the same call id.
func TestDead_RetryInVain(t *testing.T) {
	n := harness.Run(t, harness.Config(t), objects.Tallies)
	nc := n.Dial()
	harness.AskStored(t, nc, "hook.tally.k.add", []byte(`{"n":"one"}`))
	letters(t, nc, 1)
	var first string
	for round := range 3 {
		for d, err := range n.Client().DeadLetters(t.Context(), objects.Tallies.At("k")) {
			if err != nil {
				t.Fatal(err)
			}
			if round == 1 {
				first = d.CallID
			}
			if round > 0 && (d.CallID != first || first == "") || d.Cause.Code != 400 {
				t.Errorf("round %d: got %+v, want 400 and call id %q", round, d, first)
			}
			seq, err := n.Client().RetryDead(t.Context(), d)
			if err != nil {
				t.Fatal(err)
			}
			harness.Ask(t, nc, "call.tally.k.get", nil, "Perdure-After", fmt.Sprint(seq))
		}
		if d := letters(t, nc, 1); d[0].Seq != uint64(round+2) {
			t.Errorf("round %d: letter %d", round, d[0].Seq)
		}
	}
}
