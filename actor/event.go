package actor

import (
	"encoding/json"
	"fmt"
	"iter"
	"time"
)

// RecordVersion is the newest version of the record format that this code reads. A record has the lowest version whose
// readers understand it.
const RecordVersion = 3

// Versions of the record format.
const (
	recordPlain = 1
	recordNew   = 2 // a reader of version 1 would lose what it says
	recordTomb  = 3 // one of version 2 would take the run for one that has ended
)

// EventType names what happened. The names are on disk: never rename one.
type EventType string

// Event types of this version.
const (
	RunCreated    EventType = "run_created"    // the object's first event
	RunClaimed    EventType = "run_claimed"    // first event that a node writes for a run under a claim
	RunStarted    EventType = "run_started"    // a run function's input is there
	RunCompleted  EventType = "run_completed"  // the run function returned
	RunFailed     EventType = "run_failed"     // the run function returned an error
	RunCancelling EventType = "run_cancelling" // somebody asked the run to end: its code is told
	RunCancelled  EventType = "run_cancelled"  // the run function returned after that
	RunTerminated EventType = "run_terminated" // somebody ended the run: its code was not asked
	RunParked     EventType = "run_parked"     // code does not match the log, or panicked
	RunPurged     EventType = "run_purged"     // the run is being removed, with everything that is kept of it
	RunPaused     EventType = "run_paused"     // somebody stopped the run for a time
	RunResumed    EventType = "run_resumed"    // a parked or paused run goes on
	HookCreated   EventType = "hook_created"   // run code made a hook
	HookReceived  EventType = "hook_received"  // a call or send arrived
	HookConflict  EventType = "hook_conflict"  // the hook's token is held by another run
	HookDisposed  EventType = "hook_disposed"  // the hook is gone, with its run
	CallCompleted EventType = "call_completed" // a call's reply
	CallFailed    EventType = "call_failed"    // a call's failure
	StepStarted   EventType = "step_started"   // a step outlasts its turn, or runs again
	StepCompleted EventType = "step_completed" // a step's result
	StepFailed    EventType = "step_failed"    // a step failed for good
	StepRetrying  EventType = "step_retrying"  // an attempt failed; the next starts at Due
	Output        EventType = "output"         // run code emitted a chunk to an output stream, or closed it
	Snapshot      EventType = "snapshot"       // run code continues from a checkpoint
	WaitCreated   EventType = "wait_created"   // a sleep or timeout began, or an alarm was set
	WaitCompleted EventType = "wait_completed" // its time came
	WaitCancelled EventType = "wait_cancelled" // it is no longer waited for
)

// Status is where a run is in its life.
type Status string

// The states of a run.
const (
	StatusPending    Status = "pending"    // has received sends, waits for $start
	StatusRunning    Status = "running"    // lives
	StatusParked     Status = "parked"     // waits for fixed code
	StatusPaused     Status = "paused"     // waits for $unpause
	StatusCompleted  Status = "completed"  // its run function returned
	StatusFailed     Status = "failed"     // its run function returned an error
	StatusCancelled  Status = "cancelled"  // its run function returned after it was cancelled
	StatusTerminated Status = "terminated" // it was ended without asking its code
	StatusPurged     Status = "purged"     // it is being removed: the last record of a log says so, until it goes too
)

// Ended reports whether the run takes no more calls, for ever.
func (s Status) Ended() bool {
	switch s {
	case StatusCompleted, StatusFailed, StatusCancelled, StatusTerminated:
		return true
	default:
		return false
	}
}

// Ends returns the status of a run after an event that ends it; ok is false for every other event.
func (t EventType) Ends() (s Status, ok bool) {
	switch t {
	case RunCompleted:
		return StatusCompleted, true
	case RunFailed:
		return StatusFailed, true
	case RunCancelled:
		return StatusCancelled, true
	case RunTerminated:
		return StatusTerminated, true
	default:
		return "", false
	}
}

// Record is the body of one log message: the events of one turn.
type Record struct {
	V            int                   `json:"v"`
	Run          string                `json:"run"`
	Incarnation  string                `json:"incarnation"` // uuid made with run_created
	Epoch        uint64                `json:"epoch"`
	N            uint64                `json:"n"`                // its number in the object's log, from 1
	Inbox        uint64                `json:"inbox,omitempty"`  // position received: every send at or below it is in this log
	Buried       []BuriedSend          `json:"buried,omitempty"` // sends up to Inbox that are not in this log, but becoming dead letters
	Events       []Event               `json:"events"`
	Streams      map[string]streamMark `json:"streams,omitempty"`      // how far the output streams were written
	State        json.RawMessage       `json:"state,omitempty"`        // an object's whole state after the turn
	Delta        *Delta                `json:"delta,omitempty"`        // the same, as changes of an earlier record's
	StateVersion int                   `json:"stateVersion,omitempty"` // of the state after the turn; 0 is 1
	Alarms       []AlarmEntry          `json:"alarms,omitempty"`       // every setting of an alarm that has not fired, in the order in which they will
	AlarmsAt     uint64                `json:"alarmsAt,omitempty"`     // record with the table of alarms in force; 0: it is in this one
	Compacted    []Event               `json:"compacted,omitempty"`    // what still counts of the log before the record's last checkpoint
	Snapshot     uint64                `json:"snapshot,omitempty"`     // record with the run's last checkpoint, where that is an earlier one
	Kept         *Kept                 `json:"kept,omitempty"`         // how much of the log is left; absent: all
	Paused       *Pausing              `json:"paused,omitempty"`       // the run is paused
	IDs          []IDEntry             `json:"ids,omitempty"`          // table of call ids, in records that carry one
	IDsUntil     int64                 `json:"idsUntil,omitempty"`     // no id of the tables before is kept longer for its call, Unix seconds
	IDsBefore    uint64                `json:"idsBefore,omitempty"`    // record with the table that IDs adds to; 0: IDs is whole
	IDsSeen      idFilter              `json:"idsSeen,omitempty"`      // which ids the tables before may have
}

