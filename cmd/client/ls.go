package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/perdure/perdure/actor"
)

type lsVerb struct {
	Type   string `arg:"" optional:"" name:"TYPE" help:"Only runs of this type."`
	Status string `placeholder:"S" help:"Only runs in this status: ${enum}." enum:"pending,running,parked,completed,failed," default:""`
	Limit  int    `default:"100" help:"At most so many; 0: all."`
}

// Run prints a run a line.
func (v *lsVerb) Run(ctx context.Context, s *session) error {
	if v.Type != "" {
		probe := actor.Address{Type: v.Type, Key: "x"} // only the type can be wrong
		if err := probe.Validate(); err != nil {
			return fmt.Errorf("%w: %w", errUsage, err)
		}
	}
	ctx, cancel := s.limit(ctx)
	defer cancel()
	runs, err := s.client.Runs(ctx, v.Type, actor.Status(v.Status), v.Limit)
	if err != nil {
		return err
	}
	if s.json {
		for _, r := range runs {
			if err := s.printJSON(r); err != nil {
				return err
			}
		}
		return nil
	}
	w := tabwriter.NewWriter(s.stdout, 0, 0, 2, ' ', 0)
	if len(runs) > 0 {
		fmt.Fprintln(w, "RUN\tSTATUS\tRECORDS\tSEQ\tUPDATED")
	}
	for _, r := range runs {
		status := string(r.Status)
		if status == "" {
			status = "?"
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%s\n", visible(r.Run), status, r.Records, r.Seq, r.Updated.UTC().Format(time.RFC3339))
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	return nil
}

// visible quotes what would not stay on its line.
func visible(s string) string {
	if strings.ContainsFunc(s, unicode.IsControl) {
		return strconv.Quote(s)
	}
	return s
}
