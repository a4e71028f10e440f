package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/perdure/perdure/actor"
)

type lsVerb struct {
	Type   string `arg:"" optional:"" name:"TYPE" help:"Only runs of this type."`
	Status status `placeholder:"S" help:"Only runs in this status: pending, running, parked, paused, completed, failed, cancelled, terminated."`
	Limit  int    `default:"100" help:"At most so many; 0: all."`
}

// status is a flag that names a run's status; empty is any.
type status actor.Status

// UnmarshalText implements encoding.TextUnmarshaler, by which kong reads the flag.
func (s *status) UnmarshalText(text []byte) error {
	all := []string{"pending", "running", "parked", "paused", "completed", "failed", "cancelled", "terminated"}
	if *s = status(text); *s != "" && !slices.Contains(all, string(*s)) {
		return fmt.Errorf("want %s, not %q", strings.Join(all, ", "), text)
	}
	return nil
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
	rows := [][]string{{"RUN", "STATUS", "RECORDS", "SEQ", "UPDATED"}}
	for _, r := range runs {
		rows = append(rows, []string{
			visible(r.Run), cmp.Or(string(r.Status), "?"), strconv.FormatUint(r.Records, 10), strconv.FormatUint(r.Seq, 10),
			when(r.Updated),
		})
	}
	return s.table(rows)
}

// maxColumn is how wide a column is made: what is longer moves only its own line.
const maxColumn = 40

// columns aligns the cells of all rows.
func columns(rows [][]string) string {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			if n := utf8.RuneCountInString(cell); n <= maxColumn {
				widths[i] = max(widths[i], n)
			}
		}
	}
	var b strings.Builder
	for _, row := range rows {
		for i, cell := range row[:len(row)-1] {
			fmt.Fprintf(&b, "%-*s  ", widths[i], cell)
		}
		b.WriteString(row[len(row)-1] + "\n")
	}
	return b.String()
}

// escaped is s with its control characters as Go writes them.
func escaped(s string) string {
	var b strings.Builder
	for _, c := range s {
		if unicode.IsControl(c) {
			b.WriteString(strings.Trim(strconv.QuoteRune(c), "'"))
		} else {
			b.WriteRune(c)
		}
	}
	return b.String()
}

// visible quotes what would not stay on its line.
func visible(s string) string {
	if strings.ContainsFunc(s, unicode.IsControl) {
		return strconv.Quote(s)
	}
	return s
}
