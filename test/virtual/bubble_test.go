//go:build !race

package virtual

import (
	"testing"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/internal/natstest"
	"github.com/perdure/perdure/test/harness"
)

func TestMain(m *testing.M) {
	natstest.Outside()
	m.Run()
}

// run starts a node without sockets inside a bubble.
func run(t *testing.T, change func(*perdure.Config), defs ...actor.Definition) *harness.Node {
	t.Helper()
	cfg := harness.Config(t)
	cfg.Listen = "none"
	if change != nil {
		change(&cfg)
	}
	return harness.Run(t, cfg, defs...)
}

// late is how much later than due a wait may end.
const late = 300 * time.Millisecond
