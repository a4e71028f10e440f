package actor

import (
	"context"
	"encoding/json"
	"iter"
	"time"
)

// Outputs keeps output streams, one subject a stream of an object, whose last message is its writer's checkpoint.
type Outputs interface {
	// Append stores c as the next message of its stream, provided that the stream's last message has sequence
	// expected (0: none), and shows it to subscribers once it is stored. Outcomes as of [EventLog.Append].
	Append(ctx context.Context, c *Chunk, expected uint64) (uint64, error)
	// Last returns the stream's last message, from the server's leader; messages that are not of a stream are passed
	// over, and its Seq is that of the very last message, which the next append has to expect. [ErrNoRecord] when
	// there is none: then the chunk is nil, or has nothing but Seq.
	Last(ctx context.Context, addr Address, stream string) (*Chunk, error)
}

// Chunk is one message of an output stream: a chunk, a rewind marker, or the end.
type Chunk struct {
	Address Address
	Stream  string
	Seq     uint64          // in the server's stream; 0 until stored
	Kind    ChunkKind       //
	Index   uint64          // of a chunk; where readers go back to, of a rewind; how many chunks there are, of the end
	Data    json.RawMessage // of a chunk
	TTL     time.Duration   // how long it is kept; 0: for ever
	Writer  WriterState     // of the writer after it
}

// ChunkKind says what a message of an output stream is.
type ChunkKind string

// The kinds of messages of an output stream.
const (
	ChunkData   ChunkKind = ""
	ChunkRewind ChunkKind = "rewind"
	ChunkEnd    ChunkKind = "end"
)

// WriterState is all that a stream's writer has to know, in every message: reading the last one recovers it.
type WriterState struct {
	Epoch       uint64     `json:"epoch"`             // of the claim under which it was written
	Origin      string     `json:"origin"`            // "<step id>/<ordinal>" or "<record number>.<event>": by it a repetition is known
	Incarnation string     `json:"incarnation"`       // of the run
	Emitted     string     `json:"emitted,omitempty"` // "<record number>.<event>" of the last chunk that run code emitted
	Open        []OpenStep `json:"open,omitempty"`    // steps in progress that have written
}

// MaxOpenSteps is how many steps in progress may have written to one stream.
const MaxOpenSteps = 1024

// OpenStep is a step in progress that has written to the stream.
type OpenStep struct {
	ID    string `json:"id"`
	First uint64 `json:"first"` // index of its first chunk
	Count uint64 `json:"count"` // chunks stored
}

// StreamReader reads output streams: a [Client] does.
type StreamReader interface {
	// Chunks yields the stream's messages from index from on, in order, and follows it live until its end, until ctx
	// ends, or, with follow false, until there are no more now. from < 0 counts from the end, at least 0. It resumes
	// by itself over reconnects. A stream that does not exist yet is waited for when following. An error is the last
	// thing yielded.
	Chunks(ctx context.Context, addr Address, stream string, from int64, follow bool) iter.Seq2[*Chunk, error]
}
