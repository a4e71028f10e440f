package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	js "github.com/nats-io/nats.go/jetstream"
)

// storeFormat is the format of the whole store that this code writes, and the newest that it opens.
const storeFormat = 1

const metaKey = "store"

// meta is what was fixed when the store was made: the value of the key "store" of the bucket META.
type meta struct {
	Format     int `json:"format"`
	Partitions int `json:"partitions"`
	LogStreams int `json:"log_streams"`
	// Created is set when all streams and buckets were there for the first time.
	Created time.Time `json:"created,omitzero"`
}

// logStream gives each stream a range of partitions.
func (m meta) logStream(partition int) int { return partition * m.LogStreams / m.Partitions }

func parseMeta(value []byte) (meta, error) {
	var m meta
	if err := json.Unmarshal(value, &m); err != nil {
		return meta{}, fmt.Errorf("%w: decode: %w", ErrIncompatible, err)
	}
	switch {
	case m.Format > storeFormat:
		return meta{}, fmt.Errorf("%w: format %d is newer than %d: upgrade this program", ErrNewerFormat, m.Format, storeFormat)
	case m.Format < 1, m.Partitions < 1, m.Partitions > maxPartitions, m.LogStreams < 1, m.LogStreams > min(maxLogStreams, m.Partitions):
		return meta{}, fmt.Errorf("%w: %s says nothing of use", ErrIncompatible, value)
	}
	return m, nil
}

// agrees reports whether cfg asks for what the store has.
func (m meta) agrees(cfg Config) error {
	if cfg.Partitions != 0 && cfg.Partitions != m.Partitions {
		return fmt.Errorf("%w: it was made with %d partitions, not %d: they cannot be changed", ErrIncompatible, m.Partitions, cfg.Partitions)
	}
	if cfg.LogStreams != 0 && cfg.LogStreams != m.LogStreams {
		return fmt.Errorf("%w: it was made with %d log streams, not %d: they cannot be changed", ErrIncompatible, m.LogStreams, cfg.LogStreams)
	}
	return nil
}

// newMeta is what cfg asks of a new store.
func newMeta(cfg Config) (meta, error) {
	m := meta{Format: storeFormat, Partitions: cfg.Partitions, LogStreams: cfg.LogStreams}
	if m.Partitions == 0 {
		m.Partitions = DefaultPartitions
	}
	if m.LogStreams == 0 {
		m.LogStreams = min(DefaultLogStreams, m.Partitions)
	}
	if m.LogStreams > m.Partitions {
		return meta{}, fmt.Errorf("log streams: %d is more than the %d partitions", m.LogStreams, m.Partitions)
	}
	return m, nil
}

// provisionMeta settles the numbers of the store: what it says, or cfg for whoever comes first.
func (s *Store) provisionMeta(ctx context.Context) error {
	bucket, err := s.bucket(ctx, js.KeyValueConfig{Bucket: s.names.MetaBucket(), Storage: js.FileStorage})
	if err != nil {
		return err
	}
	s.metaBucket = bucket
	entry, err := lookUp(ctx, s, func(ctx context.Context) (js.KeyValueEntry, error) { return bucket.Get(ctx, metaKey) })
	if errors.Is(err, js.ErrKeyNotFound) {
		return s.createMeta(ctx)
	}
	if err != nil {
		return fmt.Errorf("read bucket %s: %w", s.names.MetaBucket(), err)
	}
	m, err := parseMeta(entry.Value())
	if err == nil {
		err = m.agrees(s.cfg)
	}
	if err != nil {
		return fmt.Errorf("open store (bucket %s): %w", s.names.MetaBucket(), err)
	}
	s.meta = m
	return nil
}

// createMeta is repeated, as an error that is not permanent, when another node came first.
func (s *Store) createMeta(ctx context.Context) error {
	// A store that is being made has META first. What is older than META lost it.
	if _, err := s.lookUpStream(ctx, "KV_"+s.names.PartitionsBucket()); err == nil {
		if time.Now().Before(s.lostAfter) {
			return errNoMeta // META may still be recovering
		}
		return fmt.Errorf("%w: bucket %s is missing or empty, although there is a bucket %s: restore it from a backup",
			ErrIncompatible, s.names.MetaBucket(), s.names.PartitionsBucket())
	} else if !errors.Is(err, js.ErrStreamNotFound) {
		return fmt.Errorf("look up bucket %s: %w", s.names.PartitionsBucket(), err)
	}
	m, err := newMeta(s.cfg)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrIncompatible, err)
	}
	value, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode meta: %w", err)
	}
	if _, err := s.metaBucket.Create(ctx, metaKey, value); err != nil {
		return fmt.Errorf("write bucket %s: %w", s.names.MetaBucket(), againIfExists(err))
	}
	s.meta = m
	return nil
}

var errNoMeta = errors.New("the numbers of the store are not there yet")

// errExists hides the server's code for a lost race, so that the step is repeated.
var errExists = errors.New("another node came first")

func againIfExists(err error) error {
	if errors.Is(err, js.ErrKeyExists) || isCode(err, js.JSErrCodeStreamWrongLastSequence, js.JSErrCodeStreamWrongLastSequenceConstant) {
		return errExists
	}
	return err
}

// completeMeta notes that everything is there: from now on a missing stream is a loss.
func (s *Store) completeMeta(ctx context.Context) error {
	if !s.meta.Created.IsZero() {
		return nil
	}
	entry, err := s.metaBucket.Get(ctx, metaKey)
	if err != nil {
		return fmt.Errorf("read bucket %s: %w", s.names.MetaBucket(), err)
	}
	m, err := parseMeta(entry.Value())
	if err != nil {
		return fmt.Errorf("open store (bucket %s): %w", s.names.MetaBucket(), err)
	}
	if m.Created.IsZero() {
		m.Created = time.Now().UTC()
		value, err := json.Marshal(m)
		if err != nil {
			return fmt.Errorf("encode meta: %w", err)
		}
		if _, err := s.metaBucket.Update(ctx, metaKey, value, entry.Revision()); err != nil {
			return fmt.Errorf("write bucket %s: %w", s.names.MetaBucket(), againIfExists(err))
		}
	}
	s.meta = m
	return nil
}
