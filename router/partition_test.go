package router

import (
	"testing"

	"github.com/perdure/perdure/actor"
)

// The numbers are fixed for ever: they say where stored objects are.
func TestPartition(t *testing.T) {
	for _, tc := range []struct {
		addr actor.Address
		want int
	}{
		{actor.Address{Type: "counter", Key: "alice"}, 5},
		{actor.Address{Type: "c", Key: "ounteralice"}, 5},
		{actor.Address{Type: "tally", Key: "a.b/c d"}, 3},
	} {
		if got := Partition(tc.addr, 64); got != tc.want {
			t.Errorf("%s: got %d, want %d", tc.addr, got, tc.want)
		}
	}
	if got := Partition(actor.Address{Type: "t", Key: "k"}, 1); got != 0 {
		t.Errorf("one partition: got %d", got)
	}
}
