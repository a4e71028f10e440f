package actor

import (
	"context"
	"encoding/json"
	"iter"
	"reflect"
	"time"
)

// EventLog keeps each object's records, one subject an object. Adapters are safe for concurrent use.
type EventLog interface {
	// Append writes e as the next record of its object, provided that the object's last message has
	// sequence expected (0: none). It blocks until the record is durable and returns its sequence.
	// Errors: [ErrAppendConflict], [ErrAppendRefused], [ErrAppendUnknown], each wrapped with its cause.
	// Append neither retries nor keeps e.
	Append(ctx context.Context, e *Entry, expected uint64) (uint64, error)
	RecordLog
	RecordParts
	// Scan walks the object's whole subject, oldest first. It is slow on old objects:
	// only for objects whose last message is foreign.
	Scan(ctx context.Context, addr Address) iter.Seq2[*Entry, error]
	// Remove forgets the record with this sequence, if it is one of the object's, and what it alone needs. No error
	// when there is none. It may be repeated.
	Remove(ctx context.Context, addr Address, seq uint64) error
	// Tail yields what the partitions' logs hold above the floors, in log order, without bodies, and stops
	// at the end that the stream had when it began. floors: partition → sequence.
	Tail(ctx context.Context, floors map[int]uint64) iter.Seq2[*Entry, error]
	// End returns the last sequence of the log stream of a partition.
	End(ctx context.Context, partition int) (uint64, error)
}

// RecordLog reads an object's records one by one.
type RecordLog interface {
	// Last returns the last message of the object, from the stream's leader; its Foreign is set when it
	// is not a record. [ErrNoRecord] when there is none.
	Last(ctx context.Context, addr Address) (*Entry, error)
	// Read returns the message with this sequence in the object's log stream. [ErrNoRecord] when there is
	// none, or when it belongs to another object.
	Read(ctx context.Context, addr Address, seq uint64) (*Entry, error)
}

// RecordParts is what a log has of records that are too large for one message: each append of one stores parts first, then the
// record that names them. An append that is certainly not in the log has removed its parts, or tried to: one that ends as
// [ErrAppendRefused], and where nobody else can have written it, as [ErrAppendConflict].
type RecordParts interface {
	// Attempts returns the appends in a partition that have parts, those of records in the log among them: of one object, or of all
	// when addr is zero.
	Attempts(ctx context.Context, partition int, addr Address) (map[Address][]Attempt, error)
	// RemoveAttempt forgets the parts of an append of the object's, unless record next, the first that follows a.After in
	// the log, is that append. It may be repeated.
	RemoveAttempt(ctx context.Context, addr Address, a Attempt, next uint64) error
}

// Attempt is an append of a large record, by its parts.
type Attempt struct {
	After       uint64 // sequence of the object's last message when it was made: its record is the next one, or is not in the log
	Incarnation string // of the run
	ID          string
}

// Entry is one record with what its headers say.
type Entry struct {
	Address   Address
	Seq       uint64    // its sequence; 0 until appended
	Time      time.Time // when the server stored it
	Foreign   bool      // not a record: nothing below is set
	Epoch     uint64    // of the partition's claim under which it was written
	Turn      string    // uuid of the turn: an append is recognised by it
	Node      string    // who wrote it
	Status    Status    // of the run after it
	Unsettled bool      // the run has effects not yet let out, or a step in flight
	Index     Index     // where earlier records stand
	Body      []byte    // JSON of [Record]
}

// Index lets a reader find an object's records by sequence, without walking its subject.
type Index struct {
	Page []uint64 // sequences of the earlier records of this page, oldest first, at most pageLen-1
	Prev uint64   // last record of the page before; 0: none
	Base uint64   // oldest record that activation needs; 0: this one suffices
	IDs  uint64   // record that carries the last table of call ids; 0: none
}

// Inbox is the durable queue of one-way calls.
type Inbox interface {
	// Follow calls fn for each message from sequence from on, in order, until ctx ends or fn returns an
	// error, which it returns. fn must not block for long. The message is fn's to keep.
	Follow(ctx context.Context, from uint64, fn func(*Message) error) error
	// Bounds returns the first and last sequence of the stream and its incarnation.
	Bounds(ctx context.Context) (InboxBounds, error)
	// Trim forgets every message below seq.
	Trim(ctx context.Context, seq uint64) error
}

// InboxBounds is what the inbox holds: [First, Last]; First is Last+1 when it is empty.
type InboxBounds struct {
	First, Last uint64
	Incarnation string // changes when the stream is made anew
}

