// Package actor is the programming model of durable objects and the engine that executes them.
//
// # Model
//
// An object has a type and a key; its life is a run. It is written as a run function that awaits hooks and runs steps
// ([NewWorkflow]), or as a struct with methods ([NewObject]). Everything that happens to it is an event in its event
// log, from which it is rebuilt: see [Record] and [Event]. A turn takes what has arrived, runs user code on it and
// commits one record; only then is anything let out. Inside, an [Host] executes the objects of the partitions that its
// node owns; everything that can be lost, late or doubled enters and leaves through a port ([EventLog], [Inbox],
// [Timers], [Tokens], [Outlet]).
//
// # Guarantees
//
//   - G1 One writer: no record is appended by a node whose view of the run's log is stale.
//   - G2 Nothing that run code or methods do is visible before it is durable.
//   - G3 Accepted means applied: a call that was acknowledged is applied exactly once, in its sender's order, or gets
//     a definite outcome.
//   - G4 Exactly once for state and timers; at least once for step bodies, and only until their result is recorded.
//   - G5 Same call id, same outcome, executed once.
//   - G6 Replay that does not match its log parks the run with a [ReplayError]. Nothing is lost; fixed code resumes it.
//   - G9 Bounded: queues, memory, effects, ids and retries have limits; at a limit a call is refused with
//     [ErrLimit] and a send becomes a [DeadLetter].
//
// # Concurrency
//
// One worker goroutine at a time works on a run, and exists only while the run has something to do. Resident run code
// has a goroutine of its own, which runs only while the worker waits for it. Step bodies run in goroutines of their
// own. All of them belong to the Host, whose Close waits for them.
//
// # Failure
//
// After an append whose outcome is a conflict, what is in memory is discarded and rebuilt from the log. An append whose
// outcome is unknown is looked up in the log before anything else happens, and repeated byte for byte.
package actor
