package harness

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/perdure/perdure/actor"
)

// Logged is one record of a log, as any reader of the stream sees it.
type Logged struct {
	Message
	*actor.Record
}

// Logs reads all event logs: subject → records. Messages that are no records are left out and counted.
func Logs(tb testing.TB, nc *nats.Conn) (logs map[string][]Logged, foreign int) {
	tb.Helper()
	logs = map[string][]Logged{}
	foreign = EachRecord(tb, nc, func(r Logged) { logs[r.Subject] = append(logs[r.Subject], r) })
	return logs, foreign
}

// EachRecord calls fn for each record of all event logs, those of one log in order, and returns how many messages are
// no records.
func EachRecord(tb testing.TB, nc *nats.Conn, fn func(r Logged)) (foreign int) {
	tb.Helper()
	for _, name := range LogStreams(tb, nc) {
		EachMessage(tb, nc, name, func(m Message) {
			rec, err := actor.DecodeRecord(m.Data)
			if err != nil || m.Header.Get("Perdure-Turn") == "" {
				foreign++
				return
			}
			fn(Logged{m, rec})
		})
	}
	return foreign
}

// CheckLogs checks what must hold in every log, whatever happened to the nodes that wrote it.
func CheckLogs(tb testing.TB, logs map[string][]Logged) {
	tb.Helper()
	c := NewLogCheck(tb)
	for subject, records := range logs {
		last := records[len(records)-1]
		if records[0].N > 1 && (last.Kept == nil || last.Kept.From > records[0].Seq) {
			tb.Errorf("%s begins with record %d, and its last one does not say that the ones before may be missing", subject, records[0].N)
		}
		for _, r := range records {
			c.Record(r)
		}
	}
}

// LogCheck is [CheckLogs] record by record, for logs that are too large to be kept.
type LogCheck struct {
	tb    testing.TB
	turns map[string]string // turn → log
	logs  map[string]*logCheck
}

// NewLogCheck returns a check that has seen nothing.
func NewLogCheck(tb testing.TB) *LogCheck {
	tb.Helper()
	return &LogCheck{tb: tb, turns: map[string]string{}, logs: map[string]*logCheck{}}
}

// Record checks one record against those before it. The records of a log come in order.
func (l *LogCheck) Record(r Logged) {
	l.tb.Helper()
	c := l.logs[r.Subject]
	if c == nil || r.N == 1 && len(r.Events) > 0 && r.Events[0].Previous == c.last.seq {
		c = &logCheck{tb: l.tb, subject: r.Subject, received: map[string]bool{}, ended: map[string]bool{}, inbox: map[uint64]bool{}, steps: map[string]bool{}, set: map[string]bool{}}
		l.logs[r.Subject] = c // of the first run under this key, or of the next
	}
	turn := r.Header.Get("Perdure-Turn")
	if other, double := l.turns[turn]; double {
		c.wrong(r, "turn is also in %s", other)
	}
	l.turns[turn] = r.Subject
	c.record(r)
}

type logCheck struct {
	tb       testing.TB
	subject  string
	n        uint64 // records seen
	last     header // of the last one
	at       time.Time
	claimed  uint64 // epoch of the last run_claimed
	received map[string]bool
	ended    map[string]bool
	set      map[string]bool // alarms that have not fired
	inbox    map[uint64]bool
	steps    map[string]bool
	trimmed  bool // the log begins later than the run
	bad      int
}

// header is what a record says about itself and where those before it are.
type header struct {
	seq, epoch, inbox uint64
	incarnation       string
	page, prev        string
}

func (c *logCheck) wrong(r Logged, format string, args ...any) {
	c.tb.Helper()
	if c.bad++; c.bad <= 5 {
		c.tb.Errorf("%s seq %d: %s", c.subject, r.Seq, fmt.Sprintf(format, args...))
	}
}

