package harness

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
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
	for _, name := range LogStreams(tb, nc) {
		for _, m := range ReadStream(tb, nc, name) {
			rec, err := actor.DecodeRecord(m.Data)
			if err != nil || m.Header.Get("Perdure-Turn") == "" {
				foreign++
				continue
			}
			logs[m.Subject] = append(logs[m.Subject], Logged{m, rec})
		}
	}
	return logs, foreign
}

// CheckLogs checks what must hold in every log, whatever happened to the nodes that wrote it.
func CheckLogs(tb testing.TB, logs map[string][]Logged) {
	tb.Helper()
	turns := map[string]string{}
	for subject, records := range logs {
		c := logCheck{tb: tb, subject: subject, received: map[string]bool{}, ended: map[string]bool{}, inbox: map[uint64]bool{}, steps: map[string]bool{}}
		for i, r := range records {
			if other, double := turns[r.Header.Get("Perdure-Turn")]; double {
				c.wrong(r, "turn is also in %s", other)
			}
			turns[r.Header.Get("Perdure-Turn")] = subject
			c.record(i, r, records[:i])
		}
	}
}

type logCheck struct {
	tb       testing.TB
	subject  string
	at       time.Time
	claimed  uint64 // epoch of the last run_claimed
	received map[string]bool
	ended    map[string]bool
	inbox    map[uint64]bool
	steps    map[string]bool
	bad      int
}

func (c *logCheck) wrong(r Logged, format string, args ...any) {
	c.tb.Helper()
	if c.bad++; c.bad <= 5 {
		c.tb.Errorf("%s seq %d: %s", c.subject, r.Seq, fmt.Sprintf(format, args...))
	}
}

func (c *logCheck) record(i int, r Logged, before []Logged) {
	c.tb.Helper()
	if got := r.Header.Get("Perdure-Epoch"); got != strconv.FormatUint(r.Epoch, 10) {
		c.wrong(r, "epoch is %s in the header, %d in the record", got, r.Epoch)
	}
	if r.N != uint64(i+1) {
		c.wrong(r, "is record %d by its own count, %d in the stream", r.N, i+1)
	}
	if i > 0 {
		p := before[i-1]
		switch {
		case r.Incarnation != p.Incarnation:
			c.wrong(r, "incarnation changed")
		case r.Epoch < p.Epoch:
			c.wrong(r, "epoch went back from %d to %d", p.Epoch, r.Epoch)
		case r.Inbox < p.Inbox:
			c.wrong(r, "inbox position went back from %d to %d", p.Inbox, r.Inbox)
		}
	}
	if got, want := indexed(r, before), sequences(before); !slices.Equal(got, want) {
		c.wrong(r, "its index leads to %v, before it are %v", got, want)
	}
	if len(r.Events) == 0 {
		c.wrong(r, "has no events")
	}
	for j := range r.Events {
		c.event(r, j, &r.Events[j])
	}
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
	case actor.StepCompleted, actor.StepFailed:
		if c.steps[ev.ID] {
			c.wrong(r, "step %s has two results", ev.ID)
		}
		c.steps[ev.ID] = true
	default:
	}
}

// indexed follows the index of r through the pages before it.
func indexed(r Logged, before []Logged) []uint64 {
	at := map[uint64]Logged{}
	for _, b := range before {
		at[b.Seq] = b
	}
	var all []uint64
	for m := r.Message; ; {
		var page []uint64
		if text := m.Header.Get("Perdure-Page"); text != "" {
			for s := range strings.SplitSeq(text, ",") {
				seq, _ := strconv.ParseUint(s, 10, 64)
				page = append(page, seq)
			}
		}
		all = append(page, all...)
		prev, _ := strconv.ParseUint(m.Header.Get("Perdure-Prev"), 10, 64)
		if prev == 0 || len(all) > len(before) {
			return all
		}
		all = append([]uint64{prev}, all...)
		m = at[prev].Message
	}
}

func sequences(records []Logged) []uint64 {
	var all []uint64
	for _, r := range records {
		all = append(all, r.Seq)
	}
	return all
}
