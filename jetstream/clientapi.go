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

// ask makes one request to the JetStream API over the client's connection, and repeats it until it is answered: only for
// requests that may be repeated. Its error may be one that the server answered.
func (c *Client) ask(ctx context.Context, subject string, req any, resp interface{ failure() error }) error {
	body, err := json.Marshal(req)
	if err != nil {
		return fmt.Errorf("encode request: %w", err)
	}
	m, err := c.do(ctx, &ask{
		until:    deadline(ctx, 0),
		message:  func(time.Duration) *nats.Msg { return &nats.Msg{Subject: c.apiPrefix() + subject, Data: body} },
		tryAgain: noLeader,
	})
	if err != nil {
		return err
	}
	if err := json.Unmarshal(m.Data, resp); err != nil {
		return fmt.Errorf("decode answer: %w", err)
	}
	return resp.failure()
}

// noLeader returns the failure that m tells if the servers cannot do it now.
func noLeader(m *nats.Msg) *actor.Error {
	var said apiError
	if json.Unmarshal(m.Data, &said) == nil && said.Error != nil && said.Error.Code == 503 {
		return actor.Errorf(actor.CodeUnavailable, "the servers cannot do it now: %s", said.Error.Description)
	}
	return nil
}

// get reads one message of a stream from its leader. Errors: errNoMessage, [actor.ErrUnavailable].
func (c *Client) get(ctx context.Context, stream string, req getRequest) (*stored, error) {
	if req.Seq == 0 && req.LastFor == "" && req.NextFor == "" {
		return nil, errNoMessage // sequences begin at 1: the server would call it a bad request
	}
	var resp getResponse
	m, err := resp.stored(c.ask(ctx, "STREAM.MSG.GET."+stream, req, &resp))
	return m, c.missing(stream, err)
}

// remove removes one message of a stream. Error: errNoMessage when there is none, as after a repetition.
func (c *Client) remove(ctx context.Context, stream string, seq uint64) error {
	err := c.ask(ctx, "STREAM.MSG.DELETE."+stream, deleteRequest{seq, true}, &apiError{})
	if isCode(err, js.JSErrCodeMessageNotFound, errNoSequence) {
		return errNoMessage
	}
	return c.missing(stream, err)
}

// missing says what a stream that is not there means.
func (c *Client) missing(stream string, err error) error {
	if isCode(err, js.JSErrCodeStreamNotFound) {
		return actor.Errorf(actor.CodeUnavailable, "there is no stream %s: has a node been started on these servers, with this prefix?", stream)
	}
	var denied *js.APIError
	if errors.As(err, &denied) && denied.Code >= 500 {
		return actor.Errorf(actor.CodeUnavailable, "%v", err)
	}
	return err
}
