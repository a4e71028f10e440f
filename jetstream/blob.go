package jetstream

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	js "github.com/nats-io/nats.go/jetstream"

	"github.com/perdure/perdure/actor"
)

// MaxRecord is the size of the largest body of a record.
const MaxRecord = 64 << 20

// manifest is the body of a record whose own body is stored in parts in the stream BLOBS.
type manifest struct {
	V           int               `json:"v"`
	Run         string            `json:"run"`
	Incarnation string            `json:"incarnation"`
	Epoch       uint64            `json:"epoch"`
	Events      []json.RawMessage `json:"events"` // none: they are in the parts
	Blobs       []uint64          `json:"blobs"`  // sequences of the parts, in order
	Size        int               `json:"size"`   // of the body
	SHA256      string            `json:"sha256"` // of the body, hex
}

// errNotSplit: the header says parts, but the body is no manifest.
var errNotSplit = errors.New("not a manifest")

// split stores e's body in parts and returns the manifest that stands for it. When it fails, the record is not written;
// parts that are stored already stay, unreferenced.
func (l *Log) split(ctx context.Context, partition int, e *actor.Entry) (body []byte, parts int, err error) {
	if len(e.Body) > MaxRecord {
		return nil, 0, fmt.Errorf("a record of %d bytes; at most %d are allowed", len(e.Body), MaxRecord)
	}
	var m manifest
	if err := json.Unmarshal(e.Body, &m); err != nil {
		return nil, 0, fmt.Errorf("decode record: %w", err)
	}
	sum := sha256.Sum256(e.Body)
	m.Events, m.Size, m.SHA256, m.Blobs = []json.RawMessage{}, len(e.Body), hex.EncodeToString(sum[:]), nil
	subject := l.store.names.Blob(partition, e.Address)
	for rest := e.Body; len(rest) > 0; {
		n := min(len(rest), l.store.maxBody())
		ack, err := l.store.js.Publish(perRequest(ctx), subject, rest[:n], js.WithExpectStream(l.store.names.BlobsStream()))
		if err != nil {
			return nil, 0, fmt.Errorf("store part %d: %w", len(m.Blobs), err)
		}
		m.Blobs, rest = append(m.Blobs, ack.Sequence), rest[n:]
	}
	if body, err = json.Marshal(m); err != nil {
		return nil, 0, fmt.Errorf("encode manifest: %w", err)
	}
	return body, len(m.Blobs), nil
}

// parseManifest reads the body of a split record.
func parseManifest(body []byte) (manifest, error) {
	var m manifest
	if err := json.Unmarshal(body, &m); err != nil {
		return manifest{}, fmt.Errorf("%w: %w", errNotSplit, err)
	}
	if len(m.Blobs) == 0 || m.Size < len(m.Blobs) || m.Size > MaxRecord || len(m.SHA256) != 2*sha256.Size {
		return manifest{}, errNotSplit
	}
	return m, nil
}

// removeParts removes the parts that a manifest names.
func (l *Log) removeParts(ctx context.Context, body []byte) error {
	m, err := parseManifest(body)
	if err != nil {
		return nil //nolint:nilerr // it has none
	}
	for _, seq := range m.Blobs {
		if err := l.store.remove(ctx, l.store.names.BlobsStream(), seq); err != nil {
			return fmt.Errorf("remove part %d: %w", seq, err)
		}
	}
	return nil
}

// join reads the parts that a manifest names and checks that they are the body.
func (l *Log) join(ctx context.Context, addr actor.Address, body []byte) ([]byte, error) {
	m, err := parseManifest(body)
	if err != nil {
		return nil, err
	}
	var (
		whole   bytes.Buffer
		subject = l.store.names.Blob(l.store.Partition(addr), addr)
	)
	for i, seq := range m.Blobs {
		part, err := l.store.get(ctx, l.store.names.BlobsStream(), getRequest{Seq: seq})
		if err == nil && part.Subject != subject {
			err = errNoMessage
		}
		if err != nil {
			return nil, fmt.Errorf("read part %d (seq %d of %s): %w", i, seq, l.store.names.BlobsStream(), err)
		}
		if whole.Len()+len(part.Data) > m.Size {
			return nil, fmt.Errorf("parts are larger than %d bytes", m.Size)
		}
		whole.Write(part.Data)
	}
	if sum := sha256.Sum256(whole.Bytes()); whole.Len() != m.Size || hex.EncodeToString(sum[:]) != m.SHA256 {
		return nil, fmt.Errorf("parts are not what was written: %d bytes with hash %x", whole.Len(), sum)
	}
	return whole.Bytes(), nil
}
