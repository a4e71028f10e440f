package chaos

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/perdure/perdure/internal/natstest"
	"github.com/perdure/perdure/test/harness"
)

// program is a node with a store in dir; every second seed has it sync each append.
func program(t *testing.T, dir string, seed int, args ...string) harness.Program {
	t.Helper()
	return harness.Program{
		Binary: harness.Build(t, "github.com/perdure/perdure/test/node"),
		Store:  filepath.Join(dir, "store"), Listen: fmt.Sprintf("127.0.0.1:%d", natstest.FreePort(t)),
		Args: append([]string{"--sync", []string{"interval", "always"}[seed&1], "--log-level", "warn"}, args...),
	}
}

// soundLogs checks all event logs, and returns them.
func soundLogs(t *testing.T, nc *nats.Conn) map[string][]harness.Logged {
	t.Helper()
	logs, foreign := harness.Logs(t, nc)
	if foreign > 0 {
		t.Errorf("%d messages in the logs are no records", foreign)
	}
	harness.CheckLogs(t, logs)
	return logs
}
