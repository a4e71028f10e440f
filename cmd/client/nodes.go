package main

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/perdure/perdure/jetstream"
)

type nodesVerb struct{}

// Run prints a node a line.
func (*nodesVerb) Run(ctx context.Context, s *session) error {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	nodes, err := s.client.Nodes(ctx)
	if err != nil {
		return err
	}
	rows := [][]string{{"NODE", "STATUS", "PARTITIONS", "SINCE", "RENEWED", "SESSION", "TYPES"}}
	for _, n := range nodes {
		if s.json {
			if err := s.printJSON(n); err != nil {
				return err
			}
		}
		status := "live"
		if n.Draining {
			status = "draining"
		}
		rows = append(rows, []string{
			visible(n.Node), status, strconv.Itoa(n.Partitions), when(n.Since), ago(n.Renewed), cmp.Or(visible(n.Session), "-"),
			cmp.Or(visible(strings.Join(n.Types, ",")), "-"),
		})
	}
	return s.table(rows)
}

type partitionsVerb struct {
	Node string `placeholder:"NODE" help:"Only those that this node claimed last."`
}

// Run prints a partition a line.
func (v *partitionsVerb) Run(ctx context.Context, s *session) error {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	partitions, err := s.client.Partitions(ctx)
	if err != nil {
		return err
	}
	rows := [][]string{{"PARTITION", "NODE", "STATUS", "EPOCH", "SINCE"}}
	for _, p := range partitions {
		if v.Node != "" && p.Node != v.Node {
			continue
		}
		if s.json {
			if err := s.printJSON(p); err != nil {
				return err
			}
		}
		rows = append(rows, []string{
			strconv.Itoa(p.Partition), cmp.Or(visible(p.Node), "-"), partitionStatus(p), strconv.FormatUint(p.Epoch, 10), when(p.Since),
		})
	}
	return s.table(rows)
}

// partitionStatus says in a word who executes the partition's objects: its node, or nobody.
func partitionStatus(p jetstream.PartitionInfo) string {
	switch {
	case p.Epoch == 0:
		return "unclaimed"
	case p.Released:
		return "released"
	case !p.Live:
		return "lapsed" // its node has no lease any more
	default:
		return "owned"
	}
}

// table prints rows below their titles; nothing where there are none, or for programs.
func (s *session) table(rows [][]string) error {
	if s.json || len(rows) == 1 {
		return nil
	}
	return s.printf("%s", columns(rows))
}

func when(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}

// ago compares the server's clock with ours.
func ago(t time.Time) string {
	return fmt.Sprintf("%.1fs ago", time.Since(t).Seconds())
}
