package perdure_test

import (
	"slices"
	"testing"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/actor"
)

// TestStartAgain: a reader of a run that began under the key of another has its chunks alone, wherever it begins.
func TestStartAgain(t *testing.T) {
	c := newCounting(10, false)
	n := start(t, perdure.Config{Listen: "none", Store: t.TempDir()}, c)
	client := n.Client()
	for life := range 3 {
		if got, err := c.Execute(t.Context(), client, "a", actor.None{}, actor.StartAgain(actor.AfterEnd)); err != nil || got != 10 {
			t.Fatalf("life %d: %d, %v", life, got, err)
		}
		for _, from := range []int{0, 4, -3} {
			got, err := c.read(t.Context(), client, from)
			want := []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}[(from+10)%10:]
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("life %d from %d: %v, %v, want %v", life, from, got, err, want)
			}
		}
	}
	if _, err := c.Execute(t.Context(), client, "a", actor.None{}, actor.StartAgain(actor.AfterFailure)); err != nil {
		t.Errorf("a start of what completed, with the same input: %v", err)
	}
	if err := actor.Cancel(t.Context(), client, c.At("a"), ""); err == nil {
		t.Error("a completed run is cancelled")
	}
}
