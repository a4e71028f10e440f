// Package jetstream keeps durable objects on NATS JetStream. It is the only package that speaks NATS:
// subjects, headers, streams and buckets are known here and nowhere else.
//
// # Model
//
// [Provision] makes or verifies the streams and buckets of one installation and returns a [Store]. The Store
// makes the adapters of the ports that package actor declares: [Log] is the event log, [Inbox] the queue of
// one-way calls, [Timers] the durable alarms, [Tokens] the hook tokens, [Outputs] the output streams, [Outlet] the way
// out for effects. [Client] is the callers' side, and reads output streams and logs.
// [Names] makes every subject and name; its Parse methods are the only readers of subjects.
//
// # Guarantees
//
//   - G1: an append says the sequence that the object's last message must have, and is sent once. What became
//     of it is one of four: committed, conflict, refused, unknown. In doubt it is unknown.
//   - G2: a record whose parts are not all stored is never stored: parts come first.
//   - G3: Follow misses no message that is stored, gives none twice, and keeps their order, over reconnects and
//     restarts of the server.
//     The same holds for [Client.Chunks], of what has not expired.
//   - G4: nothing that somebody else published to one of our subjects is taken for a record.
//
// # Concurrency
//
// Every type is safe for concurrent use unless its comment says otherwise. Goroutines live inside the calls that
// need them; the package starts none that outlives its call, save the subscriptions of nats.go.
//
// # Failure
//
// Errors name the operation. What actor's ports name as sentinel is matched with errors.Is; other errors mean
// that the operation did not happen, or for writes that it may have, and can be repeated.
package jetstream
