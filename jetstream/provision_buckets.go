package jetstream

import (
	"context"
	"errors"
	"fmt"

	js "github.com/nats-io/nats.go/jetstream"
)

func (s *Store) provisionBuckets(ctx context.Context) (err error) {
	n := s.names
	s.leases, err = s.bucket(ctx, s.leasesConfig())
	if err != nil {
		return err
	}
	s.partitions, err = s.bucket(ctx, js.KeyValueConfig{Bucket: n.PartitionsBucket(), Description: "partition claims", Storage: js.FileStorage})
	if err != nil {
		return err
	}
	s.tokens, err = s.bucket(ctx, js.KeyValueConfig{Bucket: n.TokensBucket(), Description: "hook tokens", Storage: js.FileStorage})
	return err
}

// leasesKept is for how many of its TTLs a lease stays in the bucket without renewal: longer than servers take to elect a
// leader, because who could not renew meanwhile is not dead. Who is dead, nodes decide by themselves.
const leasesKept = 4

// leasesConfig is in memory, on disk where it is replicated: a replica in memory is empty after a restart and has no say in
// elections until a leader has filled it, so that of three servers two could not keep leases once one of them had been
// restarted.
func (s *Store) leasesConfig() js.KeyValueConfig {
	storage := js.MemoryStorage
	if s.cfg.Replicas > 1 {
		storage = js.FileStorage
	}
	kept := leasesKept * s.cfg.LeaseTTL
	return js.KeyValueConfig{
		Bucket: s.names.LeasesBucket(), Description: "node leases", Storage: storage,
		TTL: kept, LimitMarkerTTL: kept, // without markers a watch gets no event on expiry
	}
}

// bucket opens a bucket and verifies it, or makes it. One with a shorter TTL is given the one asked for. It is never
// made shorter: another node's lease may be renewed less often, and each lease says itself when it is over.
func (s *Store) bucket(ctx context.Context, want js.KeyValueConfig) (js.KeyValue, error) {
	want.Replicas, want.History = s.cfg.Replicas, 1
	kv, err := lookUp(ctx, s, func(ctx context.Context) (js.KeyValue, error) { return s.js.KeyValue(ctx, want.Bucket) })
	switch {
	case errors.Is(err, js.ErrBucketNotFound) && want.Bucket != s.names.LeasesBucket() && !s.meta.Created.IsZero():
		return nil, s.lost("bucket", want.Bucket, err)
	case errors.Is(err, js.ErrBucketNotFound):
		kv, err = s.js.CreateKeyValue(ctx, want)
		switch {
		case errors.Is(err, js.ErrBucketExists):
			return nil, errExists
		case err != nil:
			return nil, fmt.Errorf("create bucket %s: %w", want.Bucket, err)
		}
		return kv, nil
	case err != nil:
		return nil, fmt.Errorf("look up bucket %s: %w", want.Bucket, err)
	}
	status, err := lookUp(ctx, s, kv.Status)
	if err != nil {
		return nil, fmt.Errorf("look up bucket %s: %w", want.Bucket, err)
	}
	have := status.Config()
	if want.Bucket == s.names.LeasesBucket() {
		want.Storage = have.Storage // it may have been made by an earlier version, or with another number of replicas
	}
	if have.Storage != want.Storage || have.Mirror != nil || len(have.Sources) > 0 {
		return nil, fmt.Errorf("%w: bucket %s is somebody else's or was changed: its storage is %v, want %v; %s",
			ErrIncompatible, want.Bucket, have.Storage, want.Storage, s.names.otherPrefix())
	}
	if want.TTL > 0 {
		want.TTL, want.LimitMarkerTTL = max(have.TTL, want.TTL), max(have.LimitMarkerTTL, want.LimitMarkerTTL)
	}
	if have.TTL != want.TTL || have.LimitMarkerTTL != want.LimitMarkerTTL {
		have.TTL, have.LimitMarkerTTL = want.TTL, want.LimitMarkerTTL
		if kv, err = s.js.UpdateKeyValue(ctx, have); err != nil {
			return nil, fmt.Errorf("set the TTL of bucket %s to %v: %w", want.Bucket, want.TTL, err)
		}
	}
	return kv, nil
}
