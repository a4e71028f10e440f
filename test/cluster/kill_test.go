package cluster

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestKill kills a random node with SIGKILL every few seconds, under load, and starts it again.
func TestKill(t *testing.T) {
	both(t, always, func(t *testing.T, f form) {
		seed := seed(t)
		forSeconds := length(t, "FOR", 12, 300)
		top := begin(t, f, 3)
		load := top.drive(seed, fullLoad)
		r := rand.New(rand.NewPCG(seed, 1<<32))
		kills := 0
		for began := time.Now(); time.Since(began) < time.Duration(forSeconds)*time.Second; kills++ {
			load.goOn(time.Duration(500+r.IntN(2500)) * time.Millisecond)
			victim := top.nodes[r.IntN(len(top.nodes))]
			victim.kill()
			load.goOn(time.Duration(r.IntN(1500)) * time.Millisecond)
			victim.start()
			if f == embedded || r.IntN(4) > 0 { // else it is perhaps killed while it starts; servers need a majority
				victim.proc.AwaitUp(t, upWithin)
			}
		}
		top.awaitUp()
		top.awaitShared()
		t.Logf("%d kills in %d s; partitions by node: %v", kills, forSeconds, top.watch.owned())
		load.calm(time.Duration(length(t, "CALM", 3, 60)) * time.Second)
		load.end()
		load.check()
	})
}
