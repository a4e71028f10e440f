package jetstream

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go"
	js "github.com/nats-io/nats.go/jetstream"
)

// LeasesOn returns the node leases, reached over a connection of their own: a renewal must not queue behind
// anything else.
func (s *Store) LeasesOn(ctx context.Context, nc *nats.Conn) (*Leases, error) {
	j, err := js.New(nc)
	if err != nil {
		return nil, fmt.Errorf("use JetStream for leases: %w", err)
	}
	kv, err := j.KeyValue(ctx, s.leases.Bucket())
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", s.leases.Bucket(), err)
	}
	return NewLeases(kv, nc, func(ctx context.Context) error {
		_, err := s.bucket(ctx, s.leasesConfig())
		return err
	}), nil
}

// PartitionRecords returns the partitions' ownership records.
func (s *Store) PartitionRecords() *Partitions { return NewPartitions(s.partitions, s.nc) }

// LogStream returns the number of the stream that holds the event logs of a partition.
func (s *Store) LogStream(partition int) int { return s.logStream(partition) }

// MaxPayload is the largest payload, result or chunk that fits into the server's messages, in bytes.
func (s *Store) MaxPayload() int { return s.maxBody() }
