//go:build !race

package virtual

import (
	"fmt"
	"testing"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/internal/natstest"
	"github.com/perdure/perdure/test/harness"
	"github.com/perdure/perdure/test/objects"
)

// TestEvict lets objects leave memory and come back, by idleness and because there are too many.
func TestEvict(t *testing.T) {
	for name, change := range map[string]func(*perdure.Config){
		"idle":     func(c *perdure.Config) { c.Idle = 2 * time.Second },
		"too many": func(c *perdure.Config) { c.MaxResident = 3 },
	} {
		t.Run(name, func(t *testing.T) {
			natstest.InBubble(t, func(t *testing.T) {
				n := run(t, change, objects.Counter, objects.Tallies, objects.Diary, objects.Echoes)
				client := n.Client()
				for round := 1; round <= 40; round++ {
					for key := range 5 {
						for hook, call := range map[actor.Address][2]string{
							{Type: "counter", Key: fmt.Sprint(key)}: {"action", `{"type":"increment"}`},
							{Type: "tally", Key: fmt.Sprint(key)}:   {"add", `{"n":1}`},
							{Type: "diary", Key: fmt.Sprint(key)}:   {"say", fmt.Sprintf(`{"sender":"x","n":%d}`, round)},
						} {
							o, err := client.Call(t.Context(), hook, call[0], []byte(call[1]), actor.CallHeader{CallID: fmt.Sprint(round)})
							if err != nil || string(o.Result) != fmt.Sprint(round) {
								t.Fatalf("round %d of %s: %v, %v", round, hook, o, err)
							}
						}
					}
					time.Sleep(12 * time.Second)
				}
				for key := range 5 { // ids from before many evictions
					o, err := client.Call(t.Context(), actor.Address{Type: "tally", Key: fmt.Sprint(key)}, "add", []byte(`{"n":1}`), actor.CallHeader{CallID: "1"})
					if err != nil || string(o.Result) != "1" {
						t.Errorf("the first call repeated: %v, %v", o, err)
					}
				}
				logs, _ := harness.Logs(t, n.Conn())
				harness.CheckLogs(t, logs)
				for subject, records := range logs {
					if len(records) != 40 {
						t.Errorf("%s has %d records for 40 calls", subject, len(records))
					}
				}
			})
		})
	}
}

// TestToken resumes by token over evictions and restarts, and shows what holding a token means.
func TestToken(t *testing.T) {
	natstest.InBubble(t, func(t *testing.T) {
		n := run(t, func(c *perdure.Config) { c.Idle = time.Second }, objects.Diary, objects.Counter)
		say := func(token, sender string, i int) error {
			return actor.Resume(t.Context(), n.Client(), token, objects.Entry{Sender: sender, N: i})
		}
		if err := say("diary:a", "x", 1); err == nil {
			t.Error("a token that nobody holds yet was resumed")
		}
		if _, err := objects.Show.Call(t.Context(), n.Client(), objects.Diary.At("a"), actor.None{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		for i := range 6 {
			if err := say("diary:a", "x", i+1); err != nil {
				t.Errorf("resume %d by token: %v", i+1, err)
			}
			if err := say("diary:a:say", "y", i+1); err != nil {
				t.Errorf("resume %d by default token: %v", i+1, err)
			}
			if i == 3 {
				n.Again(objects.Diary, objects.Counter)
			}
			time.Sleep(15 * time.Second)
		}
		got, err := objects.Show.Call(t.Context(), n.Client(), objects.Diary.At("a"), actor.None{})
		if err != nil || len(got.Wrong) > 0 || got.Last["x"] != 6 || got.Last["y"] != 6 {
			t.Errorf("got %+v, %v", got, err)
		}
	})
}
