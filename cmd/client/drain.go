package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/perdure/perdure/jetstream"
)

// drainTimeout is how long a drain is waited for without --timeout; drainLook is how often the client looks.
const (
	drainTimeout = time.Minute
	drainLook    = 500 * time.Millisecond
)

// errKept marks partitions that nobody else can take.
var errKept = errors.New("there is no other node to take them")

type drainVerb struct {
	Node   string `arg:"" name:"NODE" help:"The node, as nodes lists it."`
	Off    bool   `help:"Take it back: the node takes partitions again."`
	NoWait bool   `help:"Do not wait until the node owns nothing; without it --timeout is 1m."`
}

// drained is what --json prints.
type drained struct {
	Node     string `json:"node"`
	Draining bool   `json:"draining"`
	Moved    int    `json:"moved"`
	Left     int    `json:"left"`
}

// Run has the node hand over what it owns, and waits for that.
func (v *drainVerb) Run(ctx context.Context, s *session) error {
	if !s.timed && !v.Off && !v.NoWait {
		s.timeout = drainTimeout
	}
	ctx, cancel := s.limit(ctx)
	defer cancel()
	before, err := v.owned(ctx, s)
	if err != nil {
		return err
	}
	if err := s.client.Drain(ctx, v.Node, !v.Off); err != nil {
		return err
	}
	result := drained{Node: v.Node, Draining: !v.Off, Left: before}
	switch {
	case v.Off:
		return v.print(s, result, "%s takes partitions again\n", v.Node)
	case v.NoWait:
		return v.print(s, result, "%s hands over %s\n", v.Node, partitions(before))
	}
	if err := v.wait(ctx, s, before); err != nil {
		return fmt.Errorf("drain %s: %w", v.Node, err)
	}
	result.Moved, result.Left = before, 0
	return v.print(s, result, "%s moved from %s\n", partitions(before), v.Node)
}

// wait returns when the node owns nothing.
func (v *drainVerb) wait(ctx context.Context, s *session, left int) error {
	look := time.NewTicker(drainLook)
	defer look.Stop()
	for {
		now, err := v.owned(ctx, s)
		if ctx.Err() != nil {
			return fmt.Errorf("%s left: %w", partitions(left), ctx.Err())
		}
		if err != nil {
			return err
		}
		if now != left {
			fmt.Fprintf(s.stderr, "client: %s left\n", partitions(now))
		}
		if left = now; left == 0 {
			return nil
		}
		if err := v.alone(ctx, s); err != nil {
			return fmt.Errorf("it keeps %s: %w; it hands them over to the next that comes, --off takes that back", partitions(left), err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s left: %w", partitions(left), ctx.Err())
		case <-look.C:
		}
	}
}

// owned returns how many partitions the node owns.
func (v *drainVerb) owned(ctx context.Context, s *session) (n int, err error) {
	all, err := s.client.Partitions(ctx)
	for _, p := range all {
		if p.Node == v.Node && p.Owned() {
			n++
		}
	}
	return n, err
}

// alone returns [errKept] when no other node takes partitions.
func (v *drainVerb) alone(ctx context.Context, s *session) error {
	nodes, err := s.client.Nodes(ctx)
	if err != nil || slices.ContainsFunc(nodes, func(n jetstream.NodeInfo) bool { return n.Node != v.Node && !n.Draining }) {
		return nil //nolint:nilerr // the next look tells
	}
	return errKept
}

func (v *drainVerb) print(s *session, result drained, text string, args ...any) error {
	if s.json {
		return s.printJSON(result)
	}
	return s.printf(text, args...)
}

func partitions(n int) string {
	if n == 1 {
		return "1 partition"
	}
	return fmt.Sprintf("%d partitions", n)
}
