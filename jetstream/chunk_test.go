package jetstream

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"github.com/perdure/perdure/actor"
)

func TestChunk_headers(t *testing.T) {
	addr := actor.Address{Type: "t", Key: "a key/%with\n"}
	writer := actor.WriterState{
		Epoch: 3, Origin: "step-1/7", Incarnation: "i", Emitted: "4.2",
		Open: []actor.OpenStep{{ID: "step-1", First: 2, Count: 8}, {ID: "a/b,c", First: 0, Count: 1}},
	}
	for name, c := range map[string]*actor.Chunk{
		"chunk":      {Address: addr, Stream: "s", Seq: 9, Index: 5, Data: json.RawMessage(`{"a":1}`), Writer: writer},
		"first":      {Address: addr, Stream: "s", Seq: 9, Data: json.RawMessage(`null`), Writer: actor.WriterState{Incarnation: "i"}},
		"rewind":     {Address: addr, Stream: "s", Seq: 9, Kind: actor.ChunkRewind, Index: 0, Writer: writer},
		"end":        {Address: addr, Stream: "s", Seq: 9, Kind: actor.ChunkEnd, Index: 6, Writer: writer},
		"with a TTL": {Address: addr, Stream: "s", Seq: 9, Data: json.RawMessage(`1`), TTL: time.Hour, Writer: actor.WriterState{Incarnation: "i"}},
	} {
		got, ok := parseChunk(addr, "s", &stored{Seq: 9, Header: formatChunk(c), Data: c.Data})
		if diff := cmp.Diff(got, c); !ok || diff != "" {
			t.Errorf("%s (-got +want):\n%s", name, diff)
		}
	}
	if got := formatChunk(&actor.Chunk{Address: addr, TTL: 1500 * time.Millisecond}).Get(nats.MsgTTLHdr); got != "2" {
		t.Errorf("a TTL of 1.5 s is sent as %q", got)
	}
}

func FuzzParseChunk(f *testing.F) {
	f.Add("t/a", "3", "5", "", "", "step-1/7", "i", "4.2", "step-1/2/8,b/0/1", "60", []byte(`{"a":1}`))
	f.Add("t/a", "3", "", "5", "", "", "", "", "", "", []byte(nil))
	f.Add("t/a", "3", "5", "", "true", "", "", "", "", "", []byte(nil))
	f.Fuzz(func(t *testing.T, run, epoch, index, rewind, end, origin, incarnation, emitted, open, ttl string, data []byte) {
		addr := actor.Address{Type: "t", Key: "a"}
		h := nats.Header{
			HeaderRun: {run}, HeaderEpoch: {epoch}, HeaderIndex: {index}, HeaderRewind: {rewind}, HeaderEnd: {end}, HeaderOrigin: {origin},
			HeaderIncarnation: {incarnation}, HeaderEmitted: {emitted}, HeaderOpen: {open}, nats.MsgTTLHdr: {ttl},
		}
		c, ok := parseChunk(addr, "s", &stored{Seq: 1, Header: h, Data: data})
		if !ok {
			return
		}
		again, ok := parseChunk(addr, "s", &stored{Seq: 1, Header: formatChunk(c), Data: data})
		if diff := cmp.Diff(c, again); !ok || diff != "" {
			t.Errorf("comes back as (-want +got):\n%s", diff)
		}
	})
}

// history is an output stream as a replica has it: it lacks what is stored after lag.
type history struct {
	all    []*stored
	lag    uint64
	probes int
}

func (h *history) leader(_ context.Context, req getRequest) (*stored, error) {
	return h.find(req, 1<<62)
}

func (h *history) direct(_ context.Context, req getRequest) (*stored, error) {
	h.probes++
	return h.find(req, h.lag)
}

func (h *history) find(req getRequest, lag uint64) (found *stored, err error) {
	for _, m := range h.all {
		switch {
		case m.Seq > lag:
		case req.NextFor != "" && m.Seq >= req.Seq:
			return m, nil
		case req.LastFor != "", len(req.LastOf) > 0 && m.Seq <= req.UpTo:
			found = m
		}
	}
	if found == nil {
		return nil, errNoMessage
	}
	return found, nil
}

var historyOf = actor.Address{Type: "t", Key: "k"}

