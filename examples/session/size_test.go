package session_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/examples/session"
)

// largest is the largest payload of a call.
const largest = 8<<20 - 64<<10

// TestSession_Large: the largest message that a call can have is refused, an answer that is too large fails, and the
// session goes on.
func TestSession_Large(t *testing.T) {
	for name, x := range map[string]struct {
		unit        string
		size, limit int // of a message; limit 0: the usual one
	}{
		"the largest":                   {`\u0001`, largest, 0},
		"with an answer that is larger": {"x", 1 << 20, 1 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			c := node(t, t.TempDir(), session.Config{Message: x.limit}).Client()
			tell(t, c, "ann", "count to 3")
			before := said(history(t, c, "ann"))
			const head, tail = `{"role":"user","content":"`, `"}`
			room := x.size - len(head) - len(tail)
			payload := head + strings.Repeat(x.unit, room/len(x.unit)) + strings.Repeat("x", room%len(x.unit)) + tail
			_, err := c.Call(t.Context(), session.At("ann"), "message", []byte(payload), actor.CallHeader{Timeout: time.Minute})
			if !errors.Is(err, actor.ErrFailed) {
				t.Errorf("got %.200v, want %v", err, actor.ErrFailed)
			}
			if got := tell(t, c, "ann", "count to 4").Content; got != "1 2 3 4." {
				t.Errorf("afterwards: %.200s", got)
			}
			want := append(before, "user: count to 4", "assistant: 1 2 3 4.")
			if diff := cmp.Diff(said(history(t, c, "ann")), want); diff != "" {
				t.Errorf("history: %.2000s", diff)
			}
			if heard, err := hear(t.Context(), c, "ann", 3); err != nil || heard[1] != "" || heard[2] != "1 2 3 4." {
				t.Errorf("heard %.200q, %v", heard, err)
			}
		})
	}
}
