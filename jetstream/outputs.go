package jetstream

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/nats-io/nats.go"
	js "github.com/nats-io/nats.go/jetstream"

	"github.com/perdure/perdure/actor"
)

// Outputs keeps output streams in the stream OUT: each is one subject, written to below emit and stored, and shown
// to subscribers, below out. It implements [actor.Outputs] and is safe for concurrent use.
type Outputs struct {
	store *Store
	publisher
}

var _ actor.Outputs = (*Outputs)(nil)

// Outputs returns the keeper of output streams. Appends go over conn alone, made with [AppendOptions]; reads over
// the store's connection.
func (s *Store) Outputs(conn *nats.Conn) *Outputs {
	return &Outputs{store: s, publisher: s.publisher(conn)}
}

// MaxChunk is the largest body of a chunk, in bytes: what the server takes in one message less what headers need.
func (o *Outputs) MaxChunk() int { return o.store.maxBody() }

// Append implements [actor.Outputs]. It sends the message once. A body over [Outputs.MaxChunk] is refused with
// [actor.ErrTooLarge] as cause; the TTL is rounded up to whole seconds.
func (o *Outputs) Append(ctx context.Context, c *actor.Chunk, expected uint64) (uint64, error) {
	seq, err := o.append(ctx, c, expected)
	if err != nil {
		return 0, fmt.Errorf("append to stream %s of %s after seq %d: %w", c.Stream, c.Address, expected, err)
	}
	return seq, nil
}

func (o *Outputs) append(ctx context.Context, c *actor.Chunk, expected uint64) (uint64, error) {
	if err := checkStreamName(c.Stream); err != nil { // it becomes a token of the subject
		return 0, fmt.Errorf("%w: %w", actor.ErrAppendRefused, err)
	}
	m := &nats.Msg{Subject: o.store.names.Emit(c.Address, c.Stream), Header: formatChunk(c)}
	if c.Kind == actor.ChunkData {
		if m.Data = c.Data; len(m.Data) == 0 {
			m.Data = json.RawMessage("null")
		}
	}
	if limit := o.MaxChunk(); len(m.Data) > limit {
		cause := actor.Errorf(actor.CodeTooLarge, "the chunk has %d bytes; at most %d are allowed", len(m.Data), limit)
		return 0, fmt.Errorf("%w: %w", actor.ErrAppendRefused, cause.With(map[string]int{"limit": limit}))
	}
	stream := o.store.names.OutStream()
	expect(m.Header, stream, expected)
	return o.publish(ctx, m, stream)
}

// Last implements [actor.Outputs]. Messages that are not ours are passed over: the chunk is the last one of ours,
// and its Seq that of the stream's last message at all, which the next append has to expect. With
// [actor.ErrNoRecord] there is a chunk too, that has only that: 0, or the last message where all are foreign.
func (o *Outputs) Last(ctx context.Context, addr actor.Address, stream string) (*actor.Chunk, error) {
	c, end, err := lastChunk(ctx, storeGetter{o.store, o.store.names.OutStream()}, o.store.names.Out(addr, stream), addr, stream)
	switch {
	case err != nil:
		return nil, fmt.Errorf("read last chunk of stream %s of %s: %w", stream, addr, err)
	case c == nil:
		err := fmt.Errorf("read last chunk of stream %s of %s: %w", stream, addr, actor.ErrNoRecord)
		return &actor.Chunk{Address: addr, Stream: stream, Seq: end}, err
	}
	c.Seq = end
	return c, nil
}

func checkStreamName(name string) error {
	if !hookName(name) || name[0] == '$' {
		return actor.Errorf(actor.CodeInvalid, "stream name %q: want a letter, then up to 63 letters, digits, _ or -", name)
	}
	return nil
}

// storeGetter reads one stream over the store's connection.
type storeGetter struct {
	store  *Store
	stream string
}

func (g storeGetter) leader(ctx context.Context, req getRequest) (*stored, error) {
	return g.store.get(ctx, g.stream, req)
}

func (g storeGetter) direct(ctx context.Context, req getRequest) (*stored, error) {
	ctx, cancel := context.WithTimeout(ctx, getTimeout)
	defer cancel()
	body, err := json.Marshal(req)
	if err != nil {
		return nil, fmt.Errorf("encode request: %w", err)
	}
	m, err := g.store.nc.RequestWithContext(ctx, js.DefaultAPIPrefix+"DIRECT.GET."+g.stream, body)
	if err != nil {
		return nil, err
	}
	return parseDirect(m)
}
