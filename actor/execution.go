package actor

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"
)

// execution is a run's code with everything that it can observe. It is a pure state machine: input takes one event,
// lets the code run until it waits again, and appends what the code did to the journal. Replay is the same with
// events from the log, and then what the code does must be what the log says.
type execution struct {
	info       Info
	typ        *typeDef
	journal    journal
	clock      func() time.Time
	limit      int // largest result, in bytes
	stateLimit int // largest state or checkpoint, in bytes
	log        *slog.Logger

	body    *coroutine
	waitFor string // what the code waits for, for messages
	ready   func() bool
	stalled bool // the code could do more, and does so in the next turn
	busy    bool // ends of steps that were started together are being taken
	status  Status
	err     error // *ReplayError, or a panic of a run function (*Error): the run must be parked

	queue   []*received            // calls not yet taken, in log order
	open    map[string]*received   // every call without outcome, by id
	hooks   map[string]*hookHandle // hooks that code made, by "<name> <token>"
	steps   map[string]*stepRun    // steps without result, by id
	waits   map[string]*timer      // sleeps and timeouts not yet over, by id
	alarms  alarmTable             // alarms that have not fired
	input0  string                 // id of the input last delivered, for stable ids
	ordinal int                    // ids given out since that input
	rng     *rand.Rand

	state   any             // an object's state, *S
	encoded json.RawMessage // its last complete value; of a run function its last checkpoint
	version int             // of encoded
	current *received       // the call that a method is running for

	cancelling *string   // why the run is to end; nil: it is not
	paused     *Pausing  // why the code does not go on; nil: it does
	won        *received // call of the hook that won the last race
	concluding bool      // the run ends: all of that is one record

	started   []*stepRun // steps to start, in order; the run's owner takes them
	cancelled []string   // steps whose bodies are to end
	began     *Event     // run_started
	continues *Event     // the checkpoint that the code has just recorded, and goes on from
	compacted []Event    // what of the log before the last checkpoint still counts
	life      string     // id of the last checkpoint

	outputs []Event         // what the method that runs has done to its streams
	changes alarmChanges    // what it has done to the alarms
	closed  map[string]bool // output streams that code has closed
}

// received is a call in the log that has no outcome yet.
type received struct {
	id      string
	hook    string
	token   string
	at      time.Time
	payload json.RawMessage
	version int // of payload
	replyTo string
	trace   []string
	inbox   uint64
	alarm   *firedAlarm // nil: it is a call
}

// firedAlarm is what a received call is that an alarm makes.
type firedAlarm struct {
	key     string
	due     time.Time
	attempt int
}

func newExecution(info Info, typ *typeDef, clock func() time.Time, limit, stateLimit int, log *slog.Logger) *execution {
	return &execution{
		info: info, typ: typ, clock: clock, limit: limit, stateLimit: stateLimit, log: log, status: StatusPending,
		journal: journal{run: info.RunID},
		open:    map[string]*received{}, hooks: map[string]*hookHandle{}, steps: map[string]*stepRun{}, waits: map[string]*timer{},
		closed: map[string]bool{},
	}
}

// replay runs the code through its history. On a mismatch x.err is set.
func (x *execution) replay(past replayable) {
	x.journal.history, x.journal.now = past.history, past.begin
	x.paused = past.paused
	if past.snapshot != nil {
		x.resumeFrom(past.compacted, past.snapshot)
	}
	for i := range past.queued {
		x.receive(&past.queued[i])
	}
	x.advance()
	for !x.journal.live() && x.err == nil {
		past := x.journal.peek()
		if !x.isInput(&past.Event) {
			x.fail(x.journal.mismatch(waiting("%s", x.waitingFor())))
			return
		}
		x.apply(x.journal.take())
	}
}

// input delivers a live event.
func (x *execution) input(ev Event) { x.apply(x.journal.record(ev, x.clock())) }

// isInput reports whether ev comes from outside the code: everything else must be done by the code itself.
func (x *execution) isInput(ev *Event) bool {
	switch ev.Type {
	case RunStarted, RunCancelling, RunPaused, RunResumed, HookReceived, HookConflict, WaitCompleted:
		return true
	case StepStarted, StepRetrying, StepCompleted, StepFailed:
		return x.steps[ev.ID] != nil && ev.Reason != reasonCancelled
	default:
		return false
	}
}

