package main

import (
	"context"
	"io"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// desk is a terminal whose user waits for what is printed.
type desk struct {
	t          *testing.T
	keys       *io.PipeWriter
	interrupts chan os.Signal
	code       chan int

	mu      sync.Mutex
	printed strings.Builder
	changed chan struct{}
	read    int // how far the user has read
}

func (d *desk) Write(b []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.printed.Write(b)
	close(d.changed)
	d.changed = make(chan struct{})
	return len(b), nil
}

// sit starts the program.
func sit(t *testing.T, args ...string) *desk {
	t.Helper()
	t.Setenv("ANTHROPIC_API_KEY", "")
	in, keys := io.Pipe()
	d := &desk{t: t, keys: keys, interrupts: make(chan os.Signal, 2), code: make(chan int, 1), changed: make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(func() { _ = keys.Close(); cancel() })
	go func() { d.code <- run(ctx, args, terminal{in, d, d, d.interrupts}) }()
	return d
}

// see waits until something that matches is printed after what was seen before, and returns it.
func (d *desk) see(pattern string) string {
	d.t.Helper()
	return d.find(pattern, regexp.MustCompile(pattern).FindStringIndex)
}

// seeTools waits until all that is printed after what was seen before is this text with what tools print somewhere in
// it, in their order: text and tools come by streams of their own.
func (d *desk) seeTools(text string, tools ...string) {
	d.t.Helper()
	d.find(text, func(unread string) []int {
		spoken, rest := "", unread
		for _, tool := range tools {
			before, after, ok := strings.Cut(rest, tool)
			if !ok {
				return nil
			}
			spoken, rest = spoken+before, after
		}
		if spoken+rest != text {
			return nil
		}
		return []int{0, len(unread)}
	})
}

// find waits until match returns where it finds what is wanted in what is printed after what was seen before.
func (d *desk) find(want string, match func(unread string) []int) string {
	d.t.Helper()
	timeout := time.After(time.Minute)
	for {
		d.mu.Lock()
		unread, changed := d.printed.String()[d.read:], d.changed
		at := match(unread)
		if at != nil {
			d.read += at[1]
			d.mu.Unlock()
			return unread[at[0]:at[1]]
		}
		d.mu.Unlock()
		select {
		case <-changed:
		case <-timeout:
			d.t.Fatalf("waiting for %q, the screen shows %q", want, unread)
		}
	}
}

func (d *desk) write(line string) {
	d.t.Helper()
	if _, err := io.WriteString(d.keys, line+"\n"); err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) exits(want int) {
	d.t.Helper()
	select {
	case got := <-d.code:
		if got != want {
			d.t.Errorf("exit code %d, want %d", got, want)
		}
	case <-time.After(time.Minute):
		d.t.Fatal("the program does not end")
	}
}

func TestChat(t *testing.T) {
	store := t.TempDir()
	ann := sit(t, "--store", store, "ann")
	url := strings.TrimPrefix(ann.see(`--nats nats://\S+`), "--nats ")
	ann.see(`> `)
	ann.write("hello")
	ann.see(`^Hello! I remember [^\n]*apples\.\n> `)
	ann.write("add 3 to apples")
	ann.seeTools("Let me add that.\n\nThe answer is 3.\n> ", "\n[tally_add {\"n\":3,\"name\":\"apples\"}]\n", "[→ 3]\n")

	bob := sit(t, "--nats", url, "ann") // a second one at the same session, who sees what was said before
	bob.see(`^> hello\nHello! [^\n]*\n> add 3 to apples\nLet me add that\.\nThe answer is 3\.\n> $`)
	ann.write("count to 500")
	bob.see(`^1 2 3 `)
	ann.see(`^1 2 3 `)
	ann.interrupts <- os.Interrupt
	ann.see(`\d\n> `)
	bob.see(`\d\n> `)
	bob.write("what did I say first?")
	bob.see(`know word for word is: "hello"\.\n> `)
	ann.see(`know word for word is: "hello"\.\n> `)
	bob.interrupts <- os.Interrupt // nothing is in progress
	bob.exits(exitDone)
	_ = ann.keys.Close()
	ann.exits(exitDone)

	again := sit(t, "--store", store, "ann")
	again.see(`> count to 500\n1 2 3 `)
	again.write("count to 500")
	again.see(`\n> `)
	again.see(`1 2 3 `)
	again.interrupts <- os.Interrupt
	again.interrupts <- os.Interrupt
	again.exits(exitDone)
}

func TestChat_Usage(t *testing.T) {
	for name, x := range map[string]struct {
		args []string
		code int
		says string
	}{
		"help":         {[]string{"-h"}, exitDone, "-nats"},
		"unknown flag": {[]string{"--loud"}, exitUsage, "loud"},
		"two keys":     {[]string{"a", "b"}, exitUsage, "one session at a time"},
		"nobody there": {[]string{"--nats", "nats://127.0.0.1:1"}, exitFail, "connect to nats://127.0.0.1:1"},
	} {
		t.Run(name, func(t *testing.T) {
			d := sit(t, x.args...)
			d.see(regexp.QuoteMeta(x.says))
			d.exits(x.code)
		})
	}
}
