package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	js "github.com/nats-io/nats.go/jetstream"

	"github.com/perdure/perdure/actor"
)

const (
	// batchMessages and batchBytes bound what a reader takes from the stream at once; of one message there may be more.
	batchMessages = 512
	batchBytes    = 512 << 10
)

// outGetter reads the stream OUT over a client's connection. It asks once: repeating is the caller's.
type outGetter struct {
	client *Client
	stream string
	// silence is how long an answer is waited for; 0 is firstSilence.
	silence time.Duration
}

// apiPrefix is where the JetStream API listens.
func (c *Client) apiPrefix() string {
	if c.cfg.Domain == "" {
		return js.DefaultAPIPrefix
	}
	return "$JS." + c.cfg.Domain + ".API."
}

func (g *outGetter) leader(ctx context.Context, req getRequest) (m *stored, err error) {
	err = g.exchange(ctx, "STREAM.MSG.GET.", req, 1, func(answer *nats.Msg) error {
		if answer.Header.Get("Status") == "503" {
			return errNobody
		}
		var resp getResponse
		if err := json.Unmarshal(answer.Data, &resp); err != nil {
			return fmt.Errorf("decode answer: %w", err)
		}
		if m, err = resp.stored(resp.failure()); err != nil {
			return err
		}
		return errBatchEnd
	})
	return m, err
}

func (g *outGetter) direct(ctx context.Context, req getRequest) (m *stored, err error) {
	err = g.exchange(ctx, "DIRECT.GET.", req, 2, func(answer *nats.Msg) error {
		if m, err = parseDirect(answer); errors.Is(err, errBatchEnd) {
			return errNoMessage
		} else if err != nil {
			return err
		}
		return errBatchEnd
	})
	return m, err
}

// batch returns the next messages of subject from sequence from on, in order, as one replica has them. There may be
// more. None: errNoMessage. With another error the messages are still right.
func (g *outGetter) batch(ctx context.Context, subject string, from uint64) (all []*stored, err error) {
	req := getRequest{Seq: from, NextFor: subject, Batch: batchMessages, MaxBytes: batchBytes}
	var last uint64
	err = g.exchange(ctx, "DIRECT.GET.", req, batchMessages+1, func(answer *nats.Msg) error {
		m, err := parseDirect(answer)
		switch {
		case err != nil:
			return err
		case m.before != last || m.Seq <= last:
			return fmt.Errorf("direct get: message %d came after %d, want %d: %w", m.Seq, last, m.before, errSilence)
		}
		all, last = append(all, m), m.Seq
		return nil
	})
	return all, err
}

// exchange sends one request and gives fn each answer, at most n, until it returns an error; errBatchEnd is none.
// Errors also: errSilence, errNotConnected, those of ctx.
func (g *outGetter) exchange(ctx context.Context, api string, req getRequest, n int, fn func(*nats.Msg) error) error {
	c := g.client
	body, err := json.Marshal(req)
	if err != nil {
		return fmt.Errorf("encode request: %w", err)
	}
	subject, answers, release, err := c.inbox.openFor(n)
	if err != nil {
		return actor.Errorf(actor.CodeUnavailable, "%v", err)
	}
	defer release()
	reconnects := c.nc.Stats().Reconnects
	a := &ask{until: time.Now().Add(lastSilence), message: func(time.Duration) *nats.Msg {
		return &nats.Msg{Subject: c.apiPrefix() + api + g.stream, Data: body}
	}}
	if err := c.publish(a, subject); err != nil {
		return err
	}
	for {
		var answer *nats.Msg
		select {
		case answer = <-answers:
		default:
			if answer, err = c.await(ctx, a, answers, reconnects, max(g.silence, firstSilence)); err != nil {
				return silent(ctx, err)
			}
		}
		if err := fn(answer); err != nil {
			if errors.Is(err, errBatchEnd) {
				return nil
			}
			return err
		}
	}
}

// silent makes the end of an ask's time a silence like others; ctx is the caller's.
func silent(ctx context.Context, err error) error {
	if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		return errSilence
	}
	return err
}
