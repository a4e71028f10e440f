package cluster

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/perdure/perdure/router"
)

// TestTTL measures what the lease's TTL is argued by: how far apart renewals are under full load, and how long a node may
// be paused before it loses what it owns, for several TTLs.
func TestTTL(t *testing.T) {
	if !full() {
		t.Skip("a measurement, FULL=1")
	}
	both(t, inFull, func(t *testing.T, f form) {
		seed := seed(t)
		for _, ttl := range []time.Duration{time.Second, 2 * time.Second, 3 * time.Second, router.DefaultTTL} {
			t.Run(ttl.String(), func(t *testing.T) {
				top := lay(t, f)
				top.ttl = ttl
				for range 3 {
					top.add()
				}
				top.begin()
				load := top.drive(seed, fullLoad)
				r := rand.New(rand.NewPCG(seed, 1<<32))
				from := time.Now()
				load.goOn(20 * time.Second)
				t.Logf("renewals every %s, under load the longest time between two is %s", ttl/5, top.watch.longestSilence(from).Round(time.Millisecond))
				for _, tenths := range []int{2, 4, 6, 8, 10, 12} {
					pause := time.Duration(tenths) * (ttl / 10)
					fate := top.paused(load, r, pause)
					t.Logf("paused for %s, %.1f TTL: %s", pause, float64(tenths)/10, fate)
					if tenths <= 4 && fate == lost {
						t.Errorf("a pause of %s costs a node its partitions", pause)
					}
				}
				load.end()
				load.check()
			})
		}
	})
}

// fate is what a pause did to a node.
type fate string

const (
	unnoticed fate = "nothing"
	waited    fate = "its lease was not trusted for a while, and its partitions stayed"
	lost      fate = "it lost its partitions"
)

// paused stops a node for d.
func (top *topology) paused(load *load, r *rand.Rand, d time.Duration) fate {
	top.t.Helper()
	victim := top.pick(r)
	mark := victim.proc.Mark()
	wake := victim.stop()
	load.goOn(d)
	wake()
	load.goOn(top.ttl + time.Second) // until others would have taken over
	top.awaitShared()
	switch {
	case victim.proc.Said("dropping all partitions", mark):
		return lost
	case victim.proc.Said("trust in the lease changed", mark):
		return waited
	default:
		return unnoticed
	}
}

// longestSilence returns the longest time between two renewals of a session since from.
func (w *watch) longestSilence(from time.Time) (longest time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, times := range w.renewed {
		since, _ := slices.BinarySearchFunc(times, from, time.Time.Compare)
		for i := since + 1; i < len(times); i++ {
			longest = max(longest, times[i].Sub(times[i-1]))
		}
	}
	return longest
}
