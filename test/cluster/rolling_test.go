package cluster

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// rollingP99 is in which 99 of 100 calls are answered while all nodes are restarted one after another.
const rollingP99 = 500 * time.Millisecond

// TestRolling restarts all nodes one after another by SIGTERM, under load: no call fails.
func TestRolling(t *testing.T) {
	both(t, inFull, func(t *testing.T, f form) {
		seed := seed(t)
		top := beginUnhurried(t, f, 3)
		load := top.drive(seed, loadConfig{callers: 16, objects: 1000, hot: 16, employers: 4, think: 5 * time.Millisecond})
		load.goOn(time.Second)
		load.strict.Store(true)
		began := time.Now()
		for range length(t, "N", 1, 3) {
			for _, m := range top.nodes {
				load.goOn(time.Second)
				m.terminate()
				m.start()
				m.proc.AwaitUp(t, upWithin)
				top.awaitShared()
			}
		}
		ended := time.Now()
		load.calm(2 * time.Second)
		took := durations(load.between(span{began, ended}))
		t.Logf("all nodes restarted in %s: %s", ended.Sub(began).Round(time.Millisecond), summary(took))
		if p99 := quantile(took, 99); full() && f == external && p99 > rollingP99 {
			t.Errorf("p99 is %s, more than %s", p99, rollingP99)
		}
		load.end()
		load.check()
	})
}

func durations(calls []timed) []time.Duration {
	ds := make([]time.Duration, len(calls))
	for i, c := range calls {
		ds[i] = c.took
	}
	slices.Sort(ds)
	return ds
}

// quantile returns the duration that so many of 100 do not exceed; ds are sorted.
func quantile(ds []time.Duration, of100 int) time.Duration {
	if len(ds) == 0 {
		return 0
	}
	return ds[min(len(ds)*of100/100, len(ds)-1)]
}

func summary(ds []time.Duration) string {
	return fmt.Sprintf("%d calls, p50 %s, p99 %s, max %s", len(ds), quantile(ds, 50).Round(10*time.Microsecond),
		quantile(ds, 99).Round(10*time.Microsecond), quantile(ds, 100).Round(time.Millisecond))
}
