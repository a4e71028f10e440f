package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/perdure/perdure/router"
)

// partitionPrefix begins the keys of partitions' records: partition.<p>.
const partitionPrefix = "partition."

// Partitions is [router.Partitions] in a bucket without TTL.
type Partitions struct {
	kv jetstream.KeyValue
	nc *nats.Conn
}

var _ router.Partitions = (*Partitions)(nil)

// NewPartitions returns the records in a bucket, which nc reaches. They are read from the leader: the bucket answers
// from replicas that may lag, and does not tell the revision of a deleted key.
func NewPartitions(kv jetstream.KeyValue, nc *nats.Conn) *Partitions {
	return &Partitions{kv, nc}
}

// Get implements [router.Partitions].
func (p *Partitions) Get(ctx context.Context, partition int) (router.Record, error) {
	m, err := untilAnswered(ctx, bucketTimeout, always, func(ctx context.Context, _ bool) (*stored, error) {
		return lastOfKey(ctx, p.nc, p.kv.Bucket(), partitionKey(partition))
	})
	switch {
	case errors.Is(err, errNoMessage):
		return router.Record{Partition: partition}, nil
	case err != nil:
		return router.Record{}, bucketError("read record of partition "+strconv.Itoa(partition), err)
	}
	// A key that was deleted has no value, and so no record.
	r, err := decodeRecord(partition, m.Seq, m.Data)
	if err != nil {
		return r, fmt.Errorf("record of partition %d, revision %d of bucket %s: %w", partition, m.Seq, p.kv.Bucket(), err)
	}
	return r, nil
}

// Put implements [router.Partitions]. A repeated request conflicts with the first while that is being written: then it says
// nothing. It also does when the answer to the first was lost: then the conflict is with what this wrote.
func (p *Partitions) Put(ctx context.Context, r router.Record) (uint64, error) {
	operation := "write record of partition " + strconv.Itoa(r.Partition)
	value, err := json.Marshal(r)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", operation, err)
	}
	return untilAnswered(ctx, bucketTimeout, always, func(ctx context.Context, again bool) (uint64, error) {
		revision, err := p.kv.Update(ctx, partitionKey(r.Partition), value, r.Revision)
		err = bucketError(operation, err)
		if again && errors.Is(err, router.ErrConflict) && p.unchanged(ctx, r) {
			err = errUndecided
		}
		return revision, err
	})
}

// unchanged reports whether a partition's key is still at r.Revision.
func (p *Partitions) unchanged(ctx context.Context, r router.Record) bool {
	m, err := lastOfKey(ctx, p.nc, p.kv.Bucket(), partitionKey(r.Partition))
	if errors.Is(err, errNoMessage) {
		return r.Revision == 0
	}
	return err == nil && m.Seq == r.Revision
}

// Watch implements [router.Partitions].
func (p *Partitions) Watch(ctx context.Context, fn func(router.Record)) error {
	return watchBucket(ctx, p.kv, partitionPrefix+"*", func(e jetstream.KeyValueEntry) {
		partition, err := strconv.Atoi(strings.TrimPrefix(e.Key(), partitionPrefix))
		if err != nil || partitionKey(partition) != e.Key() {
			return
		}
		r, _ := decodeRecord(partition, e.Revision(), e.Value()) // what is not one has nothing but the revision
		fn(r)
	}, func() {})
}

func partitionKey(partition int) string { return partitionPrefix + strconv.Itoa(partition) }

func decodeRecord(partition int, revision uint64, value []byte) (router.Record, error) {
	var r router.Record
	err := json.Unmarshal(value, &r)
	r.Partition, r.Revision = partition, revision
	if err != nil || r.Epoch == 0 || r.Node == "" || r.Session == "" {
		return router.Record{Partition: partition, Revision: revision}, router.ErrBadRecord
	}
	return r, nil
}
