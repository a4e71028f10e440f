package main

import (
	"strings"
	"testing"
)

func TestVersion(t *testing.T) {
	code, stdout, stderr := client(t, "nats://127.0.0.1:1", "", "--version")
	if code != 0 || stderr != "" || !strings.HasPrefix(stdout, "client ") || strings.Count(stdout, "\n") != 1 {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
}
