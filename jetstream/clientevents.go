package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/router"
)

// LogRecord is a record of an object's event log.
type LogRecord struct {
	Seq  uint64    `json:"seq"`            // in its LOG stream
	Time time.Time `json:"time"`           // when it was stored
	Node string    `json:"node"`           // who wrote it
	Turn string    `json:"turn"`           // uuid
	Size int       `json:"size,omitempty"` // of the record, in an answer that had no room for it; never in what a client yields
	actor.Record
}

// eventsPage is how many records are asked for at once; the owner sends fewer when they are large.
const eventsPage = 200

// Events yields the object's records from log sequence from on, oldest first, as its owner reads them. It stops
// after the last one, or after the first error.
func (c *Client) Events(ctx context.Context, addr actor.Address, from uint64) iter.Seq2[*LogRecord, error] {
	return func(yield func(*LogRecord, error) bool) {
		for {
			page, next, err := c.events(ctx, addr, from, eventsPage)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, r := range page {
				if !yield(r, nil) {
					return
				}
			}
			if next <= from {
				return
			}
			from = next
		}
	}
}

func (c *Client) events(ctx context.Context, addr actor.Address, from uint64, limit int) (page []*LogRecord, next uint64, err error) {
	payload := fmt.Appendf(nil, `{"from":%d,"limit":%d}`, from, limit)
	o, err := c.Call(ctx, addr, actor.HookEvents, payload, actor.CallHeader{})
	if err != nil {
		return nil, 0, fmt.Errorf("read log of %s from seq %d: %w", addr, from, err)
	}
	if err := json.Unmarshal(o.Result, &page); err != nil {
		return nil, 0, fmt.Errorf("read log of %s from seq %d: %w", addr, from, err)
	}
	for _, r := range page {
		if err := c.complete(ctx, addr, r); err != nil {
			return nil, 0, err
		}
	}
	return page, o.Next, nil
}

// complete reads a record from the log where its owner's answer had no room for it.
func (c *Client) complete(ctx context.Context, addr actor.Address, r *LogRecord) error {
	if r.Size == 0 {
		return nil
	}
	log, err := c.log(ctx, addr)
	if err != nil {
		return err
	}
	e, err := log.Read(ctx, addr, r.Seq)
	if err != nil {
		return err
	}
	rec, err := actor.DecodeRecord(e.Body)
	if err != nil {
		return fmt.Errorf("read log of %s at seq %d: %w", addr, r.Seq, err)
	}
	rec.IDs, rec.IDsBefore, rec.IDsUntil, rec.IDsSeen = nil, 0, 0, nil
	r.Record, r.Size = *rec, 0
	return nil
}

// Follow yields what Events does, then each record as it is stored, until the run has ended or was purged and its last record was
// yielded, ctx ends, or an error occurs.
func (c *Client) Follow(ctx context.Context, addr actor.Address, from uint64) iter.Seq2[*LogRecord, error] {
	return func(yield func(*LogRecord, error) bool) {
		for r, err := range c.Events(ctx, addr, from) {
			if !yield(r, err) || err != nil {
				return
			}
			from = r.Seq + 1
		}
		if c.endedBefore(ctx, addr, from) {
			return
		}
		for r, err := range c.live(ctx, addr, from) {
			if !yield(r, err) || err != nil || ends(r) {
				return
			}
		}
	}
}

// endedBefore reports whether the run has ended with a record before from. Who cannot tell is followed.
func (c *Client) endedBefore(ctx context.Context, addr actor.Address, from uint64) bool {
	var run struct {
		Status actor.Status `json:"status"`
		Log    struct {
			Last uint64 `json:"last"`
		} `json:"log"`
	}
	said, err := c.Describe(ctx, addr)
	return err == nil && json.Unmarshal(said, &run) == nil && run.Status.Ended() && run.Log.Last < from
}

// ends reports whether nothing follows a record: its run has ended, or it was purged, as objects with methods are too.
func ends(r *LogRecord) bool {
	return slices.ContainsFunc(r.Events, func(e actor.Event) bool {
		_, ended := e.Type.Ends()
		return ended || e.Type == actor.RunPurged
	})
}

// Bounds of the wait for a server that died: it says nothing for two heartbeats.
const (
	followHeartbeat = 2 * time.Second
	followExpiry    = 20 * time.Second
)

