// Package router says which node executes an object, and keeps it so while nodes come, pause and die.
//
// # Model
//
// An object belongs to one of P partitions ([Partition]); a node owns whole partitions. Each node keeps one lease,
// which it renews every fifth of its TTL; a session is the life of one lease, from its creation until it is deleted
// or lost. A node claims a partition by a compare-and-set on the partition's [Record]: owner, session, epoch + 1.
// Which of the living nodes a partition belongs to is a matter of their names, of the types that they host, and of
// whether they drain; each works it out by itself. That node claims it when nobody has it, and is given it by who has.
// [Owner] does all of this for one node and tells the [Host] what to run.
//
// # Guarantees
//
//   - R1: An epoch is issued once. Two claims of a partition never get the same one, and later ones are higher.
//   - R2: A node trusts its lease until 0.7 TTL after the moment before its last successful renewal was sent, on its
//     own monotonic clock; nobody takes its partitions before a whole TTL without a renewal has passed on the
//     observer's own monotonic clock. What the bucket expires decides nothing.
//   - R3: A session that was taken for dead stays dead: the observer deletes the lease by compare-and-set before it
//     claims, and a renewal is a compare-and-set too, so one of them loses. A session that lost its lease drops
//     everything and never comes back; its node begins a new one.
//   - R4: A stale owner cannot move a checkpoint: every write is a compare-and-set on the revision of its claim or
//     of its own last checkpoint.
//   - R5: The inbox is trimmed no further than the lowest cursor that is durable in the records of all partitions.
//
// The lease decides who executes. A wrong lease is made harmless by the event log, not here.
//
// # Concurrency
//
// [Owner.Run] blocks; it watches the records as long as it runs, and has for each session a watch of the leases, a renewer
// with up to five requests under way, a guard of trust, and a goroutine for each partition that is being handed over. All of them have ended when it
// returns. The rest of its work is done by the goroutine that called it.
//
// # Failure
//
// While the servers do not answer, the host is paused when trust ends and goes on when a renewal of the same session
// succeeds. Run gives up only where waiting cannot help: [ErrNameTaken], [ErrBadRecord], [*InboxError].
package router
