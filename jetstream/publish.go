package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	js "github.com/nats-io/nats.go/jetstream"

	"github.com/perdure/perdure/actor"
)

// appendTimeout is when an append without answer is given up as unknown, if it does not seem lost before. A synced append takes
// milliseconds; a stream that elects a new leader answers nothing for seconds, and then not those that came before. One that
// was given up is looked up, and sent again: so a large one is not for its size.
const (
	appendTimeout  = 5 * time.Second
	appendPatience = 2 * time.Second
	appendPerMiB   = time.Second
)

// publisher stores one message at a time and says which of the four outcomes it had. It never repeats one.
type publisher struct {
	conn       *nats.Conn
	answers    replyInbox // of conn
	appends    pulses
	replicated bool
}

func (s *Store) publisher(conn *nats.Conn) publisher {
	return publisher{conn: conn, answers: replyInbox{nc: conn}, replicated: s.replicated}
}

// expect makes the server store a message only when its subject's last one has sequence last (0: none).
// The expected stream refuses what would land in a stream that took the place of ours.
func expect(h nats.Header, stream string, last uint64) {
	h[js.ExpectedLastSubjSeqHeader] = []string{strconv.FormatUint(last, 10)}
	h[js.ExpectedStreamHeader] = []string{stream}
}

// publish sends m once and says which of the four outcomes it had.
func (p *publisher) publish(ctx context.Context, m *nats.Msg, stream string) (uint64, error) {
	if err := ctx.Err(); err != nil {
		return 0, fmt.Errorf("%w: not sent: %w", actor.ErrAppendRefused, err)
	}
	reply, answers, release, err := p.answers.open()
	if err != nil {
		return 0, fmt.Errorf("%w: not sent: %w", actor.ErrAppendRefused, err)
	}
	defer release()
	lost := p.conn.StatusChanged(nats.RECONNECTING, nats.DISCONNECTED, nats.CLOSED)
	defer p.conn.RemoveStatusListener(lost)
	if !p.conn.IsConnected() {
		return 0, fmt.Errorf("%w: not sent: not connected", actor.ErrAppendRefused)
	}
	m.Reply = reply
	if err := p.conn.PublishMsg(m); err != nil {
		return 0, sendOutcome(err)
	}
	sent, pulse := time.Now(), p.appends.of(stream, appendPatience, briefly)
	through := sent.Add(time.Duration(len(m.Data)) * appendPerMiB >> 20)
	a, err := p.await(ctx, answers, lost, func() bool { return time.Since(through) >= appendTimeout || pulse.lost(through, 1) })
	if errors.Is(err, nats.ErrTimeout) {
		pulse.gaveUp(sent)
	}
	if err != nil {
		return 0, fmt.Errorf("%w: %w", actor.ErrAppendUnknown, err)
	}
	seq, err := ackOutcome(a, stream, p.replicated)
	if err == nil {
		pulse.heard(sent)
	}
	return seq, err
}

// await returns the answer, or why there is none yet.
func (p *publisher) await(ctx context.Context, answers <-chan *nats.Msg, cut <-chan nats.Status, lost func() bool) (m *nats.Msg, err error) {
	look := time.NewTicker(askAgain)
	defer look.Stop()
	for err == nil {
		select {
		case m := <-answers:
			return m, nil
		case <-ctx.Done():
			err = ctx.Err()
		case <-cut:
			err = nats.ErrDisconnected
		case <-look.C:
			if lost() {
				err = nats.ErrTimeout
			}
		}
	}
	select {
	case m := <-answers: // it came with what ended the wait
		return m, nil
	default:
		return nil, err
	}
}

// sendOutcome is what an error of the client library means. Those named are returned before anything is sent or buffered.
func sendOutcome(err error) error {
	for _, unsent := range []error{
		nats.ErrMaxPayload, nats.ErrReconnectBufExceeded, nats.ErrConnectionClosed, nats.ErrConnectionDraining,
		nats.ErrBadSubject, nats.ErrHeadersNotSupported, nats.ErrInvalidConnection,
	} {
		if errors.Is(err, unsent) {
			return fmt.Errorf("%w: not sent: %w", actor.ErrAppendRefused, err)
		}
	}
	return fmt.Errorf("%w: %w", actor.ErrAppendUnknown, err)
}

// ack is the server's answer to a publish.
type ack struct {
	Stream string       `json:"stream"`
	Seq    uint64       `json:"seq"`
	Error  *js.APIError `json:"error"`
}

// ackOutcome is what the server's answer means. Only what the server says before it writes is refused: see refusal.
func ackOutcome(m *nats.Msg, stream string, replicated bool) (uint64, error) {
	if len(m.Data) == 0 && m.Header.Get("Status") == "503" { // nobody subscribes to the subject, so nobody got it
		return 0, fmt.Errorf("%w: %w", actor.ErrAppendRefused, nats.ErrNoResponders)
	}
	var a ack
	if err := json.Unmarshal(m.Data, &a); err != nil {
		return 0, fmt.Errorf("%w: decode answer: %w", actor.ErrAppendUnknown, err)
	}
	switch {
	case a.Error == nil && a.Seq > 0 && a.Stream == stream:
		return a.Seq, nil
	case a.Error == nil:
		return 0, fmt.Errorf("%w: stream %q answers seq %d", actor.ErrAppendUnknown, a.Stream, a.Seq)
	case isCode(a.Error, js.JSErrCodeStreamWrongLastSequence, js.JSErrCodeStreamWrongLastSequenceConstant):
		return 0, fmt.Errorf("%w: %w", actor.ErrAppendConflict, a.Error)
	case refusal(a.Error, replicated):
		return 0, fmt.Errorf("%w: %w", actor.ErrAppendRefused, a.Error)
	default:
		return 0, fmt.Errorf("%w: %w", actor.ErrAppendUnknown, a.Error)
	}
}

// refusal reports whether the server certainly wrote nothing. Every code here is answered before the message is
// stored, or before it is proposed to the replicas. Codes that depend on one server's state, not on the message,
// count on one server only: of two that both believe to lead, the other may have written.
func refusal(err *js.APIError, replicated bool) bool {
	switch err.ErrorCode {
	case js.JSErrCodeStreamMessageExceedsMaximum, errHeaderTooLarge, errSealed, errOtherStream, errRollup:
		return true
	case errStoreFailed: // other causes are answered after replicas may have written
		return strings.Contains(err.Description, "maximum") || strings.Contains(err.Description, "too large")
	case errInsufficient, errTooManyRequests, errAccountExceeded, errMemoryExceeded, errStorageExceeded:
		return !replicated
	default:
		return false
	}
}
