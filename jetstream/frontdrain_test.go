package jetstream

import (
	"errors"
	"testing"

	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/internal/natstest"
)

func TestFront_Drain(t *testing.T) {
	s := callServer(t)
	var asked []bool
	var refusal error
	names, err := NewNames("acme")
	if err != nil {
		t.Fatal(err)
	}
	startFront(t, s, "n.1", echoHost("n.1"), nil, func(c *FrontConfig) {
		c.Names = names
		c.Drain = func(on bool) error { asked = append(asked, on); return refusal }
	})
	startFront(t, s, "n2", echoHost("n2"), nil, func(c *FrontConfig) { c.Names = names })
	nc := natstest.Connect(t, s)
	for _, c := range []struct {
		subject, payload string
		refusal          error
		code, want       string
		asked            bool
	}{
		{subject: "acme.node.n%2E1.drain", want: `{"node":"n.1","draining":true}`, asked: true},
		{subject: "acme.node.n%2E1.drain", payload: `{}`, want: `{"node":"n.1","draining":true}`, asked: true},
		{subject: "acme.node.n%2E1.drain", payload: `{"off":true}`, want: `{"node":"n.1","draining":false}`, asked: false},
		{subject: "acme.node.n%2E1.drain", payload: `{"off":false}`, want: `{"node":"n.1","draining":true}`, asked: true},
		{subject: "acme.node.n%2E1.drain", payload: `off`, code: "400"},
		{subject: "acme.node.n%2E1.drain", payload: `{"of":true}`, code: "400"},
		{subject: "acme.node.n%2E1.drain", payload: `{"off":true,"x":1}`, code: "400"},
		{subject: "acme.node.n%2E1.drain", payload: `{"off":"true"}`, code: "400"},
		{subject: "acme.node.n%2E1.drain", payload: `{"off":true}{}`, code: "400"},
		{subject: "acme.node.n%2E1.drain", payload: `{"off":true}}`, code: "400"},
		{subject: "acme.node.n%2E1.drain", payload: `null`, code: "400"},
		{subject: "acme.node.n%2E1.drain", payload: `{"off":null}`, code: "400"},
		{subject: "acme.node.n%2E1.drain", payload: `{"OFF":true}`, code: "400"},
		{subject: "acme.node.n%2E1.drain", payload: ` `, code: "400"},
		{subject: "acme.node.n%2E1.drain", refusal: errors.New("it is alone"), code: "409", asked: true},
		{subject: "acme.node.n%2E1.drain", refusal: actor.Errorf(actor.CodeUnavailable, "no lease"), code: "503", asked: true},
		{subject: "acme.node.n2.drain", code: "404"},
	} {
		asked, refusal = nil, c.refusal
		m := request(t, nc, c.subject, c.payload)
		if got := m.Header.Get(HeaderErrorCode); got != c.code || c.code == "" && string(m.Data) != c.want {
			t.Errorf("%s %s: got %s, want %s%s", c.subject, c.payload, m.Data, c.want, c.code)
		}
		if wasAsked := c.code != "400" && c.code != "404"; wasAsked != (len(asked) == 1) || wasAsked && asked[0] != c.asked {
			t.Errorf("%s %s: the node was asked %v", c.subject, c.payload, asked)
		}
	}
}
