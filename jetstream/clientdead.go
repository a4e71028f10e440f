package jetstream

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/perdure/perdure/actor"
)

// DeadLetter is a send that could not be applied, as the stream DEAD keeps it.
type DeadLetter struct {
	Seq  uint64    `json:"seq"`  // its sequence in DEAD
	Kept time.Time `json:"kept"` // when it was stored there
	actor.DeadLetter
	Truncated bool `json:"truncated,omitempty"` // Payload is only the beginning of what was sent
}

// DeadLetters yields the letters to an object; to all objects of a type, where the key is empty; to everybody for the zero
// address. They come oldest first, those that are there when it begins; messages that are no letters are left out.
// It stops after the first error: [actor.ErrUnavailable] when the stream cannot be reached.
func (c *Client) DeadLetters(ctx context.Context, to actor.Address) iter.Seq2[*DeadLetter, error] {
	return func(yield func(*DeadLetter, error) bool) {
		subject := c.names.DeadAll()
		switch {
		case to.Key != "":
			subject = c.names.Dead(to.Type, to.Key)
		case to.Type != "":
			subject = c.names.DeadOf(to.Type)
		}
		stream := c.names.DeadStream()
		last, err := c.get(ctx, stream, getRequest{LastFor: subject})
		for seq := uint64(1); err == nil && seq <= last.Seq; seq++ {
			var m *stored
			if m, err = c.get(ctx, stream, getRequest{Seq: seq, NextFor: subject}); err != nil {
				break
			}
			seq = m.Seq
			if d, bad := deadLetterOf(m); bad == nil && seq <= last.Seq && !yield(d, nil) {
				return
			}
		}
		if err != nil && !errors.Is(err, errNoMessage) {
			yield(nil, fmt.Errorf("list dead letters: %w", err))
		}
	}
}

// DeadLetter returns the letter with this sequence. Errors: [actor.ErrNotFound], [actor.ErrUnavailable].
func (c *Client) DeadLetter(ctx context.Context, seq uint64) (*DeadLetter, error) {
	m, err := c.get(ctx, c.names.DeadStream(), getRequest{Seq: seq})
	var d *DeadLetter
	switch {
	case errors.Is(err, errNoMessage):
		err = actor.Errorf(actor.CodeNotFound, "there is none")
	case err == nil:
		if d, err = deadLetterOf(m); err != nil {
			err = actor.Errorf(actor.CodeNotFound, "it is not a dead letter: %v", err)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read dead letter %d: %w", seq, err)
	}
	return d, nil
}

// RetryDead sends what a letter holds once more, to where it was addressed, and returns its new sequence in the inbox. The
// letter goes only after that is durable. However often that is cut off and begun again within a day, the send is applied
// at most once: it goes out under its call id, or one made of the letter. Its payload, call id, token, reply-to and trace
// are those of the first time, other headers are not. What still cannot be applied becomes another letter.
//
// A letter that was cut, or whose address is none, is refused with [actor.ErrInvalid]. An error with a sequence says that
// the send is stored and its letter still there.
func (c *Client) RetryDead(ctx context.Context, d *DeadLetter) (inbox uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, actor.DefaultTimeout) // the call's own says how long its id is kept
	defer cancel()
	addr, err := d.address()
	if err == nil {
		inbox, err = c.Send(ctx, addr, d.Hook, d.Payload, d.header())
	}
	if err != nil {
		return 0, fmt.Errorf("retry dead letter %d: %w", d.Seq, err)
	}
	if err := c.remove(ctx, c.names.DeadStream(), d.Seq); err != nil && !errors.Is(err, errNoMessage) {
		return inbox, fmt.Errorf("retry dead letter %d: it is sent, as %d, and still there: %w", d.Seq, inbox, err)
	}
	return inbox, nil
}

// DropDead forgets the letter with this sequence, for ever. Errors: [actor.ErrNotFound], [actor.ErrUnavailable].
func (c *Client) DropDead(ctx context.Context, seq uint64) error {
	stream := c.names.DeadStream()
	_, err := c.get(ctx, stream, getRequest{Seq: seq})
	if errors.Is(err, errNoMessage) {
		err = actor.Errorf(actor.CodeNotFound, "there is none")
	} else if err == nil {
		if err = c.remove(ctx, stream, seq); errors.Is(err, errNoMessage) {
			err = nil // the first of two requests has done it
		}
	}
	if err != nil {
		return fmt.Errorf("drop dead letter %d: %w", seq, err)
	}
	return nil
}

func deadLetterOf(m *stored) (*DeadLetter, error) {
	letter, truncated, err := DecodeDead(m.Data)
	if err != nil {
		return nil, err
	}
	if letter.Run == "" || letter.Hook == "" || letter.Cause == nil {
		return nil, fmt.Errorf("no run, hook or cause in %.100q", m.Data)
	}
	return &DeadLetter{Seq: m.Seq, Kept: m.Time.UTC(), DeadLetter: *letter, Truncated: truncated}, nil
}

// address is where the letter was sent to.
func (d *DeadLetter) address() (actor.Address, error) {
	typ, key, _ := strings.Cut(d.Run, "/")
	addr := actor.Address{Type: typ, Key: key}
	switch {
	case d.Truncated:
		return addr, actor.Errorf(actor.CodeInvalid, "only the first %d bytes of its payload were kept: send it anew", len(d.Payload))
	case d.BadAddress:
		return addr, actor.Errorf(actor.CodeInvalid, "%s is no address: send it anew", d.Run)
	}
	return addr, nil // what else may be wrong with it, Send says
}

// header is that of the send, under an id that is the same for every retry.
func (d *DeadLetter) header() actor.CallHeader {
	h := actor.CallHeader{CallID: d.CallID, Timeout: MaxCallTimeout, ReplyTo: d.ReplyTo, Token: d.Token, Trace: d.Trace}
	if h.CallID == "" {
		h.CallID = fmt.Sprintf("dead-%d-%d", d.Inbox, d.Sent.UnixNano())
	}
	return h
}
