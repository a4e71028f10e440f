package jetstream

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/router"
)

// fetcher reads single messages from the leaders of streams. Error: errNoMessage.
type fetcher interface {
	get(ctx context.Context, stream string, req getRequest) (*stored, error)
}

// logReader reads records one by one, with their parts: for nodes over the store's connection, for clients over theirs.
type logReader struct {
	fetcher
	names Names
	meta  meta
}

var _ actor.RecordLog = logReader{}

func (l logReader) place(addr actor.Address) (stream, subject string, partition int) {
	p := router.Partition(addr, l.meta.Partitions)
	return l.names.LogStream(l.meta.logStream(p)), l.names.Log(p, addr), p
}

// Last implements [actor.RecordLog].
func (l logReader) Last(ctx context.Context, addr actor.Address) (*actor.Entry, error) {
	stream, subject, _ := l.place(addr)
	m, err := l.get(ctx, stream, getRequest{LastFor: subject})
	if err != nil {
		return nil, fmt.Errorf("read last record of %s: %w", addr, noRecord(err))
	}
	return l.entry(ctx, addr, m)
}

// Read implements [actor.RecordLog].
func (l logReader) Read(ctx context.Context, addr actor.Address, seq uint64) (*actor.Entry, error) {
	if seq == 0 {
		return nil, fmt.Errorf("read record 0 of %s: %w", addr, actor.ErrNoRecord)
	}
	stream, subject, _ := l.place(addr)
	m, err := l.get(ctx, stream, getRequest{Seq: seq})
	if err == nil && m.Subject != subject {
		err = errNoMessage
	}
	if err != nil {
		return nil, fmt.Errorf("read log of %s at seq %d: %w", addr, seq, noRecord(err))
	}
	return l.entry(ctx, addr, m)
}

func noRecord(err error) error {
	if errors.Is(err, errNoMessage) {
		return actor.ErrNoRecord
	}
	return err
}

// entry reads a message of an object's subject, with its parts where it is split.
func (l logReader) entry(ctx context.Context, addr actor.Address, m *stored) (*actor.Entry, error) {
	e := parseEntry(addr, m)
	if e.Foreign || m.Header.Get(HeaderBlobs) == "" {
		return e, nil
	}
	body, err := l.join(ctx, addr, m.Data)
	switch {
	case errors.Is(err, errNotSplit):
		return foreign(addr, m), nil
	case err != nil:
		return nil, fmt.Errorf("read log of %s at seq %d: %w", addr, m.Seq, err)
	}
	e.Body = body
	return e, nil
}

// join reads the parts that a manifest names and checks that they are the body.
func (l logReader) join(ctx context.Context, addr actor.Address, body []byte) ([]byte, error) {
	m, err := parseManifest(body)
	if err != nil {
		return nil, err
	}
	var (
		whole   bytes.Buffer
		subject = l.names.Blob(router.Partition(addr, l.meta.Partitions), addr, m.Parts)
	)
	for i, seq := range m.Blobs {
		part, err := l.get(ctx, l.names.BlobsStream(), getRequest{Seq: seq})
		if err == nil && part.Subject != subject {
			err = errNoMessage
		}
		if err != nil {
			return nil, fmt.Errorf("read part %d (seq %d of %s): %w", i, seq, l.names.BlobsStream(), err)
		}
		if whole.Len()+len(part.Data) > m.Size {
			return nil, fmt.Errorf("parts are larger than %d bytes", m.Size)
		}
		if i == 0 {
			whole.Grow(m.Size)
		}
		whole.Write(part.Data)
	}
	if sum := sha256.Sum256(whole.Bytes()); whole.Len() != m.Size || hex.EncodeToString(sum[:]) != m.SHA256 {
		return nil, fmt.Errorf("parts are not what was written: %d bytes with hash %x", whole.Len(), sum)
	}
	return whole.Bytes(), nil
}
