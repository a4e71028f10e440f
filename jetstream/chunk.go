package jetstream

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/perdure/perdure/actor"
)

// Headers of messages of output streams, beside HeaderRun and HeaderEpoch. A message has either an index, or a
// rewind; the closing one has an index and the end.
const (
	HeaderIndex       = "Perdure-Index"       // of the chunk; of the closing message: how many chunks there are
	HeaderRewind      = "Perdure-Rewind"      // readers forget the chunks from this index on
	HeaderEnd         = "Perdure-End"         // "true": nothing follows
	HeaderOrigin      = "Perdure-Origin"      // what wrote it
	HeaderIncarnation = "Perdure-Incarnation" // of the run
	HeaderEmitted     = "Perdure-Emitted"     // the last chunk that run code emitted
	HeaderOpen        = "Perdure-Open"        // steps in progress that have written: <step id>/<first index>/<count>,…
)

// formatChunk makes the headers of a message of an output stream.
func formatChunk(c *actor.Chunk) nats.Header {
	number := func(n uint64) []string { return []string{strconv.FormatUint(n, 10)} }
	h := nats.Header{
		HeaderRun:   {formatRun(c.Address.String())},
		HeaderEpoch: number(c.Writer.Epoch),
	}
	switch c.Kind {
	case actor.ChunkRewind:
		h[HeaderRewind] = number(c.Index)
	case actor.ChunkEnd:
		h[HeaderEnd] = []string{"true"}
		h[HeaderIndex] = number(c.Index)
	default:
		h[HeaderIndex] = number(c.Index)
	}
	for name, v := range map[string]string{
		HeaderOrigin: c.Writer.Origin, HeaderIncarnation: c.Writer.Incarnation, HeaderEmitted: c.Writer.Emitted, HeaderOpen: formatOpen(c.Writer.Open),
	} {
		if v != "" {
			h[name] = []string{v}
		}
	}
	if c.TTL > 0 { // the server counts in whole seconds and cuts what is less
		h[nats.MsgTTLHdr] = number(uint64((c.TTL + time.Second - 1) / time.Second))
	}
	return h
}

func formatOpen(open []actor.OpenStep) string {
	parts := make([]string, len(open))
	for i, s := range open {
		parts[i] = fmt.Sprintf("%s/%d/%d", actor.EncodeKey(s.ID), s.First, s.Count)
	}
	return strings.Join(parts, ",")
}

// parseChunk reads a message of an output stream. ok is false when it is foreign: not all headers are there and
// readable, they name another run, or the body is not what they say.
func parseChunk(addr actor.Address, stream string, m *stored) (c *actor.Chunk, ok bool) {
	h := m.Header
	c = &actor.Chunk{Address: addr, Stream: stream, Seq: m.Seq, Writer: actor.WriterState{
		Origin: h.Get(HeaderOrigin), Incarnation: h.Get(HeaderIncarnation), Emitted: h.Get(HeaderEmitted),
	}}
	index := h.Get(HeaderIndex)
	switch {
	case h.Get(HeaderRewind) != "":
		c.Kind, index = actor.ChunkRewind, h.Get(HeaderRewind)
	case h.Get(HeaderEnd) != "":
		c.Kind = actor.ChunkEnd
	default:
		c.Data = m.Data
	}
	ok = index != "" && h.Get(HeaderEpoch) != "" && c.Writer.Incarnation != "" && parseSeq(index, &c.Index) && parseSeq(h.Get(HeaderEpoch), &c.Writer.Epoch)
	run, err := parseRun(h.Get(HeaderRun))
	ok = ok && err == nil && run == addr.String()
	ok = ok && (len(m.Data) == 0) == (c.Kind != actor.ChunkData) && (c.Data == nil || json.Valid(c.Data))
	if !ok {
		return nil, false
	}
	if c.Writer.Open, ok = parseOpen(h.Get(HeaderOpen)); !ok {
		return nil, false
	}
	if ttl := h.Get(nats.MsgTTLHdr); ttl != "" {
		var s uint64
		if !parseSeq(ttl, &s) || s > uint64(maxTTL/time.Second) {
			return nil, false
		}
		c.TTL = time.Duration(s) * time.Second
	}
	return c, true
}

// maxTTL is what a duration can hold.
const maxTTL = time.Duration(1<<63 - 1)

func parseOpen(s string) ([]actor.OpenStep, bool) {
	if s == "" {
		return nil, true
	}
	parts := strings.Split(s, ",")
	if len(parts) > actor.MaxOpenSteps {
		return nil, false
	}
	open := make([]actor.OpenStep, len(parts))
	for i, p := range parts {
		f := strings.Split(p, "/")
		if len(f) != 3 || f[1] == "" || f[2] == "" || !parseSeq(f[1], &open[i].First) || !parseSeq(f[2], &open[i].Count) {
			return nil, false
		}
		var err error
		if open[i].ID, err = actor.DecodeKey(f[0]); err != nil {
			return nil, false
		}
	}
	return open, true
}