func (x *execution) apply(ev *Event) {
	switch ev.Type {
	case RunStarted:
		began := *ev
		x.status, x.began = StatusRunning, &began
		x.delivered("start")
		x.start(ev.Payload)
	case RunCancelling:
		x.cancel(ev)
	case RunPaused:
		x.paused = &Pausing{ev.Reason}
	case RunResumed:
		x.paused = nil
	case HookReceived:
		x.receive(ev)
	case HookConflict:
		x.conflicted(ev)
	case StepStarted, StepRetrying, StepCompleted, StepFailed:
		x.applyStep(x.steps[ev.ID], ev)
	case WaitCompleted:
		if ev.alarm() {
			x.alarms.remove(alarmName{ev.Name, ev.Key}, ev.ID)
			x.receive(ev)
			break
		}
		if t := x.waits[ev.ID]; t != nil {
			t.fired = true
			delete(x.waits, ev.ID)
			x.delivered(ev.ID)
		}
	default: // the rest says nothing to the code
	}
	x.advance()
}

func (x *execution) conflicted(ev *Event) {
	if h := x.hooks[ev.Name+" "+ev.Token]; h != nil {
		h.conflict = &HookConflictError{Token: ev.Token, Run: ev.Run}
	}
}

// receive queues a call, or an alarm that has fired; the code takes it when it awaits the hook.
func (x *execution) receive(ev *Event) {
	c := &received{id: ev.ID, hook: ev.Name, token: ev.Token, at: ev.At, payload: ev.Payload, version: ev.Version, replyTo: ev.ReplyTo, trace: ev.Trace, inbox: ev.Inbox}
	if ev.alarm() {
		c.alarm = &firedAlarm{ev.Key, *ev.Due, max(ev.Attempt, 1)}
	}
	x.queue = append(x.queue, c)
	x.open[c.id] = c
}

// admitLate takes what came while the run was parked: it stands in the log before what the code did once it was mended.
func (x *execution) admitLate() {
	for past := x.journal.peek(); past != nil && past.late; past = x.journal.peek() {
		if ev := x.journal.take(); ev.Type == RunCancelling {
			x.cancel(ev)
		} else {
			x.receive(ev)
		}
	}
}

// advance lets the code run as long as what it waits for is there, and the turn is not full.
func (x *execution) advance() {
	x.stalled = false
	for x.err == nil && x.paused == nil {
		ready := x.body != nil && x.ready != nil && x.ready()
		next := x.typ.object != nil && x.body == nil && len(x.queue) > 0
		switch {
		case !ready && !next:
			return
		case x.full():
			x.stalled = true
			return
		case ready:
			x.ready = nil
			x.step()
		default:
			x.startMethod()
		}
	}
}

// full reports whether what the code does next belongs into the next turn's record. Replay knows no turns: the events
// of a stalled run are followed by what its code does then, and by nothing else, so no step may be left to be taken.
func (x *execution) full() bool {
	return x.journal.live() && x.journal.size() >= turnBytes && len(x.started) == 0 && !x.busy && !x.concluding
}

// yield parks code that would fill the turn's record beyond measure. Called by the code.
func (x *execution) yield() {
	if x.body != nil && x.current == nil && x.full() {
		x.waitFor, x.ready = "the record of what it has done", func() bool { return true }
		x.body.wait()
	}
}

// step resumes the code until it waits or ends.
func (x *execution) step() {
	x.body.resume()
	if x.continues != nil {
		x.startAgain()
		return
	}
	if !x.body.ended {
		return
	}
	body := x.body
	x.body = nil
	if body.panic != nil && x.err == nil {
		x.panicked(body.panic)
	}
}

// await parks the code until ready, until the run is cancelled, or until the scope's deadline: then it returns
// [ErrCancelled] or [ErrTimeout]. Called by the code.
func (x *execution) await(s *scope, what string, ready func() bool) error {
	x.body.alive()
	x.yield()
	switch {
	case s.cancelled():
		return ErrCancelled
	case ready():
		return nil
	}
	return x.awaitOr(s, x.deadline(s), what, ready)
}

// deadline starts the timer of a scope with a deadline; nil for one without.
func (x *execution) deadline(s *scope) *timer {
	if s.deadline.IsZero() {
		return nil
	}
	return x.newTimer(s.deadline)
}

// awaitOr parks the code until ready, until the run is cancelled, or until t: then it returns [ErrCancelled] or
// [ErrTimeout].
func (x *execution) awaitOr(s *scope, t *timer, what string, ready func() bool) error {
	if !ready() {
		x.waitFor, x.ready = what, func() bool { return ready() || s.cancelled() || t != nil && t.fired }
		x.body.wait()
	}
	cancelled := s.cancelled()
	if !cancelled && !ready() {
		return ErrTimeout
	}
	if t != nil {
		x.cancelTimer(t)
	}
	if cancelled {
		return ErrCancelled
	}
	return nil
}

