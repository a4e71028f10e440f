package jetstream

import (
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

var (
	// errBatchEnd is the answer that closes a batch of a direct get.
	errBatchEnd = errors.New("end of batch")
	// errNobody: no server answers for the stream now.
	errNobody = errors.New("no server answers for the stream")
)

// parseDirect reads one answer of a direct get. Errors: errNoMessage, errBatchEnd, errNobody, and what else the
// server says.
func parseDirect(m *nats.Msg) (*stored, error) {
	if s, ok := parseStored(m); ok {
		return s, nil
	}
	switch status := m.Header.Get("Status"); status {
	case "404":
		return nil, errNoMessage
	case "204":
		return nil, errBatchEnd
	case "503":
		return nil, errNobody
	default:
		return nil, fmt.Errorf("direct get: status %s %s", status, m.Header.Get("Description"))
	}
}

// parseStored reads a message that the server sends with headers that say where it is stored: one that is
// republished, or an answer of a direct get. ok is false when it has none.
func parseStored(m *nats.Msg) (s *stored, ok bool) {
	s = &stored{Subject: serverHeader(m.Header, nats.JSSubject), Header: m.Header, Data: m.Data}
	if !parseSeq(serverHeader(m.Header, nats.JSSequence), &s.Seq) || s.Seq == 0 {
		return nil, false
	}
	if !parseSeq(serverHeader(m.Header, nats.JSLastSequence), &s.before) { // of a single get it is not the server's
		s.before = 0
	}
	s.Time, _ = time.Parse(time.RFC3339Nano, serverHeader(m.Header, nats.JSTimeStamp))
	return s, true
}

// serverHeader returns the last value of a header: the server's own. Those before came with the message.
func serverHeader(h nats.Header, name string) string {
	if v := h[name]; len(v) > 0 {
		return v[len(v)-1]
	}
	return ""
}
