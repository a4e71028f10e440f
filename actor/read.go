package actor

import (
	"context"
	"encoding/json"
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
		req.answer(&Outcome{Result: r.committedState()})
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
	*Record
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
	b, err := json.Marshal(out)
	if err != nil {
		req.fail(Errorf(CodePanic, "%v", err))
		return
	}
	req.answer(&Outcome{Result: b, Next: next})
}

// logged returns records from a sequence on, and where to go on if there are more.
func (r *run) logged(ctx context.Context, want eventsRequest) (out []loggedRecord, next uint64, err error) {
	out = []loggedRecord{}
	if r.lastRec == 0 {
		return out, 0, nil
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
	size := 0
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
		rec.IDs, rec.IDsBefore, rec.IDsUntil = nil, 0, 0
		size += len(e.Body)
		out = append(out, loggedRecord{seq, e.Time, e.Node, e.Turn, rec})
	}
	return out, 0, nil
}

// answerAgain gives a repeated call its first outcome, from the log.
func (r *run) answerAgain(req *Request, known *IDEntry) {
	rec, err := r.records.one(r.part.ctx, known.Seq)
	if err != nil {
		req.fail(asError(err, CodeUnavailable))
		return
	}
	for i := range rec.Events {
		ev := &rec.Events[i]
		if ev.ID == req.Header.CallID && (ev.Type == CallCompleted || ev.Type == CallFailed) {
			req.answer(outcomeOf(ev, known.Seq))
			return
		}
	}
	req.fail(Errorf(CodeUnavailable, "the outcome of call %q is not in record %d", req.Header.CallID, known.Seq))
}

// endOutcome is the result of an ended run.
func (r *run) endOutcome() *Outcome { return outcomeOf(r.ended, r.lastRec) }
