package actor

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perdure/perdure/internal/bubble"
)

// TestTrust_Clock: a process that was paused has a lease that has run out and was last said to be trusted.
func TestTrust_Clock(t *testing.T) {
	bubble.Run(t, func(t *testing.T) {
		var holds atomic.Bool
		var tr trust
		tr.init(holds.Load)
		tr.set(true)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := tr.wait(ctx); err == nil {
			t.Error("work starts under a lease that has run out")
		}
		started := make(chan error)
		go func() { _, err := tr.wait(t.Context()); started <- err }()
		synctest.Wait()
		select {
		case err := <-started:
			t.Errorf("work starts under a lease that has run out: %v", err)
		default:
		}
		holds.Store(true) // renewed
		if err := <-started; err != nil {
			t.Error(err)
		}
	})
}

// TestTrust_Gone: what comes too late to do its work does not begin it, however trusted the lease is.
func TestTrust_Gone(t *testing.T) {
	var tr trust
	tr.init(func() bool { return true })
	tr.set(true)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := tr.wait(ctx); err == nil {
		t.Error("work starts for a partition that was given away")
	}
}

func TestCallHeader_forwarded(t *testing.T) {
	for _, tc := range []struct {
		id, token string
		want      bool
	}{
		{"", "", false},
		{"a", "", false},
		{"~token-3", "", false},
		{"~send-3", "", false},
		{"a", "t", true},
		{"~token-3", "t", true},
		{"~send-3", "t", false},
		{"~", "t", false},
	} {
		h := CallHeader{CallID: tc.id, Token: tc.token}
		if got := h.forwarded(); got != tc.want {
			t.Errorf("id %q, token %q: got %v", tc.id, tc.token, got)
		}
	}
}
