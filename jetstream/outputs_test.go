package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/nats-io/nats.go"
	js "github.com/nats-io/nats.go/jetstream"

	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/internal/natstest"
)

func (r *rig) outputs(t testing.TB) *Outputs {
	t.Helper()
	return r.store.Outputs(natstest.Connect(t, r.server, AppendOptions()...))
}

func chunk(addr actor.Address, index uint64) *actor.Chunk {
	return &actor.Chunk{
		Address: addr, Stream: "default", Index: index, Data: fmt.Appendf(nil, "%d", index),
		Writer: actor.WriterState{Epoch: 3, Origin: fmt.Sprintf("step-1/%d", index), Incarnation: "i"},
	}
}

func rewind(addr actor.Address, index uint64) *actor.Chunk {
	c := chunk(addr, index)
	c.Kind, c.Data = actor.ChunkRewind, nil
	return c
}

func ending(addr actor.Address, count uint64) *actor.Chunk {
	c := chunk(addr, count)
	c.Kind, c.Data = actor.ChunkEnd, nil
	return c
}

// emitAll appends chunks one after another, as the engine does: again after a spurious conflict or in doubt, when the
// last message is not the chunk.
func emitAll(ctx context.Context, o *Outputs, last uint64, chunks ...*actor.Chunk) (uint64, error) {
	for _, c := range chunks {
		for {
			seq, err := o.Append(ctx, c, last)
			if err == nil {
				last = seq
				break
			}
			if ctx.Err() != nil {
				return 0, err
			}
			end, errLast := o.Last(ctx, c.Address, c.Stream)
			if errLast == nil && end.Seq > last {
				if end.Writer.Origin != c.Writer.Origin || end.Kind != c.Kind {
					return 0, fmt.Errorf("after seq %d came %+v: %w", last, end, err)
				}
				last = end.Seq
				break
			}
			if err := waitFor(ctx, firstRetry); err != nil {
				return 0, err
			}
		}
	}
	return last, nil
}

func mustEmit(t testing.TB, o *Outputs, last uint64, chunks ...*actor.Chunk) uint64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), guard)
	defer cancel()
	seq, err := emitAll(ctx, o, last, chunks...)
	if err != nil {
		t.Fatal(err)
	}
	return seq
}

func testOutputs(t *testing.T, r *rig) {
	o, ctx := r.outputs(t), short(t)
	addr := actor.Address{Type: "outputs", Key: "a key.with/äll >*"}
	if c, err := o.Last(ctx, addr, "default"); !errors.Is(err, actor.ErrNoRecord) || c == nil || c.Seq != 0 {
		t.Fatalf("last of nothing: %+v, %v", c, err)
	}
	shown, err := r.store.nc.SubscribeSync(r.store.names.Out(addr, "default"))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.store.nc.Flush(); err != nil {
		t.Fatal(err)
	}
	one, two, back, end := chunk(addr, 0), chunk(addr, 1), rewind(addr, 1), ending(addr, 1)
	two.Writer.Open = []actor.OpenStep{{ID: "step-1", First: 0, Count: 2}}
	var seqs []uint64
	last := uint64(0)
	for _, c := range []*actor.Chunk{one, two, back, end} {
		last = mustEmit(t, o, last, c)
		c.Seq = last
		seqs = append(seqs, last)
		got, err := o.Last(ctx, addr, "default")
		if diff := cmp.Diff(got, c); err != nil || diff != "" {
			t.Errorf("last: %v (-got +want):\n%s", err, diff)
		}
	}
	// What a subscriber with any NATS client sees: the server's headers tell the order, and a gap.
	before := uint64(0)
	for i, want := range []nats.Header{
		{HeaderIndex: {"0"}}, {HeaderIndex: {"1"}, HeaderOpen: {"step-1/0/2"}}, {HeaderRewind: {"1"}}, {HeaderIndex: {"1"}, HeaderEnd: {"true"}},
	} {
		m, err := shown.NextMsgWithContext(ctx)
		if err != nil {
			t.Fatal(err)
		}
		want[HeaderRun] = []string{addr.String()}
		want[nats.JSStream] = []string{r.store.names.OutStream()}
		want[nats.JSSequence] = []string{fmt.Sprint(seqs[i])}
		want[nats.JSLastSequence] = []string{fmt.Sprint(before)}
		before = seqs[i]
		got := nats.Header{}
		for name := range want {
			got[name] = m.Header[name]
		}
		if diff := cmp.Diff(got, want); diff != "" || m.Subject != r.store.names.Out(addr, "default") {
			t.Errorf("message %d on %s (-got +want):\n%s", i, m.Subject, diff)
		}
	}
	if _, err := o.Last(ctx, addr, "other"); !errors.Is(err, actor.ErrNoRecord) {
		t.Errorf("another stream: %v", err)
	}
}

