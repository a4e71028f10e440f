package harness

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/perdure/perdure/actor"
)

// patience is how long a caller goes on asking: longer than any fault of a test.
const patience = 90 * time.Second

// Caller does one thing after another, and repeats each with the same call id until it is acknowledged.
type Caller struct {
	TB     testing.TB
	Client actor.Client
	Rand   *rand.Rand
}

// Call calls until there is an outcome, and returns nil when there was none or a failure that repeating does not heal:
// then the test has failed.
func (c *Caller) Call(addr actor.Address, hook string, in any, id string) *actor.Outcome {
	var o *actor.Outcome
	c.insist("call "+hook+" of "+addr.String(), id, in, func(payload []byte, h actor.CallHeader) (err error) {
		o, err = c.Client.Call(c.TB.Context(), addr, hook, payload, h)
		return err
	})
	return o
}

// Send sends until that is accepted, and returns its sequence in the inbox; 0 when the test has failed.
func (c *Caller) Send(addr actor.Address, hook string, in any, id string) uint64 {
	var seq uint64
	c.insist("send "+hook+" to "+addr.String(), id, in, func(payload []byte, h actor.CallHeader) (err error) {
		seq, err = c.Client.Send(c.TB.Context(), addr, hook, payload, h)
		return err
	})
	return seq
}

func (c *Caller) insist(what, id string, in any, try func(payload []byte, h actor.CallHeader) error) {
	payload, err := json.Marshal(in)
	if err != nil {
		c.TB.Errorf("%s: %v", what, err)
		return
	}
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		err := try(payload, actor.CallHeader{CallID: id, Timeout: time.Duration(500+c.Rand.IntN(4000)) * time.Millisecond})
		if err == nil || c.TB.Context().Err() != nil {
			return
		}
		if !Passing(err) {
			c.TB.Errorf("%s (id %s): %v", what, id, err)
			return
		}
	}
	c.TB.Errorf("%s (id %s) is not acknowledged after %s", what, id, patience)
}

// Passing reports whether asking again may help.
func Passing(err error) bool {
	return errors.Is(err, actor.ErrUnavailable) || errors.Is(err, actor.ErrTimeout)
}
