//go:build race

package harness

// RaceDetector is whether the tests have one. The programs that they start have none.
const RaceDetector = true
