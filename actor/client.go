package actor

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// Client reaches objects from outside. perdure.NewClient makes one on a NATS connection.
// It is safe for concurrent use.
type Client interface {
	StreamReader
	// Call blocks until the call's outcome is durable and returns it, or until the call's timeout or ctx ends.
	// While nobody answers it repeats the call with the same call id, so that it is executed once; a header
	// without call id gets one. The outcome's Err is nil: failures are returned as [*Error].
	Call(ctx context.Context, addr Address, hook string, payload []byte, h CallHeader) (*Outcome, error)
	// Send blocks until the call is durable in the inbox and returns its sequence there.
	Send(ctx context.Context, addr Address, hook string, payload []byte, h CallHeader) (uint64, error)
}

// CallOption changes how one call or send is made.
type CallOption func(*CallHeader)

// CallID names the call: repeating it on the same object returns the first outcome and runs nothing.
// Give one when the call may be repeated by a later process; without it each call has one of its own.
func CallID(id string) CallOption { return func(h *CallHeader) { h.CallID = id } }

// Timeout limits how long the call is tried and waited for. The default is [DefaultTimeout].
func Timeout(d time.Duration) CallOption { return func(h *CallHeader) { h.Timeout = d } }

// AfterSend lets the call be applied only after the object has received the send with this sequence,
// as [Client.Send] returned it.
func AfterSend(seq uint64) CallOption { return func(h *CallHeader) { h.After = seq } }

// ReplyTo names a subject that gets the outcome of a send: one below _INBOX, or below a prefix that the nodes allow.
func ReplyTo(subject string) CallOption { return func(h *CallHeader) { h.ReplyTo = subject } }

func header(opts []CallOption) CallHeader {
	var h CallHeader
	for _, o := range opts {
		o(&h)
	}
	return h
}

// Resume delivers payload to the hook that holds token, in whichever run. It returns when the call is durable
// in that run's event log; the run applies it in its own time. [ErrNotFound] when no run holds the token.
func Resume[In any](ctx context.Context, c Client, token string, in In, opts ...CallOption) error {
	h := header(opts)
	h.Wait = WaitReceived
	_, err := call[None](ctx, c, Address{TypeToken, token}, HookResume, in, h)
	return err
}

func call[Out, In any](ctx context.Context, c Client, addr Address, hook string, in In, h CallHeader) (out Out, err error) {
	payload, err := json.Marshal(in)
	if err != nil {
		return out, fmt.Errorf("call %s of %s: encode payload: %w", hook, addr, err)
	}
	o, err := c.Call(ctx, addr, hook, payload, h)
	if err != nil {
		return out, fmt.Errorf("call %s of %s: %w", hook, addr, err)
	}
	if err := json.Unmarshal(o.Result, &out); err != nil {
		return out, fmt.Errorf("call %s of %s: decode result: %w", hook, addr, err)
	}
	return out, nil
}

func send[In any](ctx context.Context, c Client, addr Address, hook string, in In, opts []CallOption) (uint64, error) {
	payload, err := json.Marshal(in)
	if err != nil {
		return 0, fmt.Errorf("send %s to %s: encode payload: %w", hook, addr, err)
	}
	seq, err := c.Send(ctx, addr, hook, payload, header(opts))
	if err != nil {
		return 0, fmt.Errorf("send %s to %s: %w", hook, addr, err)
	}
	return seq, nil
}
