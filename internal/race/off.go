//go:build !race

// Package race tells whether the race detector watches.
package race

// Enabled is whether this program was built with the race detector. The programs that it starts may not be.
const Enabled = false
