package harness

import (
	"os"
	"strconv"
	"testing"
)

// Number returns the number in an environment variable, or otherwise.
func Number(tb testing.TB, name string, otherwise int) int {
	tb.Helper()
	v := os.Getenv(name)
	if v == "" {
		return otherwise
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		tb.Fatalf("%s: %v", name, err)
	}
	return n
}
