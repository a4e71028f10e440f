package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/jetstream"
)

// deadVerb is what there is to do with dead letters.
type deadVerb struct {
	Ls    deadLsVerb    `cmd:"" help:"List dead letters, the oldest first."`
	Show  deadShowVerb  `cmd:"" help:"Show one whole."`
	Retry deadRetryVerb `cmd:"" help:"Send what they hold once more: each is applied at most once, however often this is repeated within a day."`
	Drop  deadDropVerb  `cmd:"" help:"Forget them, for ever."`
}

type deadLsVerb struct {
	To    recipient `arg:"" optional:"" name:"TYPE[/KEY]" help:"Only letters to this object, or to all of the type."`
	Limit int       `default:"100" help:"At most so many; 0: all."`
}

// Run prints a letter a line.
func (v *deadLsVerb) Run(ctx context.Context, s *session) error {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	rows := [][]string{{"SEQ", "RUN", "HOOK", "SENT", "CODE", "CAUSE"}}
	n := 0
	for d, err := range s.client.DeadLetters(ctx, v.To.addr) {
		if err != nil {
			return err
		}
		if s.json {
			if err := s.printJSON(d); err != nil {
				return err
			}
		}
		rows = append(rows, []string{
			strconv.FormatUint(d.Seq, 10), visible(d.Run), visible(d.Hook), when(d.Sent), strconv.Itoa(int(d.Cause.Code)), visible(d.Cause.Message),
		})
		if n++; n == v.Limit {
			break
		}
	}
	return s.table(rows)
}

type deadShowVerb struct {
	Seq uint64 `arg:"" name:"SEQ" help:"Its sequence, as dead ls has it."`
}

// Run prints the letter, for people with its payload as it was sent.
func (v *deadShowVerb) Run(ctx context.Context, s *session) error {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	d, err := s.client.DeadLetter(ctx, v.Seq)
	if err != nil {
		return err
	}
	if s.json {
		return s.printJSON(d)
	}
	return s.printf("%s", letterText(d))
}

// letterText is a letter for people: a field a line, those that are empty left out.
func letterText(d *jetstream.DeadLetter) string {
	payload := fmt.Sprintf("%d bytes that are no text", len(d.Payload))
	if utf8.Valid(d.Payload) {
		payload = visible(string(d.Payload))
	}
	if d.Truncated {
		payload += " … (cut)"
	}
	address := visible(d.Run)
	if d.BadAddress {
		address += " (no address)"
	}
	var b strings.Builder
	for _, f := range [][2]string{
		{"seq", strconv.FormatUint(d.Seq, 10)},
		{"run", address},
		{"hook", visible(d.Hook)},
		{"token", visible(d.Token)},
		{"call id", visible(d.CallID)},
		{"inbox", strconv.FormatUint(d.Inbox, 10)},
		{"sent", when(d.Sent)},
		{"kept", when(d.Kept)},
		{"cause", visible(d.Cause.Error())},
		{"details", string(d.Cause.Details)},
		{"reply to", visible(d.ReplyTo)},
		{"payload", cmp.Or(payload, "-")},
	} {
		if f[1] != "" {
			fmt.Fprintf(&b, "%-8s  %s\n", f[0], f[1])
		}
	}
	return b.String()
}

// retried is what became of a letter that was sent again.
type retried struct {
	Seq   uint64 `json:"seq"`
	Run   string `json:"run"`
	Inbox uint64 `json:"inbox"` // sequence in the inbox
}

type deadRetryVerb struct{ letters }

// Help says what a retry is.
func (*deadRetryVerb) Help() string {
	return "Each goes out as it was sent, under its call id, and leaves the list once the inbox has it. What still cannot be applied comes back as another letter."
}

// Run prints the new inbox sequence of each letter.
func (v *deadRetryVerb) Run(ctx context.Context, s *session) error {
	return v.each(ctx, s, func(ctx context.Context, d *jetstream.DeadLetter) error {
		inbox, err := s.client.RetryDead(ctx, d)
		switch {
		case err != nil:
			return err
		case s.json:
			return s.printJSON(retried{d.Seq, d.Run, inbox})
		}
		return s.printf("%d  %s %s accepted as %d\n", d.Seq, visible(d.Run), visible(d.Hook), inbox)
	})
}

