package input

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/perdure/perdure/test/harness"
	"github.com/perdure/perdure/test/objects"
)

// limit is the largest payload and result: max_payload of the embedded server less 64 KiB. A state has a limit of its own.
const (
	limit      = 8<<20 - 64<<10
	stateLimit = 64 << 20
)

// TestLimit goes to each limit and one byte beyond: 413, nothing written, the object as before.
func TestLimit(t *testing.T) {
	n := harness.Run(t, harness.Config(t), objects.Boxes, objects.Echoes)
	nc := n.Dial()
	ask := func(t *testing.T, hook, payload string, header ...string) harness.Reply { // megabytes take their time under the race detector
		t.Helper()
		var r harness.Reply
		harness.Eventually(t, 3*time.Minute, func() string {
			var err error
			r, err = harness.TryAsk(t.Context(), nc, "call.box.big."+hook, []byte(payload), time.Minute, append(header, "Perdure-Timeout", "1m")...)
			if err != nil {
				t.Fatal(err)
			}
			if r.Code == 503 { // ask again
				return fmt.Sprintf("%s: %d %.200s", hook, r.Code, r.Data)
			}
			return ""
		})
		return r
	}
	fill := func(size int) string { return fmt.Sprintf(`{"bytes":%d}`, size) }
	// {"content":"…"} and "…" around the text
	state, result := stateLimit-len(`{"content":""}`), limit-2
	for _, tc := range []struct {
		name, hook, payload string
		code                int
	}{
		{"payload at its limit", "put", `"` + strings.Repeat("p", limit-2) + `"`, 0},
		{"payload over its limit", "put", `"` + strings.Repeat("p", limit-1) + `"`, 413},
		{"result at its limit", "make", fill(result), 0},
		{"result over its limit", "make", fill(result + 1), 413},
		{"state at its limit", "fill", fill(state), 0},
		{"state over its limit", "fill", fill(state + 1), 413},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := harness.Counts(t, nc)
			r := ask(t, tc.hook, tc.payload)
			if r.Code != tc.code {
				t.Fatalf("got code %d %.200s, want %d", r.Code, r.Data, tc.code)
			}
			if d := cmp.Diff(before, harness.Counts(t, nc)); d != "" && tc.code != 0 {
				t.Errorf("something was written:\n%s", d)
			}
		})
	}
	want := fmt.Sprint(state)
	if r := ask(t, "look", ""); string(r.Data) != want {
		t.Errorf("the box holds %s bytes, want %s", r.Data, want)
	}
	n.Again(objects.Boxes, objects.Echoes)
	nc = n.Dial()
	if r := ask(t, "look", ""); string(r.Data) != want {
		t.Errorf("after a restart: the box holds %d %s bytes, want %s", r.Code, r.Data, want)
	}
	if r := ask(t, "fill", fill(1)); string(r.Data) != "1" {
		t.Errorf("shrink: got %d %s", r.Code, r.Data)
	}
	// A send at the limit is applied, one that the inbox cannot hold is refused there.
	seq := harness.AskStored(t, nc, "hook.box.big.put", []byte(`"`+strings.Repeat("p", limit-2)+`"`))
	if r := ask(t, "look", "", "Perdure-After", fmt.Sprint(seq)); string(r.Data) != "1" {
		t.Errorf("after a send at the limit: got %d %s", r.Code, r.Data)
	}
	harness.AskStored(t, nc, "hook.box.big.put", []byte(`"`+strings.Repeat("p", limit+1000)+`"`))
	harness.Eventually(t, 30*time.Second, func() string {
		if dead := harness.ReadStream(t, nc, "PERDURE_DEAD"); len(dead) != 1 {
			return fmt.Sprintf("%d dead letters for a send over the limit", len(dead))
		}
		return ""
	})
	logs, _ := harness.Logs(t, nc)
	if len(logs) == 0 {
		t.Error("no logs")
	}
}
