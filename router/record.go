package router

import (
	"time"

	"github.com/perdure/perdure/actor"
)

// Record is what the bucket says about a partition. Its JSON is the value of the key partition.<p>: the fields here
// and, beside them, those of [actor.Checkpoint].
type Record struct {
	Partition int       `json:"-"`
	Revision  uint64    `json:"-"`                   // in the bucket; 0: never written
	Node      string    `json:"node"`                // who claimed it last
	Session   string    `json:"session"`             // under which lease
	Epoch     uint64    `json:"epoch"`               // issued by that claim; 0: never claimed
	Since     time.Time `json:"since"`               // when, by the claimer's clock
	TTL       Millis    `json:"ttl_ms,omitempty"`    // of the claimer's lease; 0: as one's own
	Released  bool      `json:"released,omitempty"`  // given back: it may be claimed at once
	Successor string    `json:"successor,omitempty"` // node that it was released to; empty: to whom it belongs
	actor.Checkpoint
}

// bad reports whether the value in the bucket is not a record, or was deleted.
func (r Record) bad() bool { return r.Epoch == 0 && r.Revision != 0 }

// Lease is what a node says about itself while it lives. Its JSON is the value of the key node.<node>.
type Lease struct {
	Revision uint64    `json:"-"` // in the bucket; 0: there is none
	Node     string    `json:"node"`
	Session  string    `json:"session"`
	Address  string    `json:"address,omitempty"`  // where it answers
	Types    []string  `json:"types"`              // object types it hosts, in order
	Since    time.Time `json:"since,omitzero"`     // when the session began, by the node's clock
	TTL      Millis    `json:"ttl_ms,omitempty"`   // after so long without renewal it is dead; 0: as one's own
	Draining bool      `json:"draining,omitempty"` // it wants to own nothing
}

// Millis is a duration in milliseconds, as JSON has it.
type Millis int64

// or returns the duration, or another where it is not known.
func (m Millis) or(other time.Duration) time.Duration {
	if m <= 0 {
		return other
	}
	return time.Duration(m) * time.Millisecond
}

func millis(d time.Duration) Millis { return Millis(d.Milliseconds()) }
