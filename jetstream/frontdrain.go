package jetstream

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/perdure/perdure/actor"
)

// drainRequest is the payload of [Names.NodeDrain]; none is as good as an empty one.
type drainRequest struct {
	Off bool `json:"off,omitempty"`
}

// drainResult is the result of it.
type drainResult struct {
	Node     string `json:"node"`
	Draining bool   `json:"draining"`
}

// takeDrain has the node begin to hand over, or take that back, as m asks.
func (f *Front) takeDrain(m *nats.Msg) {
	req := &actor.Request{Received: time.Now(), Reply: f.replier(m, nil)}
	result, e := f.drainNode(m.Data)
	if e != nil {
		f.fail(req, e)
		return
	}
	f.reply(req, &actor.Outcome{Node: f.cfg.Node, Result: result})
}

func (f *Front) drainNode(payload []byte) (json.RawMessage, *actor.Error) {
	req, err := readDrain(payload)
	if err != nil {
		return nil, actor.Errorf(actor.CodeInvalid, `payload: want {} or {"off":true}: %v`, err)
	}
	if f.cfg.Drain == nil {
		return nil, actor.Errorf(actor.CodeNotFound, "node %s cannot be drained", f.cfg.Node)
	}
	if err := f.cfg.Drain(!req.Off); err != nil {
		if e, ok := errors.AsType[*actor.Error](err); ok {
			return nil, e
		}
		return nil, actor.Errorf(actor.CodeConflict, "node %s refuses: %v", f.cfg.Node, err)
	}
	result, err := json.Marshal(drainResult{Node: f.cfg.Node, Draining: !req.Off})
	if err != nil {
		return nil, actor.Errorf(actor.CodeUnavailable, "encode result: %v", err)
	}
	return result, nil
}

// readDrain takes nothing that it does not know: a node that is told something else must not begin to hand over.
func readDrain(payload []byte) (drainRequest, error) {
	if len(payload) == 0 {
		return drainRequest{}, nil
	}
	var fields map[string]any
	if err := json.Unmarshal(payload, &fields); err != nil {
		return drainRequest{}, err
	}
	if fields == nil {
		return drainRequest{}, errors.New("it is null")
	}
	var req drainRequest
	for name, value := range fields {
		off, ok := value.(bool)
		if name != "off" || !ok {
			return drainRequest{}, fmt.Errorf("field %q: want \"off\", true or false", name)
		}
		req.Off = off
	}
	return req, nil
}
