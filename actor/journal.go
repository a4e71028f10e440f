package actor

import (
	"fmt"
	"time"
)

// journal is what happened to a run, as its code sees it: first the history that is replayed, then the events of the
// turn under construction. It is pure: it reads no clock and does no I/O.
type journal struct {
	run     string
	history []pastEvent
	next    int
	out     []Event
	now     time.Time // of the last event
	counted int       // events of out counted in bytes
	bytes   int
	seen    int // bytes of payloads and results since the run began, as far as they were replayed
}

// pastEvent is an event of the log with its place there.
type pastEvent struct {
	Event
	seq  uint64
	pos  int
	late bool // a call received while the run was parked
}

func (j *journal) live() bool { return j.next == len(j.history) }

// size is about how many bytes the events of the turn take in its record.
func (j *journal) size() int {
	if j.counted > len(j.out) { // some were taken back
		j.counted, j.bytes = 0, 0
	}
	for ; j.counted < len(j.out); j.counted++ {
		j.bytes += len(j.out[j.counted].Payload) + len(j.out[j.counted].Result) + 128
	}
	return j.bytes
}

// written begins the next turn.
func (j *journal) written() { j.out, j.counted, j.bytes = nil, 0, 0 }

// peek returns the next event of the history, or nil when the history is used up.
func (j *journal) peek() *pastEvent {
	if j.live() {
		return nil
	}
	return &j.history[j.next]
}

// take moves past the next event of the history.
func (j *journal) take() *Event {
	ev := &j.history[j.next]
	j.next++
	j.now = ev.At
	j.seen += len(ev.Payload) + len(ev.Result)
	if j.live() { // its last event is all that is asked for from now on
		j.history, j.next = []pastEvent{*ev}, 1
	}
	return &ev.Event
}

// record appends a live event, stamped so that time never goes back within a run.
func (j *journal) record(ev Event, now time.Time) *Event {
	if now.Before(j.now) {
		now = j.now
	}
	ev.At = now
	j.now = now
	j.seen += len(ev.Payload) + len(ev.Result)
	j.out = append(j.out, ev)
	return &j.out[len(j.out)-1]
}

// recordFirst records events that stand before what the code has done since its history was used up, at the same time:
// the code of a run that was parked goes on while it is loaded.
func (j *journal) recordFirst(now time.Time, events ...Event) {
	if len(events) == 0 {
		return
	}
	done := j.out
	j.out = nil
	for _, ev := range events {
		j.record(ev, now)
	}
	if len(done) > 0 {
		for i := range j.out {
			j.out[i].At = done[0].At
		}
	}
	j.out = append(j.out, done...)
}

// mismatch describes where replayed code leaves its log: at the next event of the history.
func (j *journal) mismatch(found string) *ReplayError {
	past := j.peek()
	if past == nil {
		past = &j.history[len(j.history)-1]
	}
	return &ReplayError{
		Run: j.run, Seq: past.seq, Event: past.pos,
		Expected: describeCommand(past.Type, past.Name, past.ID), Found: found,
	}
}

// command is something that the code does. In replay it must be the next event of the history, which is returned;
// live it is recorded.
func (j *journal) command(ev Event, now time.Time, same func(logged *Event) bool) (*Event, error) {
	past := j.peek()
	if past == nil {
		return j.record(ev, now), nil
	}
	if !same(&past.Event) {
		return nil, j.mismatch(describeCommand(ev.Type, ev.Name, ev.ID))
	}
	return j.take(), nil
}

// sameCommand matches a logged event by type, name, key and id.
func sameCommand(ev Event) func(*Event) bool {
	return func(logged *Event) bool {
		return logged.Type == ev.Type && logged.Name == ev.Name && logged.Key == ev.Key && logged.ID == ev.ID
	}
}

func waiting(format string, args ...any) string {
	return "code that waits for " + fmt.Sprintf(format, args...)
}
