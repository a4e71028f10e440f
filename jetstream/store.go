package jetstream

import (
	"time"

	"github.com/nats-io/nats.go"
	js "github.com/nats-io/nats.go/jetstream"

	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/router"
)

// Store is an installation's streams and buckets, verified. Make one with [Provision].
type Store struct {
	nc    *nats.Conn
	js    js.JetStream
	names Names
	cfg   Config
	meta  meta
	reads pulses

	metaBucket, leases, partitions, tokens js.KeyValue
	replicated                             bool          // some log stream has replicas
	within                                 time.Duration // of a look-up while the store is provisioned
	lostAfter                              time.Time     // when a bucket of a complete store is taken for lost
}

// Names makes the store's names and subjects.
func (s *Store) Names() Names { return s.names }

// Partitions is the number of partitions, fixed when the store was made.
func (s *Store) Partitions() int { return s.meta.Partitions }

// LogStreams is the number of streams that hold event logs, fixed when the store was made.
func (s *Store) LogStreams() int { return s.meta.LogStreams }

// Created is when the store was made.
func (s *Store) Created() time.Time { return s.meta.Created }

// staleAnswers is for how long the former leader of a replicated stream may go on answering: until it has heard nothing from
// the others for 10 s, which a server looks at every 10 s.
const staleAnswers = 20 * time.Second

// Stale is for how long a server may answer with what was so before, when it was stopped or cut off from the others.
func (s *Store) Stale() time.Duration {
	if s.replicated {
		return staleAnswers
	}
	return 0
}

// LeaseTTL is after which a node that does not renew its lease is replaced.
func (s *Store) LeaseTTL() time.Duration { return s.cfg.LeaseTTL }

// LeasesBucket holds the node leases.
func (s *Store) LeasesBucket() js.KeyValue { return s.leases }

// PartitionsBucket holds the partition claims.
func (s *Store) PartitionsBucket() js.KeyValue { return s.partitions }

// Partition returns the partition of an object or, with type "$token", of a token.
func (s *Store) Partition(addr actor.Address) int { return router.Partition(addr, s.meta.Partitions) }

// LogStreamOf returns the name of the stream that holds the event logs of a partition.
func (s *Store) LogStreamOf(partition int) string { return s.names.LogStream(s.logStream(partition)) }

func (s *Store) logStream(partition int) int { return s.meta.logStream(partition) }

// maxBody is the largest body of one message; headers have what is left of max_payload.
func (s *Store) maxBody() int { return max(int(s.nc.MaxPayload())-bodyMargin, minBody) }

const (
	bodyMargin = 64 << 10
	// minBody keeps servers with a tiny max_payload usable.
	minBody = 1 << 10
)
