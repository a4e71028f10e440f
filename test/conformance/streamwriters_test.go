package conformance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/test/harness"
)

// TestStreams_Cancelled ends a step that writes: its writes fail with its context, and nothing follows what is there.
func TestStreams_Cancelled(t *testing.T) {
	for _, how := range []string{"cancel", "timeout", "end"} {
		t.Run(how, func(t *testing.T) {
			stream, stop := actor.NewStream[int]("default"), actor.NewHook[actor.None, string]("stop")
			type lastWrite struct {
				stored int // writes before it, all acknowledged
				err    error
			}
			ended := make(chan lastWrite, 1)
			talk := actor.NewStep("talk", func(ctx context.Context, _ actor.None) (actor.None, error) {
				for i := 0; ; i++ {
					if err := stream.Write(ctx, i); err != nil {
						ended <- lastWrite{i, err}
						return actor.None{}, err
					}
				}
			})
			def := actor.NewWorkflow("talker", func(ctx actor.Context, _ actor.None) (actor.None, error) {
				hook := stop.Create(ctx)
				talking := talk.Start(ctx, actor.None{})
				call, err := hook.Await(ctx)
				if err != nil {
					return actor.None{}, err
				}
				switch how {
				case "cancel":
					talking.Cancel(ctx)
					_, err := talking.Await(ctx)
					call.Reply(ctx, said(err))
				case "timeout": // the step goes on: only the waiting is over
					_, err := talking.Await(actor.WithTimeout(ctx, 50*time.Millisecond))
					call.Reply(ctx, said(err))
				default:
					call.Reply(ctx, "ok")
					return actor.None{}, nil
				}
				call, err = hook.Await(ctx)
				if err == nil {
					call.Reply(ctx, "ok")
				}
				return actor.None{}, err
			}, stream, stop)
			n := harness.Run(t, harness.Config(t), def)
			if err := def.Start(t.Context(), n.Client(), "a", actor.None{}); err != nil {
				t.Fatal(err)
			}
			harness.Eventually(t, 5*time.Second, func() string {
				if got := chunks(t, n.Client(), def.At("a"), 0); len(got) < 20 {
					return fmt.Sprintf("%d chunks", len(got))
				}
				return ""
			})
			ask := func(want string) {
				t.Helper()
				if got, err := stop.Call(t.Context(), n.Client(), def.At("a"), actor.None{}); err != nil || got != want {
					t.Errorf("got %q, %v, want %q", got, err, want)
				}
			}
			switch how {
			case "cancel":
				ask(actor.ErrCancelled.Error())
			case "timeout":
				ask(actor.ErrTimeout.Error())
				before := len(chunks(t, n.Client(), def.At("a"), 0))
				harness.Eventually(t, 5*time.Second, func() string {
					if len(chunks(t, n.Client(), def.At("a"), 0)) == before {
						return "the step writes no more, though only the waiting is over"
					}
					return ""
				})
				ask("ok") // the run ends
			default:
				ask("ok")
			}
			last := <-ended
			if strings.Contains(last.err.Error(), "refused") {
				t.Errorf("the step's last write: %v", last.err)
			}
			t.Logf("the step's last write, after %d: %v", last.stored, last.err)
			if how == "cancel" {
				ask("ok")
			}
			got := follow(t, n.Client(), def.At("a"), 0)
			// The write that failed may have been on its way when its context ended: then it is stored, and nothing after it.
			if chunks := len(got) - 1; chunks != last.stored && chunks != last.stored+1 {
				t.Errorf("%d chunks, the step wrote %d", chunks, last.stored)
			}
			for i, s := range got {
				want := fmt.Sprint(i, " ", i)
				if i == len(got)-1 {
					want = fmt.Sprint(i, " end")
				}
				if s != want {
					t.Fatalf("message %d is %q, want %q", i, s, want)
				}
			}
			msgs := harness.ReadStream(t, n.Conn(), "PERDURE_OUT")
			if last := msgs[len(msgs)-1]; last.Header.Get("Perdure-End") != "true" || len(msgs) != len(got) {
				t.Errorf("%d messages, the last one is no end: %v", len(msgs), last.Header)
			}
		})
	}
}

