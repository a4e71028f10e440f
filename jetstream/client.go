package jetstream

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"github.com/perdure/perdure/actor"
)

// payloadMargin is what of the server's max_payload is left for headers and the record around a payload.
const payloadMargin = 64 << 10

// Client reaches objects from outside, over the caller's own connection. It implements [actor.Client].
//
// Failures are [*actor.Error]: [actor.ErrUnavailable] when nobody could be reached and nothing was done,
// [actor.ErrTimeout] when the time is up and the outcome unknown, user code's with source object. When ctx
// ended first, the error matches its cause too.
//
// Calls of objects go to the owner itself once an answer has told how many partitions there are, as long as the
// connection may publish to own.*.call.>; otherwise by any node.
//
// Sends to one object go out one after another, in the order of the calls of Send, and a call that follows a
// send to the same object through the same client is applied after it. What is sent by token keeps its order among
// itself only: it passes through the inbox twice, and a later call may overtake it.
type Client struct {
	nc     *nats.Conn
	cfg    ClientConfig
	names  Names
	inbox  replyInbox
	direct direct
	lanes  lanes
	acked  ackedSends
}

var _ actor.Client = (*Client)(nil)

// ClientConfig says how a client reaches its installation. The zero value is right for one without prefix.
type ClientConfig struct {
	Names  Names
	Domain string // JetStream domain of the streams, for what reads logs; empty: none
}

// NewClient makes a client on nc, which stays the caller's to close. It starts nothing and cannot block.
func NewClient(nc *nats.Conn, cfg ClientConfig) *Client {
	return &Client{nc: nc, cfg: cfg, names: cfg.Names, inbox: replyInbox{nc: nc}}
}

// Close gives up the client's subscription. The connection stays open.
func (c *Client) Close() error { return c.inbox.close() }

// Call implements [actor.Client].
func (c *Client) Call(ctx context.Context, addr actor.Address, hook string, payload []byte, h actor.CallHeader) (*actor.Outcome, error) {
	if err := c.check(addr, hook, payload, h); err != nil {
		return nil, err
	}
	if h.CallID == "" {
		h.CallID = uuid.NewString()
	}
	h.After = max(h.After, c.acked.last(addr))
	way := c.direct.way(c.names, addr, hook)
	o, err := c.outcome(ctx, &ask{
		until: deadline(ctx, h.Timeout),
		message: func(left time.Duration) *nats.Msg {
			h := h
			h.Timeout = min(max(left, time.Millisecond), MaxCallTimeout)
			return &nats.Msg{Subject: way.subject(), Header: FormatCallHeader(h), Data: payload}
		},
		tryAgain: func(m *nats.Msg) *actor.Error {
			way.heard(m)
			return unavailable(m)
		},
		missed: way.missed,
	}, way.public)
	if err != nil {
		return nil, err
	}
	if o.Err != nil {
		return nil, o.Err
	}
	c.acked.forget(addr, h.After)
	return o, nil
}

// outcome is what a settles with, be it a failure; the error says that there is none. subject is for people.
func (c *Client) outcome(ctx context.Context, a *ask, subject string) (*actor.Outcome, error) {
	m, err := c.do(ctx, a)
	if err != nil {
		return nil, err
	}
	o, err := DecodeOutcome(m.Header, m.Data)
	if err != nil {
		return nil, actor.Errorf(actor.CodeTimeout, "somebody who is no node answers on %s, so the outcome is unknown: %v: %.100q", subject, err, m.Data)
	}
	return o, nil
}

// unavailable returns the failure that m tells if it is one that repeating the call may heal.
func unavailable(m *nats.Msg) *actor.Error {
	if m.Header.Get(HeaderErrorCode) == "" {
		return nil
	}
	if o, err := DecodeOutcome(m.Header, m.Data); err == nil && o.Err.Retryable() {
		return o.Err
	}
	return nil
}

// check refuses what no node would take, so that a send of it is not stored first.
func (c *Client) check(addr actor.Address, hook string, payload []byte, h actor.CallHeader) error {
	err := addr.Validate()
	if addr.Type == actor.TypeToken {
		_, err = actor.DecodeToken(actor.EncodeKey(addr.Key))
	}
	if err != nil {
		return actor.Errorf(actor.CodeInvalid, "%v", err)
	}
	if !hookName(hook) {
		return badHook(hook)
	}
	if p := ParseCallHeader(FormatCallHeader(h)).Problem; p != "" {
		return actor.Errorf(actor.CodeInvalid, "%s", p)
	}
	if limit := c.nc.MaxPayload() - payloadMargin; limit > 0 && int64(len(payload)) > limit {
		return tooLarge(len(payload), limit)
	}
	return nil
}

func tooLarge(size int, limit int64) *actor.Error {
	return actor.Errorf(actor.CodeTooLarge, "the payload has %d bytes; at most %d are allowed", size, limit).
		With(map[string]int64{"limit": limit})
}

// deadline is when a call with this timeout has no time left.
func deadline(ctx context.Context, timeout time.Duration) time.Time {
	if timeout <= 0 {
		timeout = actor.DefaultTimeout
	}
	until := time.Now().Add(timeout)
	if d, ok := ctx.Deadline(); ok && d.Before(until) {
		return d
	}
	return until
}

// Describe returns what the object's owner says about it, as JSON: status, owner, what it waits for.
func (c *Client) Describe(ctx context.Context, addr actor.Address) (json.RawMessage, error) {
	return c.read(ctx, addr, actor.HookDescribe)
}

// DescribeType returns the hooks of a type with their schemas, as JSON.
func (c *Client) DescribeType(ctx context.Context, typ string) (json.RawMessage, error) {
	return c.read(ctx, actor.Address{Type: typ, Key: actor.KeyType}, actor.HookDescribe)
}

func (c *Client) read(ctx context.Context, addr actor.Address, hook string) (json.RawMessage, error) {
	o, err := c.Call(ctx, addr, hook, nil, actor.CallHeader{})
	if err != nil {
		what := addr.String()
		if addr.Key == actor.KeyType {
			what = "type " + addr.Type
		}
		return nil, fmt.Errorf("read %s of %s: %w", hook, what, err)
	}
	return o.Result, nil
}
