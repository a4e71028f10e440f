package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"text/tabwriter"
	"time"
)

// benchReport is what bench prints with --json.
type benchReport struct {
	Objects int      `json:"objects"`
	Callers int      `json:"callers"`
	Calls   summary  `json:"calls"`
	Raw     *summary `json:"raw,omitempty"`
	Ratio   *ratio   `json:"ratio,omitempty"`
}

// ratio is calls over raw publishes.
type ratio struct {
	Rate float64 `json:"rate"`
	P50  float64 `json:"p50"`
	P99  float64 `json:"p99"`
}

func (s *session) printBench(v *benchVerb, calls, raw *sample) error {
	r := benchReport{Objects: v.Objects, Callers: v.Callers, Calls: calls.summary()}
	if raw != nil && raw.count() > 0 {
		sum := raw.summary()
		r.Raw = &sum
		r.Ratio = &ratio{Rate: r.Calls.Rate / sum.Rate, P50: r.Calls.P50 / sum.P50, P99: r.Calls.P99 / sum.P99}
	}
	if calls.errors > 0 {
		fmt.Fprintf(s.stderr, "client: %d calls failed, the first: %v\n", calls.errors, calls.err)
	}
	if s.json {
		return s.printJSON(r)
	}
	return s.printf("%s", r.table())
}

func (r benchReport) table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d objects, %d callers, %.1fs\n", r.Objects, r.Callers, r.Calls.Seconds)
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	line(w, "", "RATE/S", "P50", "P99", "MAX", "COUNT", "ERRORS")
	r.Calls.line(w, "calls")
	if r.Raw != nil {
		r.Raw.line(w, "raw")
		line(w, "calls/raw", times(r.Ratio.Rate), times(r.Ratio.P50), times(r.Ratio.P99), "", "", "")
	}
	_ = w.Flush() // a Builder does not fail
	return b.String()
}

func line(w io.Writer, cells ...string) { fmt.Fprintln(w, strings.Join(cells, "\t")+"\t") }

func (s summary) line(w io.Writer, name string) {
	line(w, name, fmt.Sprintf("%.0f", s.Rate), micros(s.P50), micros(s.P99), micros(s.Max), strconv.Itoa(s.Count), strconv.Itoa(s.Errors))
}

func times(f float64) string { return fmt.Sprintf("%.2fx", f) }

func micros(us float64) string {
	d := time.Duration(us * float64(time.Microsecond))
	switch {
	case d < time.Millisecond:
		return d.Round(time.Microsecond).String()
	case d < time.Second:
		return d.Round(10 * time.Microsecond).String()
	default:
		return d.Round(time.Millisecond).String()
	}
}

// progress tells on a terminal what is going on; elsewhere it is silent.
type progress struct{ w io.Writer }

func newProgress(w io.Writer) progress {
	if f, ok := w.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			return progress{w}
		}
	}
	return progress{io.Discard}
}

// show counts the seconds of what lasts d until stop is called.
func (p progress) show(ctx context.Context, what string, d time.Duration) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	begin := time.Now()
	wg.Go(func() {
		every := time.NewTicker(200 * time.Millisecond)
		defer every.Stop()
		for {
			fmt.Fprintf(p.w, "\r\x1b[K%s: %.0f of %.0f s", what, time.Since(begin).Seconds(), d.Seconds())
			select {
			case <-ctx.Done():
				return
			case <-every.C:
			}
		}
	})
	return func() { cancel(); wg.Wait() }
}

func (p progress) clear() { fmt.Fprint(p.w, "\r\x1b[K") }
