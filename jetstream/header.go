package jetstream

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nats.go"

	"github.com/perdure/perdure/actor"
)

// Headers of records in the event log.
const (
	HeaderEpoch     = "Perdure-Epoch"     // of the claim under which it was written
	HeaderTurn      = "Perdure-Turn"      // uuid of the turn
	HeaderStatus    = "Perdure-Status"    // of the run after the record
	HeaderUnsettled = "Perdure-Unsettled" // "true": effects or steps are still open
	HeaderPage      = "Perdure-Page"      // sequences of the earlier records of the page: 3,17,20
	HeaderPrev      = "Perdure-Prev"      // last record of the page before
	HeaderBase      = "Perdure-Base"      // oldest record that activation needs
	HeaderIDs       = "Perdure-Ids"       // record with the last table of call ids
	HeaderBlobs     = "Perdure-Blobs"     // number of parts that the record was split into
)

// Headers of calls, sends and their outcomes. HeaderNode is on records too.
const (
	HeaderNode        = "Perdure-Node"         // who wrote or answered
	HeaderCallID      = "Perdure-Call-Id"      // repeating it returns the first outcome
	HeaderTimeout     = "Perdure-Timeout"      // a Go duration
	HeaderReplyTo     = "Perdure-Reply-To"     // subject that gets the outcome of a send
	HeaderAfter       = "Perdure-After"        // inbox sequence that must have been received first
	HeaderWait        = "Perdure-Wait"         // what the caller waits for
	HeaderIDPolicy    = "Perdure-Id-Policy"    // what a start does where the run has ended
	HeaderToken       = "Perdure-Token"        // token that a send came by, before it was forwarded to its run
	HeaderRun         = "Perdure-Run"          // "<type>/<key>"
	HeaderSeq         = "Perdure-Seq"          // log sequence that made the outcome durable
	HeaderNext        = "Perdure-Next"         // where to go on reading events
	HeaderPartitions  = "Perdure-Partitions"   // how many there are, in answers to public calls
	HeaderErrorSource = "Perdure-Error-Source" // "object" or "runtime"
	HeaderErrorCode   = "Nats-Service-Error-Code"
	HeaderError       = "Nats-Service-Error"
	HeaderTraceparent = "traceparent"
	HeaderTracestate  = "tracestate"
)

// HeaderTimer is the id of the timer in a schedule and in its firing, encoded like a key.
const HeaderTimer = "Perdure-Timer"

// Limits of what callers put into headers.
const (
	MaxCallIDLen   = 256
	MaxCallTimeout = 24 * time.Hour
	maxSubjectLen  = 1024 // the server's control line has 4096 bytes for subject, reply and sizes
	maxTraceLen    = 512  // what W3C asks to propagate of tracestate
)

// ParseCallHeader reads the optional headers of a call or send. It never fails: a header that cannot be read is
// named in Problem, the others are still read, so that the caller can be told.
func ParseCallHeader(h nats.Header) actor.CallHeader {
	if len(h) == 0 {
		return actor.CallHeader{}
	}
	var (
		c = actor.CallHeader{Trace: parseTrace(h)}
		p problems
	)
	c.CallID = p.callID(h)
	c.Timeout = p.timeout(h)
	c.ReplyTo = p.replyTo(h)
	c.After = p.after(h)
	c.Wait = p.wait(h)
	c.IDPolicy = p.idPolicy(h)
	c.Problem = strings.Join(p, "; ")
	return c
}

// FormatCallHeader is the inverse of [ParseCallHeader]. It returns nil when there is nothing to say.
func FormatCallHeader(c actor.CallHeader) nats.Header {
	h := nats.Header{}
	set := func(name, value string) {
		if value != "" {
			h[name] = []string{value}
		}
	}
	set(HeaderCallID, c.CallID)
	if c.Timeout > 0 {
		set(HeaderTimeout, c.Timeout.String())
	}
	set(HeaderReplyTo, c.ReplyTo)
	if c.After > 0 {
		set(HeaderAfter, strconv.FormatUint(c.After, 10))
	}
	set(HeaderWait, string(c.Wait))
	set(HeaderIDPolicy, string(c.IDPolicy))
	set(HeaderToken, c.Token)
	for i, name := range []string{HeaderTraceparent, HeaderTracestate} {
		if i < len(c.Trace) {
			set(name, c.Trace[i])
		}
	}
	if len(h) == 0 {
		return nil
	}
	return h
}

// problems collects what is wrong with headers, in words for the caller.
type problems []string

func (p *problems) add(name, value, want string) {
	if len(value) > 64 {
		value = value[:64] + "…"
	}
	*p = append(*p, fmt.Sprintf("header %s: %q: want %s", name, value, want))
}

func (p *problems) callID(h nats.Header) string {
	name, id := HeaderCallID, h.Get(HeaderCallID)
	if id == "" {
		name, id = nats.MsgIdHdr, h.Get(nats.MsgIdHdr)
	}
	if !headerText(id, MaxCallIDLen) {
		p.add(name, id, fmt.Sprintf("at most %d bytes of UTF-8", MaxCallIDLen))
		return ""
	}
	return id
}

func (p *problems) timeout(h nats.Header) time.Duration {
	v := h.Get(HeaderTimeout)
	if v == "" {
		return 0
	}
	d, err := time.ParseDuration(v)
	if err != nil || d <= 0 || d > MaxCallTimeout {
		p.add(HeaderTimeout, v, "a duration such as 5s, more than 0 and at most 24h")
		return 0
	}
	return d
}

func (p *problems) replyTo(h nats.Header) string {
	v := h.Get(HeaderReplyTo)
	if v != "" && !literalSubject(v) {
		p.add(HeaderReplyTo, v, "a subject without wildcards")
		return ""
	}
	return v
}

func (p *problems) after(h nats.Header) uint64 {
	v := h.Get(HeaderAfter)
	if v == "" {
		return 0
	}
	seq, err := strconv.ParseUint(v, 10, 64)
	if err != nil {
		p.add(HeaderAfter, v, "a sequence of the inbox")
		return 0
	}
	return seq
}

func (p *problems) wait(h nats.Header) actor.Wait {
	switch w := actor.Wait(h.Get(HeaderWait)); w {
	case actor.WaitReply, actor.WaitReceived, actor.WaitEnd:
		return w
	default:
		p.add(HeaderWait, string(w), fmt.Sprintf("%q or %q", actor.WaitReceived, actor.WaitEnd))
		return actor.WaitReply
	}
}

func (p *problems) idPolicy(h nats.Header) actor.IDPolicy {
	switch v := actor.IDPolicy(h.Get(HeaderIDPolicy)); v {
	case actor.Once, actor.AfterFailure, actor.AfterEnd:
		return v
	case "once":
		return actor.Once
	default:
		p.add(HeaderIDPolicy, string(v), fmt.Sprintf("%q, %q or %q", "once", actor.AfterFailure, actor.AfterEnd))
		return actor.Once
	}
}

// parseTrace reads the trace headers. What is not a trace context is dropped, as W3C asks.
func parseTrace(h nats.Header) []string {
	parent, state := h.Get(HeaderTraceparent), h.Get(HeaderTracestate)
	if parent == "" || !headerText(parent, maxTraceLen) {
		return nil
	}
	if state == "" || !headerText(state, maxTraceLen) {
		return []string{parent}
	}
	return []string{parent, state}
}

// headerText reports whether s comes back unchanged when it is sent as a header value.
func headerText(s string, maxLen int) bool {
	return len(s) <= maxLen && utf8.ValidString(s) && !strings.ContainsAny(s, "\r\n") && strings.TrimSpace(s) == s
}
