package harness

import (
	"context"
	"encoding/json"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/perdure/perdure/actor"
)

// Reply is an answer as it is on the wire.
type Reply struct {
	Header nats.Header
	Data   []byte
	Code   int          // 0: it succeeded
	Err    *actor.Error // the body, where it is a failure
}

// Ask requests a subject and reads the answer as the protocol says, header for header.
func Ask(tb testing.TB, nc *nats.Conn, subject string, payload []byte, header ...string) Reply {
	tb.Helper()
	r, err := TryAsk(tb.Context(), nc, subject, payload, 10*time.Second, header...)
	if err != nil {
		tb.Fatalf("request %s: %v", subject, err)
	}
	if r.Code != 0 {
		checkFailure(tb, subject, r)
	} else if !json.Valid(r.Data) {
		tb.Errorf("request %s: result %q is not JSON", subject, r.Data)
	}
	return r
}

// TryAsk is [Ask] without opinion. header is name, value, name, value…
func TryAsk(ctx context.Context, nc *nats.Conn, subject string, payload []byte, within time.Duration, header ...string) (Reply, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	m := &nats.Msg{Subject: subject, Data: payload, Header: nats.Header{}}
	for i := 0; i+1 < len(header); i += 2 {
		m.Header[header[i]] = []string{header[i+1]}
	}
	answer, err := nc.RequestMsgWithContext(ctx, m)
	if err != nil {
		return Reply{}, err
	}
	r := Reply{Header: answer.Header, Data: answer.Data}
	if code := answer.Header.Get("Nats-Service-Error-Code"); code != "" {
		if r.Code, err = strconv.Atoi(code); err != nil {
			return r, err
		}
		r.Err = &actor.Error{}
		if err := json.Unmarshal(answer.Data, r.Err); err != nil {
			return r, err
		}
	}
	return r, nil
}

// checkFailure checks that headers and body of a failure say the same.
func checkFailure(tb testing.TB, subject string, r Reply) {
	tb.Helper()
	source := r.Header.Get("Perdure-Error-Source")
	switch {
	case int(r.Err.Code) != r.Code:
		tb.Errorf("%s: body has code %d, header %d", subject, r.Err.Code, r.Code)
	case r.Header.Get("Nats-Service-Error") == "":
		tb.Errorf("%s: no Nats-Service-Error in %v", subject, r.Header)
	case source != "object" && source != "runtime" || source != string(r.Err.Source):
		tb.Errorf("%s: source is %q in the header and %q in the body", subject, source, r.Err.Source)
	case r.Err.Message == "":
		tb.Errorf("%s: failure without message: %s", subject, r.Data)
	}
}

// AskStored requests a hook subject and returns the sequence under which the inbox has stored the send.
func AskStored(tb testing.TB, nc *nats.Conn, subject string, payload []byte, header ...string) uint64 {
	tb.Helper()
	r, err := TryAsk(tb.Context(), nc, subject, payload, 10*time.Second, header...)
	if err != nil {
		tb.Fatalf("request %s: %v", subject, err)
	}
	var ack nats.PubAck
	if err := json.Unmarshal(r.Data, &ack); err != nil || ack.Sequence == 0 || ack.Stream != "PERDURE_INBOX" {
		tb.Fatalf("request %s: want a PubAck, got %s", subject, r.Data)
	}
	return ack.Sequence
}
