package conformance

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/test/harness"
	"github.com/perdure/perdure/test/objects"
)

func TestSend_ThousandBackToBack(t *testing.T) {
	n := harness.Run(t, harness.Config(t), objects.Counter, objects.Tallies)
	nc := n.Dial()
	js := jetStream(t, nc)
	for range 1000 { // published, not requested: as fast as a client can
		if _, err := js.PublishAsync("hook.counter.alice.action", []byte(`{"type":"increment"}`)); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-js.PublishAsyncComplete():
	case <-time.After(time.Minute):
		t.Fatal("the inbox does not acknowledge 1,000 sends in a minute")
	}
	harness.Eventually(t, time.Minute, func() string {
		if r := harness.Ask(t, nc, "call.counter.alice.action", []byte(`{"type":"get"}`)); string(r.Data) != "1000" {
			return "the counter is at " + string(r.Data)
		}
		return ""
	})
}

func TestCall_ThousandFromSixteen(t *testing.T) {
	n := harness.Run(t, harness.Config(t), objects.Counter, objects.Tallies)
	for _, typ := range []string{"counter", "tally"} {
		t.Run(typ, func(t *testing.T) {
			var wg sync.WaitGroup
			var mu sync.Mutex
			seen := map[int]uint64{}
			for range 16 {
				client := perdure.NewClient(n.Dial())
				wg.Go(func() {
					for range 1000 / 16 {
						sum, seq := add(t, client, actor.Address{Type: typ, Key: "hot"}, 1)
						mu.Lock()
						if _, double := seen[sum]; double {
							t.Errorf("two calls were answered %d", sum)
						}
						seen[sum] = seq
						mu.Unlock()
					}
				})
			}
			wg.Wait()
			want := 1000 / 16 * 16
			for sum := 1; sum <= want; sum++ {
				if seen[sum] == 0 {
					t.Fatalf("no call was answered %d", sum)
				}
				if seen[sum] < seen[sum-1] {
					t.Errorf("%d is in record %d, %d in record %d", sum, seen[sum], sum-1, seen[sum-1])
				}
			}
			logs, _ := harness.Logs(t, n.Dial())
			harness.CheckLogs(t, logs)
		})
	}
}

func add(t *testing.T, client *perdure.Client, addr actor.Address, amount int) (int, uint64) {
	t.Helper()
	hook, payload := "add", fmt.Sprintf(`{"n":%d}`, amount)
	if addr.Type == "counter" {
		hook, payload = "action", fmt.Sprintf(`{"type":"increment","amount":%d}`, amount)
	}
	o, err := client.Call(t.Context(), addr, hook, []byte(payload), actor.CallHeader{})
	if err != nil {
		t.Errorf("add to %s: %v", addr, err)
		return 0, 0
	}
	sum, err := strconv.Atoi(string(o.Result))
	if err != nil {
		t.Errorf("add to %s: %v", addr, err)
	}
	return sum, o.Seq
}

// TestSend_Order has senders that publish without waiting, by name and by token; each one's order must hold.
func TestSend_Order(t *testing.T) {
	n := harness.Run(t, harness.Config(t), objects.Ledgers, objects.Diary)
	const senders, each = 4, 200
	for _, tc := range []struct {
		name, subject string
		show          func(t *testing.T) objects.Ledger
	}{
		{"object", "hook.ledger.a.append", func(t *testing.T) objects.Ledger { return ledger(t, n, "call.ledger.a.$state") }},
		{"run function", "hook.diary.a.say", func(t *testing.T) objects.Ledger { return ledger(t, n, "call.diary.a.show") }},
		{"token", "hook.$token.diary:b.$resume", func(t *testing.T) objects.Ledger { return ledger(t, n, "call.diary.b.show") }},
		{"default token", "hook.$token.diary:c:say.$resume", func(t *testing.T) objects.Ledger { return ledger(t, n, "call.diary.c.show") }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.name == "token" {
				ledger(t, n, "call.diary.b.show") // it starts and takes its token
				harness.Eventually(t, time.Minute, func() string {
					r, err := harness.TryAsk(
						t.Context(), n.Conn(), "call.$token.diary:b.$resume", []byte(`{"sender":"x","n":1}`), 10*time.Second, "Perdure-Call-Id", "first",
					)
					return fmt.Sprint(map[bool]string{true: "", false: fmt.Sprint(r.Code, err)}[err == nil && r.Code == 0])
				})
			}
			var wg sync.WaitGroup
			for s := range senders {
				js := jetStream(t, n.Dial())
				wg.Go(func() {
					for i := range each {
						payload, _ := json.Marshal(objects.Entry{Sender: strconv.Itoa(s), N: i + 1})
						if _, err := js.PublishAsync(tc.subject, payload); err != nil {
							t.Error(err)
						}
					}
					<-js.PublishAsyncComplete()
				})
			}
			wg.Wait()
			harness.Eventually(t, 20*time.Second, func() string {
				l := tc.show(t)
				if len(l.Wrong) > 0 {
					t.Fatalf("out of order %d times: %s", len(l.Wrong), strings.Join(l.Wrong[:min(5, len(l.Wrong))], "; "))
				}
				for s := range senders {
					if got := l.Last[strconv.Itoa(s)]; got != each {
						return fmt.Sprintf("sender %d is at %d", s, got)
					}
				}
				return ""
			})
		})
	}
}

func ledger(t *testing.T, n *harness.Node, subject string) (l objects.Ledger) {
	t.Helper()
	r := harness.Ask(t, n.Conn(), subject, nil)
	if err := json.Unmarshal(r.Data, &l); err != nil {
		t.Fatalf("%s: %s: %v", subject, r.Data, err)
	}
	return l
}

// TestSend_BeforeStart sends before there is a node at all, and to runs that wait for their input.
func TestSend_BeforeStart(t *testing.T) {
	n := harness.Run(t, harness.Config(t), objects.Counter, objects.Sum)
	nc := n.Dial()
	for range 10 {
		harness.AskStored(t, nc, "hook.counter.early.action", []byte(`{"type":"increment"}`))
		harness.AskStored(t, nc, "hook.sum.early.add", []byte(`{"n":2}`))
	}
	if r := harness.Ask(t, nc, "call.counter.early.action", []byte(`{"type":"get"}`), "Perdure-After", "20"); string(r.Data) != "10" {
		t.Errorf("counter: got %s, want 10", r.Data)
	}
	if r := harness.Ask(t, nc, "call.sum.early.add", []byte(`{"n":1}`)); r.Code != 404 {
		t.Errorf("call before $start: got code %d, want 404", r.Code)
	}
	describes(t, nc, "sum/early", "pending")
	n.Again(objects.Counter, objects.Sum)
	nc = n.Dial()
	describes(t, nc, "sum/early", "pending")
	if r := harness.Ask(t, nc, "call.sum.early.$start", []byte(`{"from":100}`)); r.Code != 0 {
		t.Fatalf("$start: %v", r.Err)
	}
	if r := harness.Ask(t, nc, "call.sum.early.add", []byte(`{"n":1}`)); string(r.Data) != "121" {
		t.Errorf("sum: got %s, want 121", r.Data)
	}
	if r := harness.Ask(t, nc, "call.sum.early.$start", []byte(`{"from":100}`)); r.Code != 0 {
		t.Errorf("$start again with the same input: %v", r.Err)
	}
	if r := harness.Ask(t, nc, "call.sum.early.$start", []byte(`{"from":1}`)); r.Code != 409 {
		t.Errorf("$start again with another input: got code %d, want 409", r.Code)
	}
}
