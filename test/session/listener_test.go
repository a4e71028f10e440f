package session

import (
	"context"
	"errors"
	"sync"

	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/examples/session"
)

// listener reads the session's stream from its beginning, as a reader that honours rewinds.
type listener struct {
	mu        sync.Mutex
	chunks    []string
	takenBack int // rewinds that took something back
	err       error
	changed   chan struct{} // closed and made anew with each chunk
}

// heard is what a listener has.
type heard struct {
	whole     []string // answers
	words     int      // of the answer after them, each a chunk
	takenBack int      // how often the words were taken back
	err       error
}

// listen starts a listener, which ends with ctx.
func listen(ctx context.Context, client actor.Client) *listener {
	l := &listener{changed: make(chan struct{})}
	go func() {
		for chunk, err := range session.Text.Read(ctx, client, session.At("ann"), 0) {
			l.hear(chunk.Text, err)
		}
	}()
	return l
}

func (l *listener) hear(text string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	rewind, ok := errors.AsType[*actor.RewindError](err)
	switch {
	case ok && int(rewind.Index) < len(l.chunks):
		l.chunks = l.chunks[:rewind.Index]
		l.takenBack++
	case ok: // nothing of it
	case err != nil:
		l.err = err
	default:
		l.chunks = append(l.chunks, text)
	}
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *listener) now() heard {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := heard{takenBack: l.takenBack, err: l.err}
	text := ""
	for _, chunk := range l.chunks {
		h.words++
		if text += chunk; chunk == "" {
			h.whole = append(h.whole, text)
			text, h.words = "", 0
		}
	}
	return h
}

// await blocks until what was heard is ok.
func (l *listener) await(ctx context.Context, ok func(heard) bool) error {
	for {
		l.mu.Lock()
		changed := l.changed
		l.mu.Unlock()
		h := l.now()
		if ok(h) || h.err != nil {
			return h.err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