// do records a command of the code, or checks it against the log. It does not return on a mismatch.
func (x *execution) do(ev Event) *Event {
	return x.doMatching(ev, sameCommand(ev))
}

func (x *execution) doMatching(ev Event, same func(*Event) bool) *Event {
	if x.body != nil {
		x.body.alive()
	}
	x.yield()
	x.admitLate()
	logged, err := x.journal.command(ev, x.clock(), same)
	if err != nil {
		x.halt(err)
	}
	return logged
}

// halt parks the run for err. Called by the code, it does not return.
func (x *execution) halt(err error) {
	x.fail(err)
	if x.body != nil {
		x.ready = nil
		x.body.wait() // never resumed, only killed
	}
}

func (x *execution) fail(err error) { x.err = err }

// panicked says what a panic of user code does: it is a method's outcome, and parks a run function.
func (x *execution) panicked(p *Error) {
	if x.current != nil {
		x.endMethod(nil, p)
		return
	}
	x.fail(p)
}

// stop ends the code's goroutine. The execution is of no use afterwards.
func (x *execution) stop() {
	x.body.kill()
	x.body = nil
}

// delivered notes which input the code goes on from.
func (x *execution) delivered(id string) { x.input0, x.ordinal = id, 0 }

// take removes the first queued call that match accepts and makes it the input last delivered. Called by the code.
func (x *execution) take(match func(*received) bool) *received {
	i := slices.IndexFunc(x.queue, match)
	if i < 0 {
		return nil
	}
	c := x.queue[i]
	x.queue = slices.Delete(x.queue, i, i+1)
	x.delivered(c.id)
	return c
}

// stableID returns an id that a replay gives again and that no other input ever gets.
func (x *execution) stableID(kind string) string {
	h := sha256.Sum256([]byte(x.info.Incarnation + " " + x.input0 + " " + strconv.Itoa(x.ordinal)))
	x.ordinal++
	return kind + hex.EncodeToString(h[:12])
}

func (x *execution) random() *rand.Rand {
	if x.rng == nil {
		call := ""
		if x.current != nil {
			call = x.current.id
		}
		x.rng = seeded(x.info.Incarnation, call+x.life)
	}
	return x.rng
}

func (x *execution) logger() *slog.Logger {
	if !x.journal.live() {
		return slog.New(slog.DiscardHandler)
	}
	return x.log
}

// forget removes a call that has its outcome.
func (x *execution) forget(id string) {
	delete(x.open, id)
	x.queue = slices.DeleteFunc(x.queue, func(c *received) bool { return c.id == id })
}

func (x *execution) waitingFor() string {
	switch {
	case x.status.Ended():
		return "nothing: the run has ended"
	case x.body == nil:
		return "a call"
	}
	return x.waitFor
}

// settledStatus is the status that a record of this turn carries.
func (x *execution) settledStatus() Status {
	switch {
	case x.err != nil:
		return StatusParked
	case x.paused != nil:
		return StatusPaused
	}
	return x.status
}

// outcome records a call's reply or failure, once. Called by the code, and by the engine for methods.
func (x *execution) outcome(id string, result []byte, failure *Error) {
	c := x.open[id]
	if c == nil {
		return // replied to before: the first reply stands
	}
	if failure == nil && len(result) > x.limit {
		failure = Errorf(CodeTooLarge, "the result has %d bytes; at most %d are allowed", len(result), x.limit).asObject()
	}
	if failure != nil {
		x.answer(c, Event{Type: CallFailed, Error: failure})
		return
	}
	x.answer(c, Event{Type: CallCompleted, Result: result})
}

// answer records the outcome ev of a call.
func (x *execution) answer(c *received, ev Event) {
	ev.ID, ev.Name, ev.ReplyTo = c.id, c.hook, c.replyTo
	x.doMatching(ev, func(logged *Event) bool {
		return (logged.Type == CallCompleted || logged.Type == CallFailed) && logged.ID == c.id
	})
	x.forget(c.id)
}

// encode marshals what run code returns or emits.
func encode(what string, v any) ([]byte, *Error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, (&Error{Code: CodePanic, Message: fmt.Sprintf("%s does not encode as JSON: %v", what, err)}).asObject()
	}
	return b, nil
}