// live yields records from the LOG stream itself: at its end a filtered consumer has nothing to skip.
func (c *Client) live(ctx context.Context, addr actor.Address, from uint64) iter.Seq2[*LogRecord, error] {
	return func(yield func(*LogRecord, error) bool) {
		fail := func(err error) { yield(nil, fmt.Errorf("follow log of %s from seq %d: %w", addr, from, err)) }
		messages, err := c.consume(ctx, addr, from)
		if err != nil {
			fail(err)
			return
		}
		defer messages.Stop()
		for {
			m, err := messages.Next(jetstream.NextContext(ctx))
			if err != nil {
				fail(err)
				return
			}
			r, err := c.logRecord(ctx, addr, m)
			if err != nil {
				fail(err)
				return
			}
			if r != nil && !yield(r, nil) {
				return
			}
		}
	}
}

func (c *Client) consume(ctx context.Context, addr actor.Address, from uint64) (jetstream.MessagesContext, error) {
	js, err := c.jetStream()
	if err != nil {
		return nil, err
	}
	m, err := c.meta(ctx, js)
	if err != nil {
		return nil, err
	}
	subject := c.names.Log(router.Partition(addr, m.Partitions), addr)
	stream, err := js.StreamNameBySubject(ctx, subject)
	if err != nil {
		return nil, fmt.Errorf("find the stream of %s: %w", subject, err)
	}
	consumer, err := js.OrderedConsumer(ctx, stream, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{subject}, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: max(from, 1),
	})
	if err != nil {
		return nil, fmt.Errorf("read stream %s: %w", stream, err)
	}
	return consumer.Messages(jetstream.PullHeartbeat(followHeartbeat), jetstream.PullExpiry(followExpiry))
}

// logRecord reads a message of a LOG stream; nil when it is not a record. One that is stored in parts is read
// through its owner.
func (c *Client) logRecord(ctx context.Context, addr actor.Address, m jetstream.Msg) (*LogRecord, error) {
	meta, err := m.Metadata()
	if err != nil {
		return nil, fmt.Errorf("read a message of the log: %w", err)
	}
	h := m.Headers()
	if h.Get(HeaderTurn) == "" {
		return nil, nil //nolint:nilnil // foreign: there is nothing to tell
	}
	if h.Get(HeaderBlobs) != "" {
		page, _, err := c.events(ctx, addr, meta.Sequence.Stream, 1)
		if err != nil || len(page) == 0 {
			return nil, err
		}
		return page[0], nil
	}
	rec, err := actor.DecodeRecord(m.Data())
	if err != nil {
		return nil, fmt.Errorf("seq %d: %w", meta.Sequence.Stream, err)
	}
	rec.IDs, rec.IDsBefore, rec.IDsUntil, rec.IDsSeen = nil, 0, 0, nil
	return &LogRecord{
		Seq: meta.Sequence.Stream, Time: meta.Timestamp.UTC(), Node: h.Get(HeaderNode), Turn: h.Get(HeaderTurn), Record: *rec,
	}, nil
}

func (c *Client) jetStream() (jetstream.JetStream, error) {
	if c.cfg.Domain != "" {
		return jetstream.NewWithDomain(c.nc, c.cfg.Domain)
	}
	return jetstream.New(c.nc)
}

// meta reads what was fixed when the installation's store was made.
func (c *Client) meta(ctx context.Context, js jetstream.JetStream) (meta, error) {
	bucket, err := js.KeyValue(ctx, c.names.MetaBucket())
	if errors.Is(err, nats.ErrNoResponders) || errors.Is(err, jetstream.ErrJetStreamNotEnabled) || errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount) {
		return meta{}, actor.Errorf(actor.CodeUnavailable, "JetStream is not available on these servers, for this account: nodes keep everything in it")
	}
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return meta{}, actor.Errorf(actor.CodeUnavailable, "there is no bucket %s: has a node been started on these servers, with this prefix?", c.names.MetaBucket())
	}
	if err != nil {
		return meta{}, fmt.Errorf("open bucket %s: %w", c.names.MetaBucket(), err)
	}
	entry, err := bucket.Get(ctx, metaKey)
	if err != nil {
		return meta{}, fmt.Errorf("read bucket %s: %w", c.names.MetaBucket(), err)
	}
	return parseMeta(entry.Value())
}