// randomHistory is a stream with rewinds, foreign messages, gaps between sequences and expired beginnings. want is
// what survives: the data of index i, "" where it has expired.
func randomHistory(rng *rand.Rand, n int) (h *history, want []string) {
	h = &history{}
	seq := uint64(rng.IntN(3))
	var at []int // where the surviving chunks are in h.all
	add := func(c *actor.Chunk) {
		seq += 1 + uint64(rng.IntN(4))
		if rng.IntN(12) == 0 {
			h.all = append(h.all, &stored{Seq: seq, Data: []byte("noise")})
			seq++
		}
		c.Address, c.Writer.Incarnation = historyOf, "i"
		h.all = append(h.all, &stored{Seq: seq, Header: formatChunk(c), Data: c.Data})
	}
	for range n {
		if len(want) > 0 && rng.IntN(10) == 0 {
			k := rng.IntN(len(want) + 1)
			add(&actor.Chunk{Kind: actor.ChunkRewind, Index: uint64(k)})
			want, at = want[:k], at[:k]
			continue
		}
		add(&actor.Chunk{Index: uint64(len(want)), Data: fmt.Appendf(nil, "%d", len(h.all))})
		at, want = append(at, len(h.all)-1), append(want, string(h.all[len(h.all)-1].Data))
	}
	if rng.IntN(3) == 0 {
		add(&actor.Chunk{Kind: actor.ChunkEnd, Index: uint64(len(want))})
	}
	if cut := rng.IntN(2 * len(h.all)); cut < len(h.all) && rng.IntN(3) == 0 {
		h.all = h.all[cut:]
		for i := range want {
			if at[i] < cut {
				want[i] = ""
			}
		}
	}
	h.lag = seq
	if rng.IntN(3) == 0 {
		h.lag = uint64(rng.IntN(int(seq) + 1))
	}
	return h, want
}

// honour keeps what a reader has that forgets what it is told to forget.
func honour(have map[uint64]string, c *actor.Chunk) {
	if c.Kind == actor.ChunkData {
		have[c.Index] = string(c.Data)
		return
	}
	for i := range have {
		if i >= c.Index {
			delete(have, i)
		}
	}
}

// TestChunks_begin reads random streams from random indexes: what a reader has in the end is what survives.
func TestChunks_begin(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 5000 {
		h, survives := randomHistory(rng, 1+rng.IntN(60))
		from := int64(rng.IntN(70)) - 20
		c, end, err := lastChunk(t.Context(), h, "s", historyOf, "s")
		if err != nil {
			t.Fatal(err)
		}
		after, index, err := begin(t.Context(), h, "s", c, end, from)
		if err != nil {
			t.Fatal(err)
		}
		if c == nil {
			continue
		}
		if wantIndex := uint64(max(0, int64(len(survives))+from)); from < 0 && index != wantIndex {
			t.Fatalf("from %d of %d is index %d", from, len(survives), index)
		}
		got, want := map[uint64]string{}, map[uint64]string{}
		for _, m := range h.all {
			if c, ok := parseChunk(historyOf, "s", m); ok && m.Seq > after && (c.Kind != actor.ChunkData || c.Index >= index) {
				honour(got, c)
			}
		}
		for i, s := range survives {
			if uint64(i) >= index && s != "" {
				want[uint64(i)] = s
			}
		}
		if diff := cmp.Diff(got, want); diff != "" {
			t.Fatalf("from %d, after %d, replica at %d (-got +want):\n%s", from, after, h.lag, diff)
		}
	}
}

// TestChunks_probes: finding an index takes few reads, however long the stream is.
func TestChunks_probes(t *testing.T) {
	h := &history{lag: 1 << 40}
	for i := range 5000 {
		c := &actor.Chunk{Address: historyOf, Index: uint64(i), Data: json.RawMessage("1"), Writer: actor.WriterState{Incarnation: "i"}}
		h.all = append(h.all, &stored{Seq: 1_000_000 + 7*uint64(i), Header: formatChunk(c), Data: c.Data})
	}
	c, _, err := lastChunk(t.Context(), h, "s", historyOf, "s")
	if err != nil {
		t.Fatal(err)
	}
	after, err := seek(t.Context(), h, "s", c, 1234)
	if want := uint64(1_000_000+7*1234) - 1; err != nil || after != want || h.probes > 20 {
		t.Errorf("%d after %d probes, %v, want %d", after, h.probes, err, want)
	}
}

// TestChunks_last finds the last message of ours behind foreign ones, also through a replica that lags.
func TestChunks_last(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		h, _ := randomHistory(rng, 1+rng.IntN(20))
		var want *actor.Chunk
		for _, m := range h.all {
			if c, ok := parseChunk(historyOf, "s", m); ok {
				want = c
			}
		}
		last := h.all[len(h.all)-1].Seq
		for range rng.IntN(3) {
			last += 2
			h.all = append(h.all, &stored{Seq: last})
		}
		got, end, err := lastChunk(t.Context(), h, "s", historyOf, "s")
		if diff := cmp.Diff(got, want); err != nil || diff != "" || end != last {
			t.Fatalf("%v, end %d, want %d (-got +want):\n%s", err, end, last, diff)
		}
	}
}
