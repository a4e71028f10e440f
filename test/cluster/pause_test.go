package cluster

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/perdure/perdure/test/harness"
)

// TestPause stops a node that owns partitions for longer than its lease, under load, and lets it go on: it drops what
// it had, what it does then changes nothing, and it takes part again by itself.
func TestPause(t *testing.T) {
	both(t, inFull, func(t *testing.T, f form) {
		seed := seed(t)
		pauses := length(t, "N", 2, 50)
		top := begin(t, f, 3)
		load := top.drive(seed, fullLoad)
		r := rand.New(rand.NewPCG(seed, 1<<32))
		for range pauses {
			load.goOn(500 * time.Millisecond)
			victim := top.pick(r)
			mark := victim.proc.Mark()
			wake := victim.stop()
			load.goOn(top.ttl + top.ttl/2 + time.Duration(r.IntN(1000))*time.Millisecond)
			harness.Eventually(t, upWithin, func() string { // where its server led the leases, they wait for an election first
				if n := top.watch.claimed(victim.name); n > 0 {
					return fmt.Sprintf("%s has %d partitions still", victim.name, n)
				}
				return ""
			})
			wake()
			victim.awaitSaid("dropping all partitions", mark, upWithin)
			victim.awaitSaid("lease created", mark, upWithin)
			top.awaitShared()
		}
		t.Logf("%d pauses; partitions by node: %v", pauses, top.watch.owned())
		load.calm(time.Duration(length(t, "CALM", 3, 60)) * time.Second)
		load.end()
		load.check()
	})
}

// pick returns a node that owns partitions.
func (top *topology) pick(r *rand.Rand) *member {
	top.t.Helper()
	owned := map[string]int{}
	for _, node := range top.owners() {
		owned[node]++
	}
	owners := slices.DeleteFunc(slices.Clone(top.nodes), func(m *member) bool { return owned[m.name] == 0 })
	if len(owners) == 0 {
		top.t.Fatal("no node owns a partition")
	}
	return owners[r.IntN(len(owners))]
}
