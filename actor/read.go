package actor

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Bounds of one answer of $events.
const (
	eventsBytes = 1 << 20
	eventsLimit = 1000
)

// read answers $state, $describe and $events from what is committed.
func (r *run) read(req *Request) {
	switch req.Hook {
	case HookState:
		state := r.committedState()
		if limit := r.host.cfg.MaxPayload; len(state) > limit {
			req.fail(LargeState{Limit: limit, Size: len(state), Seq: r.lastRec, Instead: fmt.Sprintf("client at %s %d", r.addr, r.lastRec)}.failure())
			return
		}
		req.answer(&Outcome{Result: state})
	case HookDescribe:
		b, err := json.Marshal(r.describe())
		if err != nil {
			req.fail(Errorf(CodePanic, "%v", err))
			return
		}
		req.answer(&Outcome{Result: b})
	default:
		r.events(r.part.ctx, req)
	}
}

// LargeState is the details of a failed $state: 413, because the state fits into no message. It is in the log.
type LargeState struct {
	Limit   int    `json:"limit"`   // of a message's body, in bytes
	Size    int    `json:"size"`    // of the state, in bytes
	Seq     uint64 `json:"seq"`     // the last record, after which the state is this
	Instead string `json:"instead"` // how to read it
}

func (l LargeState) failure() *Error {
	return Errorf(CodeTooLarge, "the state has %d bytes, more than a message may have: read it from the log, as %q does", l.Size, l.Instead).With(l)
}

// committedState is an object's last committed state, or a run function's last checkpoint.
func (r *run) committedState() json.RawMessage {
	if r.lastRec == 0 || len(r.x.encoded) == 0 {
		return json.RawMessage("null")
	}
	return r.x.encoded
}

// runDescription is what $describe of an object answers.
type runDescription struct {
	Run         string            `json:"run"`
	Type        string            `json:"type"`
	Key         string            `json:"key"`
	Status      Status            `json:"status"`
	Reason      string            `json:"reason,omitempty"`     // why it is parked, paused, cancelled or terminated
	Cancelling  bool              `json:"cancelling,omitempty"` // its code was told to end, and has not yet
	Incarnation string            `json:"incarnation,omitempty"`
	Partition   int               `json:"partition"`
	Node        string            `json:"node"`
	Session     string            `json:"session"` // of the node's lease
	Epoch       uint64            `json:"epoch"`
	Log         logDescription    `json:"log"`
	Waits       []waitDescription `json:"waits"`
	Alarms      []alarmInRun      `json:"alarms,omitempty"` // by time; those that are due and wait for their turn, too
	Steps       []stepDescription `json:"steps"`
	Hooks       []hookInRun       `json:"hooks"`
	Streams     []streamInRun     `json:"streams"`
	Result      json.RawMessage   `json:"result,omitempty"`
	Error       *Error            `json:"error,omitempty"`
}

type logDescription struct {
	Subject string `json:"subject,omitempty"`
	First   uint64 `json:"first,omitempty"` // sequence of the oldest record that is kept; absent: all are
	Last    uint64 `json:"last"`            // sequence of the last record
	Records uint64 `json:"records"`         // how many were written
}

type waitDescription struct {
	ID  string    `json:"id"`
	Due time.Time `json:"due"`
}

type alarmInRun struct {
	Name    string    `json:"name"`
	Key     string    `json:"key,omitempty"`
	Due     time.Time `json:"due"`
	Attempt int       `json:"attempt,omitempty"` // from 2 on
}

type stepDescription struct {
	ID      string     `json:"id"`
	Name    string     `json:"name"`
	Attempt int        `json:"attempt"`
	Due     *time.Time `json:"due,omitempty"` // of the next attempt
}

type streamInRun struct {
	Name string `json:"name"`
	streamMark
}

type hookInRun struct {
	Name   string `json:"name"`
	Token  string `json:"token"`
	Queued int    `json:"queued"`
}

func (r *run) describe() runDescription {
	d := runDescription{
		Run: r.addr.String(), Type: r.addr.Type, Key: r.addr.Key, Status: r.status, Incarnation: r.x.info.Incarnation,
		Partition: r.part.claim.Partition, Node: r.host.cfg.Node, Session: r.part.claim.Session, Epoch: r.part.claim.Epoch,
		Log:   logDescription{First: r.trim.From, Last: r.lastRec, Records: r.count},
		Waits: []waitDescription{}, Steps: []stepDescription{}, Hooks: []hookInRun{}, Streams: []streamInRun{},
	}
	if r.lastRec == 0 {
		d.Incarnation, d.Status = "", StatusPending
	}
	switch {
	case r.ended != nil:
		d.Result, d.Error, d.Reason = r.ended.Result, r.ended.Error, r.ended.Reason
	case r.parked != nil:
		d.Reason = r.parked.message
	case r.x.paused != nil:
		d.Reason = r.x.paused.Reason
	case r.x.cancelling != nil:
		d.Reason = *r.x.cancelling
	}
	d.Cancelling = r.x.cancelling != nil && r.ended == nil
	for _, id := range slices.Sorted(maps.Keys(r.x.waits)) {
		d.Waits = append(d.Waits, waitDescription{id, r.x.waits[id].due})
	}
	for _, a := range r.x.settings(false) {
		ad := alarmInRun{Name: a.name, Key: a.key, Due: a.due}
		if a.attempt > 1 {
			ad.Attempt = a.attempt
		}
		d.Alarms = append(d.Alarms, ad)
	}
	for _, id := range slices.Sorted(maps.Keys(r.x.steps)) {
		s := r.x.steps[id]
		sd := stepDescription{ID: id, Name: s.name, Attempt: s.attempt}
		if !s.due.IsZero() {
			sd.Due = &s.due
		}
		d.Steps = append(d.Steps, sd)
	}
	marks := r.streams.record(r.x)
	for _, name := range slices.Sorted(maps.Keys(marks)) {
		d.Streams = append(d.Streams, streamInRun{name, marks[name]})
	}
	if r.ended != nil {
		return d // its hooks are open no more
	}
	for _, key := range slices.Sorted(maps.Keys(r.x.hooks)) {
		h := r.x.hooks[key]
		d.Hooks = append(d.Hooks, hookInRun{h.name, h.token, r.x.queuedFor(h)})
	}
	return d
}

