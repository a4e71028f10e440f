package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	js "github.com/nats-io/nats.go/jetstream"
)

// getTimeout bounds one read; an answer takes milliseconds, a cold block perhaps a second, by which it is not taken for lost.
const (
	getTimeout  = 5 * time.Second
	getPatience = time.Second
)

// The same for a part of a large record: 8 MB take seconds over a slow link, or on a slow machine, and each that is asked for once
// more without need delays all that follow by as much.
const (
	partTimeout  = 30 * time.Second
	partPatience = 3 * time.Second
	partMemory   = time.Minute
)

var errNoMessage = errors.New("no message")

// getRequest asks for one message of a stream: by sequence, the last of a subject, or the next of a subject from
// a sequence on. The rest only a direct get knows.
type getRequest struct {
	Seq     uint64 `json:"seq,omitempty"`
	LastFor string `json:"last_by_subj,omitempty"`
	NextFor string `json:"next_by_subj,omitempty"`

	Batch    int      `json:"batch,omitempty"`
	MaxBytes int      `json:"max_bytes,omitempty"`
	LastOf   []string `json:"multi_last,omitempty"` // the last of each subject
	UpTo     uint64   `json:"up_to_seq,omitempty"`  // with LastOf: as it was at this sequence
}

type getResponse struct {
	apiError
	Message *struct {
		Subject string    `json:"subject"`
		Seq     uint64    `json:"seq"`
		Header  []byte    `json:"hdrs"`
		Data    []byte    `json:"data"`
		Time    time.Time `json:"time"`
	} `json:"message"`
}

// apiError is a part of each answer of the JetStream API.
type apiError struct {
	Error *js.APIError `json:"error"`
}

func (e apiError) failure() error {
	if e.Error == nil {
		return nil
	}
	return e.Error
}

// ask makes one request to the JetStream API, and waits for its answer for getTimeout at most. Its error may be one that the
// server answered.
func (s *Store) ask(ctx context.Context, subject string, req any, resp interface{ failure() error }) error {
	ctx, cancel := context.WithTimeout(ctx, getTimeout)
	defer cancel()
	return s.request(ctx, subject, req, resp)
}

// request is ask for as long as ctx says.
func (s *Store) request(ctx context.Context, subject string, req any, resp interface{ failure() error }) error {
	body, err := json.Marshal(req)
	if err != nil {
		return fmt.Errorf("encode request: %w", err)
	}
	answer, err := s.nc.RequestWithContext(ctx, js.DefaultAPIPrefix+subject, body)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(answer.Data, resp); err != nil {
		return fmt.Errorf("decode answer: %w", err)
	}
	return resp.failure()
}

// get reads one message from the stream's leader, never from a replica that may lag. A header that cannot be
// read is left out: anyone may have published it. Error: errNoMessage.
func (s *Store) get(ctx context.Context, stream string, req getRequest) (*stored, error) {
	within, least, memory := getTimeout, getPatience, briefly
	if stream == s.names.BlobsStream() {
		within, least, memory = partTimeout, partPatience, partMemory
	}
	pulse := s.reads.of(stream, least, memory)
	return untilAnswered(ctx, within, pulse.lost, func(ctx context.Context, _ bool) (*stored, error) {
		sent := time.Now()
		m, err := s.getOnce(ctx, stream, req)
		if err == nil || errors.Is(err, errNoMessage) {
			pulse.heard(sent)
		}
		return m, err
	})
}

// getOnce is get without a repetition of what was lost, for as long as ctx says.
func (s *Store) getOnce(ctx context.Context, stream string, req getRequest) (*stored, error) {
	var resp getResponse
	return resp.stored(s.request(ctx, "STREAM.MSG.GET."+stream, req, &resp))
}

// stored is the message of an answer, or err, or that there is none.
func (r *getResponse) stored(err error) (*stored, error) {
	m := r.Message
	switch {
	case isCode(err, js.JSErrCodeMessageNotFound):
		return nil, errNoMessage
	case err != nil:
		return nil, err
	case m == nil:
		return nil, errors.New("an answer without a message")
	}
	h, err := nats.DecodeHeadersMsg(m.Header)
	if err != nil {
		h = nil
	}
	return &stored{Subject: m.Subject, Seq: m.Seq, Time: m.Time, Header: h, Data: m.Data}, nil
}

// purge removes the messages of a subject, or those below a sequence, from a stream.
func (s *Store) purge(ctx context.Context, stream string, req purgeRequest) error {
	return s.ask(ctx, "STREAM.PURGE."+stream, req, &apiError{})
}

type purgeRequest struct {
	Subject string `json:"filter,omitempty"`
	Below   uint64 `json:"seq,omitempty"`
}

type deleteRequest struct {
	Seq     uint64 `json:"seq"`
	NoErase bool   `json:"no_erase"` // not overwritten with noise
}

// remove removes one message. No error when there is none.
func (s *Store) remove(ctx context.Context, stream string, seq uint64) error {
	err := s.ask(ctx, "STREAM.MSG.DELETE."+stream, deleteRequest{seq, true}, &apiError{})
	if err == nil || isCode(err, js.JSErrCodeMessageNotFound, errNoSequence) {
		return nil
	}
	if _, missing := s.get(ctx, stream, getRequest{Seq: seq}); errors.Is(missing, errNoMessage) {
		return nil
	}
	return err
}