func testOutputsOutcomes(t *testing.T, r *rig) {
	addr := actor.Address{Type: "outcomes", Key: "x"}
	first := mustEmit(t, r.outputs(t), 0, chunk(addr, 0))
	shown, err := r.store.nc.SubscribeSync(r.store.names.Out(addr, "default"))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.store.nc.Flush(); err != nil {
		t.Fatal(err)
	}
	limit := r.outputs(t).MaxChunk()
	sized := func(n int) *actor.Chunk {
		c := chunk(addr, 1)
		c.Data = json.RawMessage(`"` + strings.Repeat("x", n-2) + `"`)
		return c
	}
	for name, c := range map[string]struct {
		expected uint64
		chunk    *actor.Chunk
		want     []error
	}{
		"conflict":                {0, chunk(addr, 1), []error{actor.ErrAppendConflict}},
		"conflict beyond the end": {first + 1<<30, chunk(addr, 1), []error{actor.ErrAppendConflict}},
		"too large":               {first, sized(limit + 1), []error{actor.ErrAppendRefused, actor.ErrTooLarge}},
		"bad name":                {first, &actor.Chunk{Address: addr, Stream: "a.b"}, []error{actor.ErrAppendRefused, actor.ErrInvalid}},
	} {
		_, err := r.outputs(t).Append(short(t), c.chunk, c.expected)
		for _, want := range c.want {
			if !errors.Is(err, want) {
				t.Errorf("%s: got %v, want %v", name, err, want)
			}
		}
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.outputs(t).Append(cancelled, chunk(addr, 1), first); !errors.Is(err, actor.ErrAppendRefused) {
		t.Errorf("context ended: %v", err)
	}
	// Nothing that was refused has been shown: the first message is the one that is stored.
	last := mustEmit(t, r.outputs(t), first, sized(limit))
	m, err := shown.NextMsgWithContext(short(t))
	if err != nil || serverHeader(m.Header, nats.JSSequence) != fmt.Sprint(last) || len(m.Data) != limit {
		t.Errorf("shown first: %v, %v", m, err)
	}
}

// testOutputsForeign: what others publish to the stream is passed over, and expected by the next append.
func testOutputsForeign(t *testing.T, r *rig) {
	o, ctx := r.outputs(t), short(t)
	addr := actor.Address{Type: "foreign", Key: "x"}
	noise := func(h nats.Header, data string) uint64 {
		t.Helper()
		a, err := r.store.js.PublishMsg(ctx, &nats.Msg{Subject: r.store.names.Emit(addr, "default"), Header: h, Data: []byte(data)})
		if err != nil {
			t.Fatal(err)
		}
		return a.Sequence
	}
	end := noise(nil, "hello")
	if c, err := o.Last(ctx, addr, "default"); !errors.Is(err, actor.ErrNoRecord) || c == nil || c.Seq != end {
		t.Fatalf("only foreign: %+v, %v", c, err)
	}
	mustEmit(t, o, end, chunk(addr, 0))
	forged := formatChunk(chunk(actor.Address{Type: "foreign", Key: "y"}, 7))
	noise(forged, "1")
	noise(nats.Header{nats.JSSequence: {"1"}, "Status": {"204"}, nats.JSLastSequence: {"x"}}, "1")
	end = noise(formatChunk(chunk(addr, 1)), "not JSON")
	want := chunk(addr, 0)
	got, err := o.Last(ctx, addr, "default")
	if diff := cmp.Diff(got, want, cmpopts.IgnoreFields(actor.Chunk{}, "Seq")); err != nil || diff != "" || got.Seq != end {
		t.Fatalf("last: %v, seq %d, want %d (-got +want):\n%s", err, got.Seq, end, diff)
	}
	mustEmit(t, o, end, chunk(addr, 1), ending(addr, 2))
	checkRead(t, r, addr, 0, chunk(addr, 0), chunk(addr, 1), ending(addr, 2))
	checkRead(t, r, addr, 1, chunk(addr, 1), ending(addr, 2))
}

// TestOutputs_TTL: chunks with a TTL are kept for so long, those without for ever.
func TestOutputs_TTL(t *testing.T) {
	natstest.InBubble(t, func(t *testing.T) {
		srv := natstest.Bubble(t)
		r := &rig{server: srv, store: provision(t, natstest.Connect(t, srv), Config{Partitions: 1, LogStreams: 1})}
		addr := actor.Address{Type: "a", Key: "b"}
		kept, brief, last := chunk(addr, 0), chunk(addr, 1), chunk(addr, 2)
		brief.TTL, last.TTL = time.Minute, time.Minute
		mustEmit(t, r.outputs(t), 0, kept, brief, last)
		checkRead(t, r, addr, 0, kept, brief, last)
		time.Sleep(2 * time.Minute)
		checkRead(t, r, addr, 0, kept)
		checkRead(t, r, addr, 1)
	})
}

// TestProvision_upgrade: streams that an earlier version made are updated, somebody else's is left alone.
func TestProvision_upgrade(t *testing.T) {
	nc := natstest.Connect(t, natstest.Server(t))
	s := provision(t, nc, Config{Partitions: 1, LogStreams: 1})
	j := newJS(t, nc)
	for _, cfg := range s.streams() {
		if err := j.DeleteStream(t.Context(), cfg.Name); err != nil {
			t.Fatal(err)
		}
		cfg.AllowMsgTTL = false
		if cfg.Name != s.names.InboxStream() {
			cfg.Duplicates = 2 * time.Minute
		}
		if cfg.Name == s.names.BlobsStream() {
			cfg.Subjects = []string{s.names.BlobOld()}
		}
		if _, err := j.CreateStream(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
	}
	provision(t, nc, Config{})
	for _, want := range s.streams() {
		stream, err := j.Stream(t.Context(), want.Name)
		if err != nil {
			t.Fatal(err)
		}
		if have := stream.CachedInfo().Config; have.AllowMsgTTL != want.AllowMsgTTL || have.Duplicates != want.Duplicates || !slices.Equal(have.Subjects, want.Subjects) {
			t.Errorf("stream %s: %+v", want.Name, have)
		}
	}
	cfg := js.StreamConfig{Name: "ACME_OUT", Subjects: []string{"other"}}
	if _, err := j.CreateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	if _, err := Provision(t.Context(), nc, Config{Prefix: "acme"}); !errors.Is(err, ErrIncompatible) {
		t.Errorf("somebody else's stream: %v", err)
	}
	if stream, err := j.Stream(t.Context(), "ACME_OUT"); err != nil || stream.CachedInfo().Config.AllowMsgTTL {
		t.Errorf("somebody else's stream was changed: %v", err)
	}
}