func (c *logCheck) record(r Logged) {
	c.tb.Helper()
	if got := r.Header.Get("Perdure-Epoch"); got != strconv.FormatUint(r.Epoch, 10) {
		c.wrong(r, "epoch is %s in the header, %d in the record", got, r.Epoch)
	}
	if c.n == 0 && r.N > 1 { // what was trimmed is not known
		c.n, c.trimmed = r.N-1, true
	}
	c.n++
	if r.N != c.n {
		c.wrong(r, "is record %d by its own count, %d in the stream", r.N, c.n)
	}
	p := c.last
	c.last = header{r.Seq, r.Epoch, r.Inbox, r.Incarnation, r.Header.Get("Perdure-Page"), r.Header.Get("Perdure-Prev")}
	if p.seq != 0 {
		switch {
		case r.Incarnation != p.incarnation:
			c.wrong(r, "incarnation changed")
		case r.Epoch < p.epoch:
			c.wrong(r, "epoch went back from %d to %d", p.epoch, r.Epoch)
		case r.Inbox < p.inbox:
			c.wrong(r, "inbox position went back from %d to %d", p.inbox, r.Inbox)
		}
	}
	if !c.last.follows(p) && (p.seq != 0 || !c.trimmed) {
		c.wrong(r, "its index is page %q after %q, that of record %d before it page %q after %q", c.last.page, c.last.prev, p.seq, p.page, p.prev)
	}
	if len(r.Events) == 0 {
		c.wrong(r, "has no events")
	}
	for j := range r.Events {
		if c.trimmed {
			break
		}
		c.event(r, j, &r.Events[j])
	}
}

// follows reports whether the index leads to the record before and, through that one's, to all before it: either the
// page goes on, or a new one begins.
func (h header) follows(before header) bool {
	seq := strconv.FormatUint(before.seq, 10)
	switch {
	case before.seq == 0:
		return h.page == "" && h.prev == ""
	case h.page == "":
		return h.prev == seq
	case before.page != "":
		seq = before.page + "," + seq
	}
	return h.page == seq && h.prev == before.prev
}

func (c *logCheck) event(r Logged, j int, ev *actor.Event) {
	c.tb.Helper()
	if ev.At.Before(c.at) {
		c.wrong(r, "event %d: time goes back from %s to %s", j, c.at, ev.At)
	}
	c.at = ev.At
	if ev.Type == actor.RunClaimed {
		if c.claimed == r.Epoch {
			c.wrong(r, "claimed twice under epoch %d", r.Epoch)
		}
		c.claimed = r.Epoch
	} else if ev.Type != actor.RunCreated && c.claimed != r.Epoch {
		c.wrong(r, "%s before run_claimed under epoch %d", ev.Type, r.Epoch)
	}
	switch ev.Type {
	case actor.HookReceived:
		if c.received[ev.ID] {
			c.wrong(r, "call %s received twice", ev.ID)
		}
		c.received[ev.ID] = true
		if ev.Inbox != 0 && (c.inbox[ev.Inbox] || ev.Inbox > r.Inbox) {
			c.wrong(r, "send %d: received before %v, record's position %d", ev.Inbox, c.inbox[ev.Inbox], r.Inbox)
		}
		c.inbox[ev.Inbox] = true
	case actor.CallCompleted, actor.CallFailed:
		if !c.received[ev.ID] || c.ended[ev.ID] {
			c.wrong(r, "outcome of call %s: received %v, ended before %v", ev.ID, c.received[ev.ID], c.ended[ev.ID])
		}
		c.ended[ev.ID] = true
	case actor.WaitCreated:
		c.set[ev.ID] = ev.Name != ""
	case actor.WaitCancelled:
		delete(c.set, ev.ID)
		c.ended[ev.ID] = true
	case actor.WaitCompleted:
		if ev.Name == "" {
			break
		}
		if !c.set[ev.ID] || ev.At.Before(*ev.Due) {
			c.wrong(r, "alarm %s %q fired at %s, due at %s: set before %v", ev.Name, ev.Key, ev.At, ev.Due, c.set[ev.ID])
		}
		delete(c.set, ev.ID)
		c.received[ev.ID] = true
	case actor.StepCompleted, actor.StepFailed:
		if c.steps[ev.ID] {
			c.wrong(r, "step %s has two results", ev.ID)
		}
		c.steps[ev.ID] = true
	default:
	}
}
