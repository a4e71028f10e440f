package actor

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"
)

// Names of the runtime's own hooks.
const (
	HookStart    = "$start"
	HookState    = "$state"
	HookEvents   = "$events"
	HookDescribe = "$describe"
	HookResume   = "$resume"

	HookCancel    = "$cancel"
	HookTerminate = "$terminate"
	HookPause     = "$pause"
	HookUnpause   = "$unpause"
	HookWake      = "$wake"
	HookPurge     = "$purge"

	// TypeToken in the place of a type, with a token in the place of the key, addresses the run that holds the token.
	TypeToken = "$token"
	// KeyType in the place of a key addresses the type itself.
	KeyType = "$type"
)

// DefaultTimeout is how long a call that names no timeout is tried.
const DefaultTimeout = 30 * time.Second

// Request is a call as it reaches the node that owns the object.
type Request struct {
	Address  Address
	Hook     string
	Token    string // the token it came by, if any
	Header   CallHeader
	Payload  []byte
	Received time.Time
	// Reply is called once with the outcome, from any goroutine; it must not block. Nil: nobody waits.
	Reply func(*Outcome)
}

// Timeout is how long the call is tried, from when it was received.
func (r *Request) Timeout() time.Duration {
	if r.Header.Timeout > 0 {
		return r.Header.Timeout
	}
	return DefaultTimeout
}

// OrForward makes the call go on to forward when the node that takes it turns out not to own the object, or not any
// more: when its outcome is one that repeating may heal. forward returns false if there is nobody to go on to; the call
// then ends with that outcome.
func (r *Request) OrForward(forward func(*Request) bool) {
	if r.Reply == nil {
		return
	}
	if r.Header.CallID == "" { // it may have been received before the partition was lost
		r.Header.CallID = uuid.NewString()
	}
	next := *r
	reply := r.Reply
	r.Reply = func(o *Outcome) {
		if o.Err != nil && o.Err.InDoubt() {
			next.Reply = func(o *Outcome) { reply(o.doubtful()) } // who comes next may know nothing of it
		}
		if o.Err == nil || !o.Err.Retryable() || !forward(&next) {
			reply(o)
		}
	}
}

// Outcome is what became of a call.
type Outcome struct {
	Run    string
	Seq    uint64 // log sequence that made it durable; 0 for reads
	Node   string
	Result json.RawMessage // JSON; null where there is none
	Err    *Error          // nil: it succeeded
	Next   uint64          // $events: where to go on reading; 0: that was all
}

// doubtful is o, without a claim that nothing was done.
func (o *Outcome) doubtful() *Outcome {
	if o.Err == nil || !o.Err.Retryable() {
		return o
	}
	d, e := *o, *o.Err
	d.Err = e.Doubtful()
	return &d
}
