package actor

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perdure/perdure/internal/bubble"
)

// TestHost_tokenBeforeAnswer: who has an answer of a run can resume it by the tokens of the hooks that it made before.
func TestHost_tokenBeforeAnswer(t *testing.T) {
	bubble.Run(t, func(t *testing.T) {
		hook := NewHook[int, int]("action")
		echo := NewWorkflow("echo", func(ctx Context, _ None) (None, error) {
			for call, err := range hook.Create(ctx, Token("echo:1")).All(ctx) {
				if err != nil {
					return None{}, err
				}
				call.Reply(ctx, call.Payload)
			}
			return None{}, nil
		}, hook)
		tokens := &slowTokens{claimed: make(chan struct{})}
		host, err := NewHost(Config{
			Node: "n", Log: &memoryLog{}, Inbox: noInbox{}, Timers: noTimers{}, Tokens: tokens, Schemas: openSchemas{},
			Logger: slog.New(slog.DiscardHandler), Partition: func(Address) int { return 0 }, LogStream: func(int) int { return 0 },
		}, echo)
		if err != nil {
			t.Fatal(err)
		}
		defer host.Close()
		host.SetTrusted(true)
		if err := host.Own(t.Context(), []Claim{{Epoch: 1}}); err != nil {
			t.Fatal(err)
		}
		var answer *Outcome
		host.Call(&Request{
			Address: echo.At("a"), Hook: "action", Payload: []byte("7"), Received: time.Now(),
			Reply: func(o *Outcome) { answer = o },
		})
		synctest.Wait()
		if answer != nil {
			t.Errorf("answered with %s, %v before the token was claimed", answer.Result, answer.Err)
		}
		close(tokens.claimed)
		synctest.Wait()
		if answer == nil || answer.Err != nil || string(answer.Result) != "7" {
			t.Errorf("got %+v once the token was claimed, want 7", answer)
		}
	})
}

// slowTokens grants every claim once claimed is closed.
type slowTokens struct{ claimed chan struct{} }

func (s *slowTokens) Claim(ctx context.Context, _ string, holder TokenHolder) (TokenHolder, error) {
	select {
	case <-s.claimed:
		return holder, nil
	case <-ctx.Done():
		return TokenHolder{}, ctx.Err()
	}
}

func (s *slowTokens) Release(context.Context, string, TokenHolder) error { return nil }

func (s *slowTokens) Resolve(context.Context, string) (TokenHolder, bool, error) {
	return TokenHolder{}, false, nil
}

// memoryLog is the log of one object.
type memoryLog struct{ entries []*Entry }

func (*memoryLog) Attempts(context.Context, int, Address) (map[Address][]Attempt, error) {
	return nil, nil
}

func (*memoryLog) RemoveAttempt(context.Context, Address, Attempt, uint64) error { return nil }

func (l *memoryLog) Append(_ context.Context, e *Entry, expected uint64) (uint64, error) {
	if expected != uint64(len(l.entries)) {
		return 0, ErrAppendConflict
	}
	stored := *e
	stored.Seq, stored.Time = expected+1, time.Now()
	l.entries = append(l.entries, &stored)
	return stored.Seq, nil
}

func (l *memoryLog) Last(ctx context.Context, addr Address) (*Entry, error) {
	return l.Read(ctx, addr, uint64(len(l.entries)))
}

func (l *memoryLog) Read(_ context.Context, _ Address, seq uint64) (*Entry, error) {
	if seq == 0 || seq > uint64(len(l.entries)) {
		return nil, ErrNoRecord
	}
	return l.entries[seq-1], nil
}

func (l *memoryLog) Remove(context.Context, Address, uint64) error {
	return errors.New("nothing is removed here")
}

func (l *memoryLog) Scan(context.Context, Address) iter.Seq2[*Entry, error] {
	return func(func(*Entry, error) bool) {}
}

func (l *memoryLog) Tail(context.Context, map[int]uint64) iter.Seq2[*Entry, error] {
	return func(func(*Entry, error) bool) {}
}

func (l *memoryLog) End(context.Context, int) (uint64, error) { return uint64(len(l.entries)), nil }

type noInbox struct{}

func (noInbox) Follow(ctx context.Context, _ uint64, _ func(*Message) error) error {
	<-ctx.Done()
	return ctx.Err()
}

func (noInbox) Bounds(context.Context) (InboxBounds, error) {
	return InboxBounds{First: 1, Incarnation: "i"}, nil
}
func (noInbox) Trim(context.Context, uint64) error { return nil }

type noTimers struct{}

func (noTimers) Arm(context.Context, Address, string, time.Time) error {
	return errors.New("no timers here")
}
func (noTimers) Cancel(context.Context, Address, string) error { return nil }

func (noTimers) Follow(ctx context.Context, _ uint64, _ func(*Firing) error) error {
	<-ctx.Done()
	return ctx.Err()
}
func (noTimers) Done(context.Context, uint64) error { return nil }

// TestHost_conflictIsTold: a run that ends because another holds its token says who does.
func TestHost_conflictIsTold(t *testing.T) {
	w := newWorld(t)
	w.holders["mine"] = TokenHolder{Run: "flow/other", Hook: "own", Incarnation: "i"}
	h := w.host("a", nil, tokenWorkflow(make(chan error, 8)))
	w.own(h, 1, Checkpoint{})
	addr := Address{"flow", "k"}
	w.result(ask(h, addr, "action", "", "1"))
	w.until("failed", func() bool { return w.count(RunFailed) == 1 })
	out := make(chan *Outcome, 1)
	h.Call(&Request{
		Address: addr, Hook: HookStart, Header: CallHeader{Wait: WaitEnd}, Payload: []byte("null"),
		Received: time.Now(), Reply: func(o *Outcome) { out <- o },
	})
	err := w.answer(out).Err
	if err == nil || err.Code != CodeConflict || err.Source != SourceObject || !strings.Contains(string(err.Details), `"run":"flow/other"`) {
		t.Errorf("got %+v", err)
	}
}

// TestHost_tokenBadHeader: a send by token with a header that cannot be read is not forwarded, which would lose what was wrong
// with it, whoever holds the token.
func TestHost_tokenBadHeader(t *testing.T) {
	w := newWorld(t)
	w.holders["mine"] = TokenHolder{Run: at.String(), Hook: "add"}
	h := w.host("a", nil, sums())
	w.own(h, 1, Checkpoint{})
	w.run(h)
	for i, token := range []string{"mine", "sum:k:add", "nobody"} {
		m := w.send(Address{TypeToken, token}, HookResume, "1", CallHeader{CallID: "c", ReplyTo: "to." + token, Problem: "header Perdure-After"})
		w.until("told", func() bool { return len(w.outcomes["to."+token]) == 1 })
		if n := len(w.dead); n != i+1 {
			t.Fatalf("%d dead letters after %d sends", n, i+1)
		}
		d := w.dead[i]
		if d.Run != TypeToken+"/"+token || d.Inbox != m.Seq || d.CallID != "c" || d.Cause.Code != CodeInvalid || d.Cause.Message != "header Perdure-After" {
			t.Errorf("token %s: got %+v with cause %v", token, d, d.Cause)
		}
		if o := w.outcomes["to."+token][0]; o.Err == nil || o.Err.Code != CodeInvalid {
			t.Errorf("token %s: told %+v", token, o)
		}
	}
}
