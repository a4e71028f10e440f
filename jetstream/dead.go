package jetstream

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	js "github.com/nats-io/nats.go/jetstream"

	"github.com/perdure/perdure/actor"
)

// deadLetter is the body of a message in the stream DEAD.
type deadLetter struct {
	*actor.DeadLetter
	Truncated bool `json:"truncated,omitempty"` // the payload is only the beginning of what was sent
}

// DeadLetter implements [actor.Outlet]. The stream drops doubles for two minutes; a double that comes later, after
// a crash and a long time without any node, is kept again.
func (o *Outlet) DeadLetter(ctx context.Context, d *actor.DeadLetter) error {
	body, err := encodeDead(d, o.store.maxBody())
	if err == nil {
		typ, key, _ := strings.Cut(d.Run, "/")
		id := "inbox-" + strconv.FormatUint(d.Inbox, 10)
		_, err = o.store.js.Publish(perRequest(ctx), o.store.names.Dead(typ, key), body, js.WithMsgID(id))
	}
	if err != nil {
		return fmt.Errorf("keep dead letter %d to %s: %w", d.Inbox, d.Run, err)
	}
	return nil
}

// encodeDead cuts the payload, and before it the cause's details, so that the body has at most limit bytes.
func encodeDead(d *actor.DeadLetter, limit int) ([]byte, error) {
	body, err := json.Marshal(deadLetter{DeadLetter: d})
	if err != nil || len(body) <= limit {
		return body, err
	}
	cut := *d
	cut.Payload = nil
	frame, err := json.Marshal(deadLetter{&cut, true})
	if err != nil {
		return nil, err
	}
	if len(frame) > limit && cut.Cause != nil {
		cause := *cut.Cause
		cause.Details = nil
		cut.Cause = &cause
		if frame, err = json.Marshal(deadLetter{&cut, true}); err != nil {
			return nil, err
		}
	}
	const field = len(`"payload":"",`)
	room := base64.StdEncoding.DecodedLen(max(limit-len(frame)-field, 0)/4*4) - 2
	cut.Payload = d.Payload[:min(len(d.Payload), max(room, 0))]
	return json.Marshal(deadLetter{&cut, true})
}

// DecodeDead reads the body of a dead letter. truncated: its payload is only the beginning of what was sent.
func DecodeDead(body []byte) (d *actor.DeadLetter, truncated bool, err error) {
	l := deadLetter{DeadLetter: &actor.DeadLetter{}}
	if err := json.Unmarshal(body, &l); err != nil {
		return nil, false, fmt.Errorf("decode dead letter: %w", err)
	}
	if l.DeadLetter == nil {
		return nil, false, fmt.Errorf("decode dead letter: %.100q", body)
	}
	return l.DeadLetter, l.Truncated, nil
}
