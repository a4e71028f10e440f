package main

import (
	"bytes"
	"context"
	"regexp"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/perdure/perdure/internal/natstest"
)

// TestDoubt has calls whose outcome stays unknown: the client names the id that it made up, which finds it.
func TestDoubt(t *testing.T) {
	s := node(t, "")
	nc := natstest.Connect(t, s)
	for name, c := range map[string]struct {
		args      []string
		interrupt bool
		want      string // before the id
	}{
		"timed out": {
			[]string{"--timeout", "2s", "call", "tally/a", "late"},
			false,
			`client: call late of tally/a: no answer in time: the outcome is unknown, and the same call id finds it \(504, runtime\); find the outcome with`,
		},
		"interrupted": {
			[]string{"--timeout", "1m", "call", "tally/a", "late"},
			true,
			`client: call late of tally/a: interrupted: the outcome is unknown; find it with`,
		},
		"start": {
			[]string{"start", "session/late", "--wait", "--timeout", "1m"},
			true,
			`client: start session/late: interrupted: the outcome is unknown; find it with`,
		},
		"read": {[]string{"--timeout", "1m", "get", "tally/late"}, true, `client: interrupted$`},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, interrupt := context.WithCancel(t.Context())
			defer interrupt()
			ids := make(chan string, 16)
			sub, err := nc.Subscribe("call.*.*.*", func(m *nats.Msg) {
				ids <- m.Header.Get("Perdure-Call-Id")
				if c.interrupt {
					interrupt()
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = sub.Unsubscribe() }()
			if err := nc.Flush(); err != nil {
				t.Fatal(err)
			}
			var out, errs bytes.Buffer
			code := run(ctx, c.args, []string{"NATS_URL=" + s.ClientURL(), "HOME=" + t.TempDir()}, nil, &out, &errs)
			if err := nc.Flush(); err != nil {
				t.Fatal(err)
			}
			want, text := c.want, errs.String()
			if name != "read" {
				select {
				case id := <-ids:
					want += " --id " + id + "$"
				case <-time.After(30 * time.Second):
					t.Fatalf("no call was made: exit code %d, %s", code, text)
				}
			}
			if code != exitUnreachable || !regexp.MustCompile("(?m)^"+want).MatchString(text) || bytes.Count(errs.Bytes(), []byte("\n")) != 1 {
				t.Errorf("exit code %d, %s: want %s", code, text, want)
			}
		})
	}
}
