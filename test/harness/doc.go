// Package harness is what the black-box suites share: nodes as processes that can be killed and as part of the test,
// a register of what was acknowledged, and a reader of the event logs that knows what must hold in every log.
//
// Nothing in it looks inside the engine: it sees what any NATS client sees.
package harness