func (x *execution) queuedFor(h *hookHandle) int {
	n := 0
	for _, c := range x.queue {
		if c.hook == h.name && (c.token == "" || c.token == h.token) {
			n++
		}
	}
	return n
}

// eventsRequest is the payload of $events.
type eventsRequest struct {
	From  uint64 `json:"from"`  // first log sequence
	Limit int    `json:"limit"` // records; 0: as many as one answer takes
}

// loggedRecord is a record as $events answers it.
type loggedRecord struct {
	Seq  uint64    `json:"seq"`
	Time time.Time `json:"time"` // when it was stored
	Node string    `json:"node"`
	Turn string    `json:"turn"`
	Size int       `json:"size,omitempty"` // of the record's body in bytes, where it is too large for an answer: events, states and tables are left out
	*Record

	bytes int // of the record's body
}

// encode is the record as $events answers it, with at most limit bytes.
func (l loggedRecord) encode(limit int) ([]byte, error) {
	b, err := marshalPlain(l)
	if err != nil || len(b) <= limit {
		return b, err
	}
	l.Size = l.bytes
	l.Record = &Record{V: l.V, Run: l.Run, Incarnation: l.Incarnation, Epoch: l.Epoch, N: l.N, Events: []Event{}}
	return marshalPlain(l)
}

// marshalPlain is v as JSON in which payloads stand as they do in the log.
func marshalPlain(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

func (r *run) events(ctx context.Context, req *Request) {
	var want eventsRequest
	if len(req.Payload) > 0 {
		if err := json.Unmarshal(req.Payload, &want); err != nil {
			req.fail(undecodable(req.Payload, err))
			return
		}
	}
	if want.Limit < 0 {
		req.fail(badPayload("/limit", "must be at least 0"))
		return
	}
	out, next, err := r.logged(ctx, want)
	if err != nil {
		req.fail(asError(err, CodeUnavailable))
		return
	}
	req.answer(&Outcome{Result: slices.Concat([]byte("["), bytes.Join(out, []byte(",")), []byte("]")), Next: next})
}

// logged returns records from a sequence on, each as JSON, and where to go on if there are more.
func (r *run) logged(ctx context.Context, want eventsRequest) (out [][]byte, next uint64, err error) {
	if r.lastRec == 0 {
		return nil, 0, nil
	}
	seqs, err := r.records.before(ctx, r.index, max(want.From, r.trim.first()))
	if err != nil {
		return nil, 0, err
	}
	if r.lastRec >= want.From {
		seqs = append(seqs, r.lastRec)
	}
	limit := eventsLimit
	if want.Limit > 0 {
		limit = min(limit, want.Limit)
	}
	most, size := r.host.cfg.MaxPayload, 2 // with the brackets of the list
	for _, seq := range seqs {
		if len(out) == limit || size > eventsBytes {
			return out, seq, nil
		}
		e, err := r.host.cfg.Log.Read(ctx, r.addr, seq)
		if err != nil {
			return nil, 0, err
		}
		rec, err := DecodeRecord(e.Body)
		if err != nil {
			return nil, 0, err
		}
		rec.IDs, rec.IDsBefore, rec.IDsUntil, rec.IDsSeen = nil, 0, 0, nil
		b, err := loggedRecord{Seq: seq, Time: e.Time, Node: e.Node, Turn: e.Turn, Record: rec, bytes: len(e.Body)}.encode(most - 2)
		if err != nil {
			return nil, 0, err
		}
		if len(out) > 0 && size+len(b) > most {
			return out, seq, nil
		}
		size += len(b) + 1
		out = append(out, b)
	}
	return out, 0, nil
}

// answerAgain gives a repeated call its first outcome, from the log.
func (r *run) answerAgain(req *Request, known *IDEntry) {
	events := r.recent
	if known.Seq != r.lastRec || events == nil {
		rec, err := r.records.one(r.part.ctx, known.Seq)
		if err != nil {
			req.fail(asError(err, CodeUnavailable))
			return
		}
		events = rec.Events
	}
	for i := range events {
		ev := &events[i]
		if ev.ID == req.Header.CallID && (ev.Type == CallCompleted || ev.Type == CallFailed) {
			req.answer(outcomeOf(ev, known.Seq))
			return
		}
	}
	req.fail(Errorf(CodeUnavailable, "the outcome of call %q is not in record %d", req.Header.CallID, known.Seq))
}

// endOutcome is the result of an ended run.
func (r *run) endOutcome() *Outcome { return outcomeOf(r.ended, r.lastRec) }
