package conformance

import (
	"encoding/json"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/test/harness"
)

func jetStream(t *testing.T, nc *nats.Conn) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(4000))
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// description is what $describe of a run answers, as far as these tests look at it.
type description struct {
	Status string `json:"status"`
	Reason string `json:"reason"`
	Log    struct {
		Records int `json:"records"`
	} `json:"log"`
	Waits []json.RawMessage `json:"waits"`
	Steps []json.RawMessage `json:"steps"`
}

func describe(t *testing.T, nc *nats.Conn, run string) (d description) {
	t.Helper()
	addr, err := actor.ParseAddress(run)
	if err != nil {
		t.Fatal(err)
	}
	r := harness.Ask(t, nc, "call."+addr.Type+"."+actor.EncodeKey(addr.Key)+".$describe", nil)
	if err := json.Unmarshal(r.Data, &d); err != nil || r.Code != 0 {
		t.Fatalf("describe %s: %v %s", run, err, r.Data)
	}
	return d
}

func describes(t *testing.T, nc *nats.Conn, run, status string) {
	t.Helper()
	if d := describe(t, nc, run); d.Status != status {
		t.Errorf("%s is %s (%s), want %s", run, d.Status, d.Reason, status)
	}
}