// Pausing is that somebody stopped the run for a time.
type Pausing struct {
	Reason string `json:"reason,omitempty"`
}

// lowest returns the lowest version whose readers understand the record.
func (r *Record) lowest() int {
	if r.purged() {
		return recordTomb
	}
	if r.Delta != nil || r.StateVersion != 0 || r.Compacted != nil || r.Snapshot != 0 || r.Kept != nil || r.Paused != nil ||
		len(r.Alarms) > 0 || r.AlarmsAt != 0 {
		return recordNew
	}
	for i := range r.Events {
		switch ev := &r.Events[i]; {
		case ev.Type == RunCancelling, ev.Type == RunPaused, ev.Type == RunCancelled, ev.Type == RunTerminated,
			ev.Previous != 0, ev.unpauses(), ev.alarm():
			return recordNew
		}
	}
	return recordPlain
}

// all ranges over the events of the record, those of the time before its last checkpoint first.
func (r *Record) all() iter.Seq[*Event] {
	return func(yield func(*Event) bool) {
		for _, events := range [][]Event{r.Compacted, r.Events} {
			for i := range events {
				if !yield(&events[i]) {
					return
				}
			}
		}
	}
}

// settles reports whether ev is the outcome of this call, or takes back this alarm that has fired.
func (ev *Event) settles(id string) bool {
	return ev.ID == id && (ev.Type == CallCompleted || ev.Type == CallFailed || ev.Type == WaitCancelled)
}

// checkpoint is where among the record's events that is from which code goes on, with what Compacted has; -1: there is none.
func (r *Record) checkpoint() int {
	if r.Compacted == nil {
		return -1
	}
	return lastSnapshot(r.Events)
}

// replaced reports whether ev came before the record's checkpoint.
func (r *Record) replaced(ev *Event) bool {
	for i := range max(r.checkpoint(), 0) {
		if &r.Events[i] == ev {
			return true
		}
	}
	return false
}

// BuriedSend is a send that can never be applied, and why.
type BuriedSend struct {
	Inbox uint64 `json:"inbox"`
	Cause *Error `json:"cause"`
}

// Event is one thing that happened. Which fields an event type uses is in docs/format.md.
type Event struct {
	Type     EventType       `json:"type"`
	At       time.Time       `json:"at"`
	ID       string          `json:"id,omitempty"`   // of the call, hook, step or wait
	Name     string          `json:"name,omitempty"` // of the hook, step or alarm
	Key      string          `json:"key,omitempty"`  // of an alarm's setting
	Token    string          `json:"token,omitempty"`
	Payload  json.RawMessage `json:"payload,omitempty"`
	Version  int             `json:"version,omitempty"` // of Payload; 0 is 1
	Result   json.RawMessage `json:"result,omitempty"`
	Error    *Error          `json:"error,omitempty"`
	Hash     string          `json:"hash,omitempty"`     // of the payload as normalized, or of a step's input
	Inbox    uint64          `json:"inbox,omitempty"`    // inbox sequence of a send
	Received uint64          `json:"received,omitempty"` // record that has the call, where it becomes a dead letter; 0: the same
	Previous uint64          `json:"previous,omitempty"` // last record of the run before under this key
	ReplyTo  string          `json:"replyTo,omitempty"`  // where a send's outcome goes
	Trace    []string        `json:"trace,omitempty"`
	Attempt  int             `json:"attempt,omitempty"`
	Due      *time.Time      `json:"due,omitempty"`
	Node     string          `json:"node,omitempty"`
	Epoch    uint64          `json:"epoch,omitempty"`
	Revision uint64          `json:"revision,omitempty"` // of the claim in its bucket
	Reason   string          `json:"reason,omitempty"`
	End      bool            `json:"end,omitempty"` // of an output stream
	Run      string          `json:"run,omitempty"` // who holds the token
}

// unpauses reports whether the event lets a paused run go on.
func (ev *Event) unpauses() bool { return ev.Type == RunResumed && ev.Name == HookUnpause }

// alarm reports whether ev is of an alarm: a wait that runs a method.
func (ev *Event) alarm() bool {
	return ev.Name != "" && (ev.Type == WaitCreated || ev.Type == WaitCompleted || ev.Type == WaitCancelled)
}

// IDEntry is one call id that the object remembers.
type IDEntry struct {
	ID      string `json:"id"`          // hash of the call id
	Payload string `json:"p"`           // hash of the payload
	Seq     uint64 `json:"s,omitempty"` // record of the outcome; 0: not there yet
	At      int64  `json:"t"`           // when it was received, Unix seconds
	Hook    string `json:"h"`           // hook it went to
	Until   int64  `json:"u,omitempty"` // kept at least until then, Unix seconds
	Pending bool   `json:"-"`           // received, without outcome
}

// DecodeRecord reads a record's body. It refuses what is not a record of this or an older version.
func DecodeRecord(body []byte) (*Record, error) {
	var r Record
	if err := json.Unmarshal(body, &r); err != nil {
		return nil, fmt.Errorf("decode record: %w", err)
	}
	switch {
	case r.V < 1:
		return nil, fmt.Errorf("decode record: no version")
	case r.V > RecordVersion:
		return nil, fmt.Errorf("decode record: version %d is newer than %d: upgrade this node", r.V, RecordVersion)
	case r.Run == "" || r.Incarnation == "":
		return nil, fmt.Errorf("decode record: no run or incarnation")
	}
	return &r, nil
}
