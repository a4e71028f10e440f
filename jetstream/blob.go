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

// MaxRecord is the size of the largest body of a record, in bytes: a state of 64 MiB, or a change of one that is quoted,
// and what stands beside it.
const MaxRecord = 128 << 20

// manifest is the body of a record whose own body is stored in parts in the stream BLOBS.
type manifest struct {
	V           int               `json:"v"`
	Run         string            `json:"run"`
	Incarnation string            `json:"incarnation"`
	Epoch       uint64            `json:"epoch"`
	Events      []json.RawMessage `json:"events"`          // none: they are in the parts
	Blobs       []uint64          `json:"blobs"`           // sequences of the parts, in order
	Size        int               `json:"size"`            // of the body
	SHA256      string            `json:"sha256"`          // of the body, hex
	Parts       string            `json:"parts,omitempty"` // last token of their subject
}

// errNotSplit: the header says parts, but the body is no manifest.
var errNotSplit = errors.New("not a manifest")

// split stores e's body in parts and returns the manifest that stands for it. When it fails, the record is not written, and
// the manifest has the parts that are known to be stored.
func (l *Log) split(ctx context.Context, partition int, e *actor.Entry, expected uint64) (m manifest, err error) {
	if len(e.Body) > MaxRecord {
		return m, fmt.Errorf("a record of %d bytes; at most %d are allowed", len(e.Body), MaxRecord)
	}
	if m, err = manifestOf(e.Body); err != nil {
		return m, err
	}
	m.Parts = newAttempt(expected, m.Incarnation)
	subject := l.store.names.Blob(partition, e.Address, m.Parts)
	for rest := e.Body; len(rest) > 0; {
		n := min(len(rest), l.store.maxBody())
		ack, err := l.store.js.Publish(perRequest(ctx), subject, rest[:n], js.WithExpectStream(l.store.names.BlobsStream()))
		if err != nil {
			return m, fmt.Errorf("store part %d: %w", len(m.Blobs), err)
		}
		m.Blobs, rest = append(m.Blobs, ack.Sequence), rest[n:]
	}
	return m, nil
}

// manifestOf is the manifest of a record without its parts. It reads no more of the body than it needs, which begins with
// that.
func manifestOf(body []byte) (manifest, error) {
	sum := sha256.Sum256(body)
	m := manifest{Events: []json.RawMessage{}, Size: len(body), SHA256: hex.EncodeToString(sum[:])}
	fields := map[string]any{"v": &m.V, "run": &m.Run, "incarnation": &m.Incarnation, "epoch": &m.Epoch}
	dec := json.NewDecoder(bytes.NewReader(body))
	if _, err := dec.Token(); err != nil {
		return manifest{}, fmt.Errorf("decode record: %w", err)
	}
	for len(fields) > 0 && dec.More() {
		name, err := dec.Token()
		if err != nil {
			return manifest{}, fmt.Errorf("decode record: %w", err)
		}
		field, known := fields[fmt.Sprint(name)]
		if !known {
			field = new(json.RawMessage)
		}
		if err := dec.Decode(field); err != nil {
			return manifest{}, fmt.Errorf("decode record: %w", err)
		}
		delete(fields, fmt.Sprint(name))
	}
	return m, nil
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
func (l *Log) removeParts(ctx context.Context, m manifest) error {
	for _, seq := range m.Blobs {
		if err := l.store.remove(ctx, l.store.names.BlobsStream(), seq); err != nil {
			return fmt.Errorf("remove part %d: %w", seq, err)
		}
	}
	return nil
}
