package actor

import (
	"context"
	"errors"
	"testing"
)

// mute is an outlet that tells nobody an outcome.
type mute struct{ worldOutlet }

func (mute) Outcome(context.Context, string, *Outcome) error { return errors.New("not now") }

// muted has a host let out no outcome.
func (w *world) muted(c *Config) { c.Outlet = mute{worldOutlet{w}} }

// reads has the host read the inbox and the timers until what it returns is called.
func (w *world) reads(h *Host) (end func()) {
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Error(err)
		}
	}
}

// told waits until somebody was told the outcome of a send.
func (w *world) told(to string) {
	w.t.Helper()
	w.until("the outcome is told", func() bool { return len(w.outcomes[to]) > 0 })
}

// TestHost_callBeforeResume: an object is called before its new owner has come to take up what the former one left. The
// record of the call does not have that trimmed.
func TestHost_callBeforeResume(t *testing.T) {
	for _, policy := range []Declaration{KeepAll(), KeepNeeded()} {
		t.Run(policy.(keep).String(), func(t *testing.T) {
			w := newWorld(t)
			old := w.host("old", w.muted, keeping(policy))
			w.own(old, 1, Checkpoint{})
			ends := w.reads(old)
			w.send(at, "add", "1", CallHeader{ReplyTo: "there"})
			w.until("it is applied", func() bool { return w.count(CallCompleted) == 1 })
			w.result(ask(old, at, "add", "", "1"))
			ends()
			old.Close()

			var h *Host
			called := false
			h = w.host("new", func(c *Config) {
				c.Partition = func(Address) int {
					if h != nil && !called && h.owned(0) != nil {
						called = true
						for range 3 {
							w.result(ask(h, at, "add", "", "1"))
						}
					}
					return 0
				}
			}, keeping(policy))
			w.own(h, 2, Checkpoint{})
			if !called {
				t.Fatal("it was not called in between")
			}
			w.told("there")
		})
	}
}

// TestHost_callBeforeTouched: a record of a former owner lands late, on an object that is not in memory, and the object is
// called before its owner is told of that. What the record asks for is done.
func TestHost_callBeforeTouched(t *testing.T) {
	for _, policy := range []Declaration{KeepAll(), KeepNeeded()} {
		t.Run(policy.(keep).String(), func(t *testing.T) {
			w := newWorld(t)
			old := w.host("old", w.muted, keeping(policy))
			w.own(old, 1, Checkpoint{})
			ends := w.reads(old)
			w.result(ask(old, at, "add", "", "1"))
			sent := make(chan Entry, 1)
			w.change(func() {
				w.onAppend = func(e *Entry) (bool, error) {
					select {
					case sent <- *e:
					default:
					}
					return false, ErrAppendUnknown
				}
			})
			w.send(at, "add", "1", CallHeader{ReplyTo: "there"})
			late := <-sent
			ends()
			old.Close()
			w.change(func() { w.onAppend = nil })

			h := w.host("new", nil, keeping(policy))
			w.own(h, 2, Checkpoint{})
			w.put(late)
			for i := range 3 {
				if got, want := w.result(ask(h, at, "add", "", "1")), []string{"3", "4", "5"}[i]; got != want {
					t.Fatalf("call %d is answered %s, want %s", i, got, want)
				}
			}
			h.Touched(at)
			w.told("there")
		})
	}
}
