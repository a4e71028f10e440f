package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/jetstream"
)

type eventsVerb struct {
	Object object `arg:"" name:"TYPE/KEY" help:"The object."`
	Follow bool   `short:"f" help:"Go on with what is recorded from now on."`
	From   uint64 `placeholder:"SEQ" help:"First log sequence."`
}

// Run prints an event a line, or with --json a record a line.
func (v *eventsVerb) Run(ctx context.Context, s *session) error {
	records := s.client.Follow(ctx, v.Object.Address, v.From)
	if !v.Follow {
		limited, cancel := s.limit(ctx)
		defer cancel()
		records = s.client.Events(limited, v.Object.Address, v.From)
	}
	for r, err := range records {
		if v.Follow && errors.Is(err, context.Canceled) {
			return nil // interrupted: that is how following ends
		}
		if err != nil {
			return err
		}
		if err := s.printRecord(r); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) printRecord(r *jetstream.LogRecord) error {
	if s.json {
		return s.printJSON(r)
	}
	for i := range r.Events {
		e := &r.Events[i]
		line := fmt.Sprintf("%6d  %s  %-15s %s", r.Seq, e.At.UTC().Format("2006-01-02T15:04:05.000Z"), e.Type, eventText(e))
		if err := s.printf("%s\n", strings.TrimRight(line, " ")); err != nil {
			return err
		}
	}
	return nil
}

// eventText is what an event says beside its type and time.
func eventText(e *actor.Event) string {
	var parts []string
	add := func(ok bool, format string, args ...any) {
		if ok {
			parts = append(parts, fmt.Sprintf(format, args...))
		}
	}
	add(e.Name != "", "%s", visible(e.Name))
	add(e.Token != "", "token=%s", visible(e.Token))
	add(e.Attempt > 0, "attempt=%d", e.Attempt)
	add(e.Node != "", "node=%s", e.Node)
	add(e.Epoch > 0, "epoch=%d", e.Epoch)
	add(e.Inbox > 0, "inbox=%d", e.Inbox)
	add(e.Run != "", "run=%s", visible(e.Run))
	add(e.Due != nil, "due=%s", due(e.Due))
	add(len(e.Payload) > 0, "%s", e.Payload)
	add(len(e.Result) > 0, "=> %s", e.Result)
	add(e.Reason != "", "%s", visible(e.Reason))
	if e.Error != nil {
		add(true, "failed: %s", visible(e.Error.Error()))
	}
	return strings.Join(parts, " ")
}

func due(at *time.Time) string {
	if at == nil {
		return ""
	}
	return at.UTC().Format(time.RFC3339Nano)
}