// TestStreams_TwoSteps has two steps write to one stream at once: indexes without gap, each step's words in its order.
// Who has been interrupted cannot rewind.
func TestStreams_TwoSteps(t *testing.T) {
	const each = 200
	stream := actor.NewStream[string]("default")
	half := make(chan struct{}, 2)
	var both [2]chan struct{}
	for i := range both {
		both[i] = make(chan struct{})
	}
	talk := actor.NewStep("talk", func(ctx context.Context, name int) (string, error) {
		info, _ := actor.StepMetadata(ctx)
		for i := range each {
			if i == each/2 && info.Attempt == 1 {
				half <- struct{}{}
				select {
				case <-both[name]:
				case <-ctx.Done():
					return "", ctx.Err()
				}
			}
			if name == 1 && i == 3*each/4 && info.Attempt == 1 {
				return "", actor.RetryAfter(errors.New("cut"), time.Millisecond)
			}
			if err := stream.Write(ctx, fmt.Sprint(name, "-", i)); err != nil {
				return "", err
			}
		}
		written, err := stream.Written(ctx)
		if err != nil || written != each {
			return fmt.Sprint(written, err), nil
		}
		return said(stream.Rewind(ctx)), nil
	})
	def := actor.NewWorkflow("duet", func(ctx actor.Context, _ actor.None) ([]string, error) {
		var said []string
		for _, f := range []*actor.Future[string]{talk.Start(ctx, 0), talk.Start(ctx, 1)} {
			s, err := f.Await(ctx)
			if err != nil {
				return nil, err
			}
			said = append(said, s)
		}
		return said, nil
	}, stream)
	n := harness.Run(t, harness.Config(t), def)
	if err := def.Start(t.Context(), n.Client(), "a", actor.None{}); err != nil {
		t.Fatal(err)
	}
	for range both { // both have written before either goes on
		<-half
	}
	close(both[0])
	close(both[1])
	said, err := def.Execute(t.Context(), n.Client(), "a", actor.None{})
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range said {
		if !strings.Contains(s, "somebody else has written since") {
			t.Errorf("rewind of step %d: %q", i, s)
		}
	}
	var of [2][]string
	got := follow(t, n.Client(), def.At("a"), 0)
	for i, s := range got[:len(got)-1] {
		index, word, _ := strings.Cut(s, " ")
		if index != fmt.Sprint(i) {
			t.Fatalf("message %d has index %s", i, index)
		}
		of[word[0]-'0'] = append(of[word[0]-'0'], word)
	}
	for name, words := range of {
		var want []string
		for i := range each {
			want = append(want, fmt.Sprint(name, "-", i))
		}
		if !slices.Equal(words, want) {
			t.Errorf("step %d: %d words, %q", name, len(words), words)
		}
	}
}

// TestStreams_ManySteps has more steps in progress write to one stream than its writer can keep: those beyond the bound
// are refused, and the others are matched with what they wrote when they are run again.
func TestStreams_ManySteps(t *testing.T) {
	const steps = actor.MaxOpenSteps + 76
	stream := actor.NewStream[int]("default")
	first, goOn := make(chan bool, steps), make(chan struct{})
	step := actor.NewStep("write", func(ctx context.Context, i int) (string, error) {
		err := stream.Write(ctx, i)
		refused := errors.Is(err, actor.ErrLimit)
		select {
		case first <- refused:
		default:
		}
		if refused {
			return "refused", nil
		}
		if err != nil {
			return "", err
		}
		select {
		case <-goOn:
		case <-ctx.Done():
		}
		return "ok", ctx.Err()
	})
	def := actor.NewWorkflow("many", func(ctx actor.Context, _ actor.None) (map[string]int, error) {
		said := map[string]int{}
		var all []*actor.Future[string]
		for i := range steps {
			all = append(all, step.Start(ctx, i))
		}
		for _, f := range all {
			s, err := f.Await(ctx)
			if err != nil {
				return nil, err
			}
			said[s]++
		}
		return said, nil
	}, stream)
	n := harness.Run(t, harness.Config(t), def)
	if err := def.Start(t.Context(), n.Client(), "a", actor.None{}); err != nil {
		t.Fatal(err)
	}
	refused := 0
	for range steps {
		if <-first {
			refused++
		}
	}
	if got := len(chunks(t, n.Client(), def.At("a"), 0)); got != actor.MaxOpenSteps || refused != steps-actor.MaxOpenSteps {
		t.Errorf("readers see %d chunks, %d writes were refused", got, refused)
	}
	n.Again(def)
	close(goOn)
	said, err := def.Execute(t.Context(), n.Client(), "a", actor.None{})
	if err != nil || said["ok"] < actor.MaxOpenSteps || said["ok"]+said["refused"] != steps {
		t.Errorf("the steps say %v, %v", said, err)
	}
	got := follow(t, n.Client(), def.At("a"), 0)
	seen := map[string]bool{}
	for i, s := range got {
		index, word, _ := strings.Cut(s, " ")
		if index != fmt.Sprint(i) || seen[word] {
			t.Fatalf("message %d of %d is %q", i, len(got), s)
		}
		seen[word] = true
	}
	if len(seen) != said["ok"]+1 {
		t.Errorf("%d different messages, %d steps have written", len(seen), said["ok"])
	}
}
