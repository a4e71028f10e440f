package jetstream

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/perdure/perdure/actor"
)

// newAttempt is a name for an append that nothing else has: a subject token that says which record it follows, and of which
// run it is.
func newAttempt(after uint64, incarnation string) string {
	id := uuid.New()
	return fmt.Sprintf("%d-%s-%s", after, actor.EncodeKey(incarnation), hex.EncodeToString(id[:]))
}

// parseAttempt reads what [newAttempt] wrote.
func parseAttempt(token string) (a actor.Attempt, ok bool) {
	after, rest, _ := strings.Cut(token, "-")
	i := strings.LastIndexByte(rest, '-')
	if i < 0 {
		return a, false
	}
	seq, err := strconv.ParseUint(after, 10, 64)
	if err != nil {
		return a, false
	}
	incarnation, err := actor.DecodeKey(rest[:i])
	return actor.Attempt{After: seq, Incarnation: incarnation, ID: token}, err == nil
}

// Attempts implements [actor.RecordParts]. The server answers it from its list of subjects, without reading the stream.
func (l *Log) Attempts(ctx context.Context, partition int, addr actor.Address) (map[actor.Address][]actor.Attempt, error) {
	filter := strings.Replace(l.store.names.BlobAll(), "*", strconv.Itoa(partition), 1)
	if addr.Type != "" {
		filter = l.store.names.Blob(partition, addr, "*")
	}
	out := map[actor.Address][]actor.Attempt{}
	for listed := 0; ; {
		var page subjectsPage
		if err := l.store.ask(ctx, "STREAM.INFO."+l.store.names.BlobsStream(), subjectsRequest{filter, listed}, &page); err != nil {
			return nil, fmt.Errorf("list parts of large records, %s: %w", filter, err)
		}
		for subject := range page.State.Subjects {
			of, token, err := l.store.names.ParseBlob(subject)
			if a, ok := parseAttempt(token); err == nil && ok {
				out[of] = append(out[of], a)
			}
		}
		listed += len(page.State.Subjects)
		if len(page.State.Subjects) == 0 || listed >= page.Total {
			return out, nil
		}
	}
}

// subjectsRequest asks a stream for its subjects, from an offset on.
type subjectsRequest struct {
	Filter string `json:"subjects_filter"`
	Offset int    `json:"offset"`
}

type subjectsPage struct {
	apiError
	Total int `json:"total"` // subjects
	State struct {
		Subjects map[string]uint64 `json:"subjects"` // with how many messages each has
	} `json:"state"`
}

// RemoveAttempt implements [actor.RecordParts].
func (l *Log) RemoveAttempt(ctx context.Context, addr actor.Address, a actor.Attempt, next uint64) error {
	stream, subject, p := l.place(addr)
	follows, err := l.store.get(ctx, stream, getRequest{Seq: next})
	switch {
	case errors.Is(err, errNoMessage), err == nil && (follows.Subject != subject || next <= a.After):
		return nil // it was trimmed meanwhile, and says nothing
	case err != nil:
		return fmt.Errorf("read log of %s at seq %d: %w", addr, next, err)
	}
	if m, err := parseManifest(follows.Data); err == nil && m.Parts == a.ID {
		return nil
	}
	for { // the last one of a subject is found without reading others
		part, err := l.store.get(ctx, l.store.names.BlobsStream(), getRequest{LastFor: l.store.names.Blob(p, addr, a.ID)})
		if errors.Is(err, errNoMessage) {
			return nil
		}
		if err == nil {
			err = l.store.remove(ctx, l.store.names.BlobsStream(), part.Seq)
		}
		if err != nil {
			return fmt.Errorf("remove parts %s of %s: %w", a.ID, addr, err)
		}
	}
}