// dropped is a letter that is gone.
type dropped struct {
	Seq uint64 `json:"seq"`
	Run string `json:"run"`
}

type deadDropVerb struct{ letters }

// Run prints the letters that are gone.
func (v *deadDropVerb) Run(ctx context.Context, s *session) error {
	return v.each(ctx, s, func(ctx context.Context, d *jetstream.DeadLetter) error {
		err := s.client.DropDead(ctx, d.Seq)
		switch {
		case err != nil:
			return err
		case s.json:
			return s.printJSON(dropped{d.Seq, d.Run})
		}
		return s.printf("%d  %s %s dropped\n", d.Seq, visible(d.Run), visible(d.Hook))
	})
}

// letters are those that a verb is for.
type letters struct {
	Which string `arg:"" optional:"" name:"SEQ|TYPE[/KEY]" help:"One letter, or those to an object or to all of a type."`
	All   bool   `help:"Every letter."`
}

// AfterApply refuses a verb that does not say which letters, before anybody is connected to.
func (v *letters) AfterApply() error {
	if v.All == (v.Which != "") {
		return fmt.Errorf("%w: want a letter's sequence, TYPE, TYPE/KEY, or --all", errUsage)
	}
	if number, ok := new(big.Int).SetString(v.Which, 10); ok && !number.IsUint64() {
		return fmt.Errorf("%w: %s is no letter's sequence", errUsage, v.Which) // and not meant as a type
	}
	return nil
}

// errSome says that some letters could not be dealt with: each was named when that was found.
var errSome = errors.New("dead letters that are left")

// each calls do for every letter, each with the session's timeout. A letter that fails does not keep it from the others, save
// when nobody can be reached.
func (v *letters) each(ctx context.Context, s *session, do func(context.Context, *jetstream.DeadLetter) error) error {
	all, err := v.find(ctx, s)
	if err != nil {
		return err
	}
	failed := 0
	for d, err := range all {
		if err == nil {
			limited, cancel := s.limit(ctx)
			err = do(limited, d)
			cancel()
		}
		if one := d != nil && v.single(); err != nil && (one || exitCode(err) != exitFailed) {
			return err
		}
		if err != nil {
			failed++
			fmt.Fprintf(s.stderr, "client: %s\n", errorText(err))
		}
	}
	if failed > 0 {
		return fmt.Errorf("%w: %d", errSome, failed)
	}
	return nil
}

func (v *letters) single() bool {
	_, err := strconv.ParseUint(v.Which, 10, 64)
	return err == nil
}

func (v *letters) find(ctx context.Context, s *session) (iter.Seq2[*jetstream.DeadLetter, error], error) {
	if seq, err := strconv.ParseUint(v.Which, 10, 64); err == nil {
		ctx, cancel := s.limit(ctx)
		defer cancel()
		d, err := s.client.DeadLetter(ctx, seq)
		return func(yield func(*jetstream.DeadLetter, error) bool) { yield(d, nil) }, err
	}
	var to recipient
	if v.Which != "" {
		if err := to.UnmarshalText([]byte(v.Which)); err != nil {
			return nil, fmt.Errorf("%w: %w", errUsage, err)
		}
	}
	return s.client.DeadLetters(ctx, to.addr), nil
}

// recipient is an argument TYPE[/KEY], which need not be an object that there can be: letters to such are kept too.
type recipient struct{ addr actor.Address }

// UnmarshalText implements encoding.TextUnmarshaler, by which kong reads the argument.
func (r *recipient) UnmarshalText(text []byte) error {
	typ, key, slash := strings.Cut(string(text), "/")
	if typ == "" || slash && key == "" {
		return fmt.Errorf("%q: want TYPE or TYPE/KEY", text)
	}
	r.addr = actor.Address{Type: typ, Key: key}
	return nil
}