// Message is one message of the inbox. Its tokens are as sent, not yet checked.
type Message struct {
	Seq       uint64
	Time      time.Time // when it was stored
	Partition int
	Type, Key string // subject tokens; Type is "$token" for a resume, with the encoded token as Key
	Hook      string
	Header    CallHeader
	Payload   []byte
}

// CallHeader is what the optional headers of a call or send say.
type CallHeader struct {
	CallID   string        // empty: none given
	Timeout  time.Duration // 0: none given
	ReplyTo  string        // subject that gets the outcome of a send
	After    uint64        // inbox sequence that the object must have received first
	Trace    []string      // traceparent, tracestate
	Token    string        // the token that a forwarded send came by
	Wait     Wait          // what the caller waits for
	IDPolicy IDPolicy      // $start: what it does where the run has ended
	Problem  string        // a header that cannot be read: the call is answered 400 with this
}

// Wait says when a call is answered.
type Wait string

// What a caller can wait for.
const (
	WaitReply    Wait = ""         // the hook's reply (the default)
	WaitReceived Wait = "received" // until the call is durable in the object's log
	WaitEnd      Wait = "end"      // $start: until the run has ended, then its result
)

// Timers are durable alarms: each comes back through Follow at or after its time, also when no node was awake.
type Timers interface {
	// Arm makes the timer durable. Arming an id again does nothing more.
	Arm(ctx context.Context, addr Address, id string, at time.Time) error
	// Cancel forgets it; no error when it has fired or was never armed.
	Cancel(ctx context.Context, addr Address, id string) error
	// Follow calls fn for each firing from sequence from on until ctx ends or fn returns an error.
	Follow(ctx context.Context, from uint64, fn func(*Firing) error) error
	// Done forgets a firing that was applied or is of no use.
	Done(ctx context.Context, seq uint64) error
}

// Firing is a timer that came due.
type Firing struct {
	Seq       uint64
	Partition int
	Address   Address
	ID        string
}

// Tokens maps hook tokens that are not the default one to the run that holds them.
type Tokens interface {
	// Claim takes token for holder. It returns the holder in force: holder itself, or who has it.
	Claim(ctx context.Context, token string, holder TokenHolder) (TokenHolder, error)
	// Release gives token up if holder has it.
	Release(ctx context.Context, token string, holder TokenHolder) error
	// Resolve returns who holds token; ok is false when nobody does.
	Resolve(ctx context.Context, token string) (holder TokenHolder, ok bool, err error)
}

// TokenHolder says who holds a token.
type TokenHolder struct {
	Run         string `json:"run"`
	Hook        string `json:"hook"`
	Incarnation string `json:"incarnation"`
}

// Outlet lets effects out that are messages to the outside.
type Outlet interface {
	// Forward puts a send into the inbox, or has its run receive it: durable when it returns. An [*Error] other than
	// 503 and 504 says that it can never be applied.
	Forward(ctx context.Context, addr Address, hook string, h CallHeader, payload []byte) error
	// Outcome publishes an outcome to the subject that a send named.
	Outcome(ctx context.Context, replyTo string, o *Outcome) error
	// Allows reports whether outcomes may be published to a subject.
	Allows(subject string) bool
	// DeadLetter keeps a message that can never be applied: durable when it returns. Keeping the same
	// inbox sequence again does nothing.
	DeadLetter(ctx context.Context, d *DeadLetter) error
}

// DeadLetter is a send that can never be applied, with its cause. It has what it takes to send it again.
type DeadLetter struct {
	Run        string    `json:"run"`                   // as addressed: "<type>/<key>"
	BadAddress bool      `json:"bad_address,omitempty"` // Run is made of the subject's tokens as they were sent: they are no address
	Hook       string    `json:"hook"`
	Token      string    `json:"token,omitempty"` // that it came by
	CallID     string    `json:"call_id,omitempty"`
	Inbox      uint64    `json:"inbox"` // its sequence in the inbox
	Sent       time.Time `json:"sent"`  // when the inbox stored it
	Cause      *Error    `json:"cause"`
	Payload    []byte    `json:"payload,omitempty"` // base64: as sent, perhaps not JSON
	ReplyTo    string    `json:"reply_to,omitempty"`
	Trace      []string  `json:"trace,omitempty"`
}

// Schemas makes the payload schemas of Go types.
type Schemas interface {
	// For returns the schema of t. Its error says what is wrong with the definition of t.
	For(t reflect.Type) (Schema, error)
}

// Schema checks and completes payloads of one Go type. It is safe for concurrent use.
type Schema interface {
	// JSON returns the JSON Schema (draft 2020-12).
	JSON() json.RawMessage
	// Normalize validates data, fills in defaults and drops unknown fields.
	// Its error is an [*Error] with code 400, whose details name the field.
	Normalize(data []byte) ([]byte, error)
}
