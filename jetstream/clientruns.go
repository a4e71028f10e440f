package jetstream

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/perdure/perdure/actor"
)

// RunInfo is a run as its last record tells it.
type RunInfo struct {
	Address actor.Address `json:"-"`
	Run     string        `json:"run"`
	Status  actor.Status  `json:"status"`  // empty: the log's last message is not a record
	Records uint64        `json:"records"` // messages of the log, foreign ones included, where its last one does not tell
	Seq     uint64        `json:"seq"`     // of the last record
	Updated time.Time     `json:"updated"`
	Node    string        `json:"node"` // who wrote the last record
}

// lookups is how many last records are read at the same time.
const lookups = 16

// Runs lists runs by address, from the LOG streams. Empty typ and status mean all, limit 0 no limit. Listing
// reads the last record of each run that it looks at: with a status, those of runs in other states too.
func (c *Client) Runs(ctx context.Context, typ string, status actor.Status, limit int) ([]RunInfo, error) {
	js, err := c.jetStream()
	if err != nil {
		return nil, fmt.Errorf("list runs: %w", err)
	}
	m, err := c.meta(ctx, js)
	if err != nil {
		return nil, fmt.Errorf("list runs: %w", err)
	}
	logs, err := c.logs(ctx, js, m.LogStreams, cmp.Or(typ, "*"))
	if err != nil {
		return nil, fmt.Errorf("list runs: %w", err)
	}
	slices.SortFunc(logs, func(a, b runLog) int { return cmp.Compare(a.addr.String(), b.addr.String()) })
	out := []RunInfo{}
	for page := range slices.Chunk(logs, 4*lookups) {
		runs, err := lastRecords(ctx, page)
		if err != nil {
			return nil, fmt.Errorf("list runs: %w", err)
		}
		for _, r := range runs {
			if limit > 0 && len(out) == limit {
				return out, nil
			}
			if r.Seq > 0 && r.Status != actor.StatusPurged && (status == "" || r.Status == status) {
				out = append(out, r)
			}
		}
	}
	return out, nil
}

// runLog is where a run's log is.
type runLog struct {
	addr    actor.Address
	stream  jetstream.Stream
	subject string
	stored  uint64 // messages, foreign ones included
}

func (c *Client) logs(ctx context.Context, js jetstream.JetStream, streams int, typ string) ([]runLog, error) {
	var out []runLog
	for i := range streams {
		name := c.names.LogStream(i)
		stream, err := js.Stream(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("open stream %s: %w", name, err)
		}
		info, err := stream.Info(ctx, jetstream.WithSubjectFilter(c.names.dot+"log.*."+typ+".*"))
		if err != nil {
			return nil, fmt.Errorf("list subjects of stream %s: %w", name, err)
		}
		for subject, n := range info.State.Subjects {
			if _, addr, err := c.names.ParseLog(subject); err == nil { // others are somebody else's
				out = append(out, runLog{addr, stream, subject, n})
			}
		}
	}
	return out, nil
}

func lastRecords(ctx context.Context, logs []runLog) ([]RunInfo, error) {
	out := make([]RunInfo, len(logs))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(lookups)
	for i, l := range logs {
		g.Go(func() error {
			m, err := l.stream.GetLastMsgForSubject(ctx, l.subject)
			if errors.Is(err, jetstream.ErrMsgNotFound) {
				return nil // purged meanwhile
			}
			if err != nil {
				return fmt.Errorf("read last record of %s: %w", l.addr, err)
			}
			out[i] = RunInfo{
				Address: l.addr, Run: l.addr.String(), Status: actor.Status(m.Header.Get(HeaderStatus)), Records: l.records(m),
				Seq: m.Sequence, Updated: m.Time.UTC(), Node: m.Header.Get(HeaderNode),
			}
			return nil
		})
	}
	return out, g.Wait()
}

// records is how many records the log has: records are numbered, and last is the last one, unless it is foreign or was
// stored in parts.
func (l runLog) records(last *jetstream.RawStreamMsg) uint64 {
	var record struct {
		N uint64 `json:"n"`
	}
	if last.Header.Get(HeaderTurn) == "" || json.Unmarshal(last.Data, &record) != nil || record.N == 0 || record.N > l.stored {
		return l.stored
	}
	return record.N
}
