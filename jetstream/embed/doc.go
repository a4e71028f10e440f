// Package embed runs a NATS server with JetStream inside this process. It is the only package that links the
// server, so that programs that are only clients do not.
//
// # Model
//
// [Start] takes a store directory, locks it, and runs a server on it until [Server.Stop]. Connections from inside
// the process are made with [Server.Options], or with [Server.ReplyOptions] for a connection that can do nothing
// but reply. Clients outside need no credentials.
//
// # Guarantees
//
//   - G1: one process a store. The lock ends with the process, however it ends.
//   - G2: nothing is created when the configuration is bad or the port is in use.
//   - G3: after Stop everything acknowledged is in the store, with sync "interval" too.
//
// # Concurrency
//
// A Server is safe for concurrent use. One goroutine of this package watches its health; Stop waits for it.
//
// # Failure
//
// A stream that cannot be written, on a full disk for instance, stays frozen until the server is started again:
// [Server.Failed] tells.
package embed
