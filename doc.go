// Package perdure runs durable objects on NATS JetStream: long-lived, stateful actors whose state outlives every
// process.
//
// A program that is a node is one line, [Main]; one that wants to embed a node starts it with [Start]. Callers need
// only [NewClient], on the NATS connection that they have. Objects are defined with package actor.
//
// # Model
//
// A node joins an installation: the streams and buckets of one prefix on one NATS system, by default a server that it
// embeds. It holds a lease, claims partitions, and executes their objects.
//
// # Guarantees
//
// Those of package actor, by the rules of package router, on the streams of package jetstream.
//
// # Failure
//
// A node that loses its servers waits for them. One that cannot go on, such as after a write error of its own store,
// ends with an error that says why: start it again once the cause is gone; nothing acknowledged is lost.
package perdure
