// Package conformance drives a real node through what callers rely on: nothing accepted is lost or doubled, each
// sender's order holds, repeated calls get their first outcome, and records are counted as the format says.
package conformance
