package natstest

import (
	"runtime"
	"testing"

	"github.com/perdure/perdure/internal/bubble"
)

// InBubble runs test in virtual time. nats.go pools its timers, and a timer must not leave its bubble nor enter one:
// the pools are emptied before and after.
func InBubble(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	emptyPools()
	defer emptyPools()
	bubble.Run(t, test)
}

// emptyPools takes two collections: what is in a sync.Pool survives one.
func emptyPools() {
	runtime.GC()
	runtime.GC()
}
