package actor

import (
	"context"
	"testing"
	"time"

	"github.com/perdure/perdure/internal/bubble"
)

// TestHost_releaseAwaitsBodies: a partition is given away when the step bodies that heed their context have returned, and
// is not kept by those that do not.
func TestHost_releaseAwaitsBodies(t *testing.T) {
	for _, c := range []struct {
		name  string
		lasts time.Duration // how long the body takes after its context ended
		want  time.Duration
	}{
		{"heeds its context", 300 * time.Millisecond, 300 * time.Millisecond},
		{"does not", 3 * time.Second, releaseGrace},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble.Run(t, func(t *testing.T) {
				w := newWorld(t)
				began := make(chan struct{})
				slow := NewStep("slow", func(ctx context.Context, _ None) (None, error) {
					close(began)
					<-ctx.Done()
					<-time.After(c.lasts)
					return None{}, ctx.Err()
				})
				action := NewHook[None, None]("action")
				def := NewWorkflow("flow", func(ctx Context, _ None) (None, error) {
					_, err := action.Create(ctx).Await(ctx)
					if err != nil {
						return None{}, err
					}
					return slow.Run(ctx, None{})
				}, action)
				h := w.host("a", nil, def)
				w.own(h, 1, Checkpoint{})
				ask(h, def.At("k"), "action", "", "")
				<-began
				time.Sleep(time.Second) // it outlasts its turn
				asked := time.Now()
				finished, err := h.Release(t.Context(), []int{0})
				if _, ok := finished[0]; !ok || err != nil {
					t.Errorf("not released: %v, %v", finished, err)
				}
				if took := time.Since(asked); took != c.want {
					t.Errorf("released after %s, want %s", took, c.want)
				}
			})
		})
	}
}
