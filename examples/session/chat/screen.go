package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/examples/session"
	"github.com/perdure/perdure/examples/session/agent"
)

// screen shows a session: what the agent says as it says it, also to others.
type screen struct {
	mu      sync.Mutex
	out     io.Writer
	from    int           // index of the first chunk that is followed
	next    int           // index of the chunk to come
	shown   []string      // chunks of the answer in progress
	changed chan struct{} // closed and made anew when next changes
	asked   bool          // the user waits: an answer's end brings no prompt
}

func newScreen(out io.Writer) *screen { return &screen{out: out, changed: make(chan struct{})} }

func (s *screen) print(format string, args ...any) { _, _ = fmt.Fprintf(s.out, format, args...) }

func (s *screen) prompt() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = false
	s.print("> ")
}

func (s *screen) answering() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = true
}

func (s *screen) note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.print("["+format+"]\n", args...)
}

// recall shows what was said before.
func (s *screen) recall(talk session.Talk) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if talk.Summary != "" {
		s.print("[%s]\n", talk.Summary)
	}
	for _, m := range talk.Messages {
		text := m.Text()
		switch {
		case text == "":
		case m.Role == agent.User:
			s.print("> %s\n", text)
		default:
			s.print("%s\n", text)
		}
	}
}

// follow shows the text that the agent speaks, from a chunk on, until ctx ends.
func (s *screen) follow(ctx context.Context, client actor.Client, addr actor.Address, from int) error {
	s.mu.Lock()
	s.from, s.next = from, from
	s.mu.Unlock()
	for chunk, err := range session.Text.Read(ctx, client, addr, from) {
		if rewind, ok := errors.AsType[*actor.RewindError](err); ok {
			s.rewind(int(rewind.Index))
			continue
		}
		if err != nil {
			return fmt.Errorf("follow %s: %w", addr, err)
		}
		s.chunk(chunk.Text)
	}
	return ctx.Err()
}

func (s *screen) chunk(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.move(s.next + 1)
	s.shown = append(s.shown, text)
	s.print("%s", text)
	if text != "" {
		return
	}
	s.shown = nil
	s.print("\n")
	if !s.asked {
		s.print("> ")
	}
}

// rewind shows what is left of an answer that is begun again: a terminal takes nothing back.
func (s *screen) rewind(to int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	to = max(to, s.from) // what is rewound before is not followed
	gone := min(max(s.next-to, 0), len(s.shown))
	s.shown = s.shown[:len(s.shown)-gone]
	s.move(to)
	s.print("\n[cut off: once more]\n%s", strings.Join(s.shown, ""))
}

func (s *screen) move(next int) {
	s.next = next
	close(s.changed)
	s.changed = make(chan struct{})
}

// await waits until all chunks before next are on the screen.
func (s *screen) await(ctx context.Context, next int) {
	for {
		s.mu.Lock()
		at, changed := s.next, s.changed
		s.mu.Unlock()
		if at >= next {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// watch shows the tools that the agent uses, from an activity on, until ctx ends.
func (s *screen) watch(ctx context.Context, client actor.Client, addr actor.Address, from int) error {
	for a, err := range session.Activity.Read(ctx, client, addr, from) {
		switch {
		case err != nil:
			return fmt.Errorf("watch the tools of %s: %w", addr, err)
		case a.Call != nil:
			s.tool("\n[%s %s]\n", a.Call.Tool, a.Call.Input)
		case a.Result != nil:
			s.tool("[→ %s]\n", a.Result.Content)
		}
	}
	return ctx.Err()
}

func (s *screen) tool(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.print(format, args...)
}
