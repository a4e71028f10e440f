package objects

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/perdure/perdure/actor"
)

// Try says how the attempts of a step end: "ok", "error", "terminal", "after 3s", "hang", "stuck", "panic"; the last
// one for all that follow.
type Try struct {
	Ends []string `json:"ends"`
}

// Tried is what became of the step.
type Tried struct {
	Result   string `json:"result"`
	Reason   string `json:"reason"`
	Attempts int    `json:"attempts"`
	Message  string `json:"message"`
}

// Attempts counts attempts outside of the runs: when each started, by step.
type Attempts struct {
	mu sync.Mutex
	at map[string][]time.Time
}

// Times returns when the attempts of the only step that ran with this text began.
func (a *Attempts) Times(text string) []time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.at[text]
}

func (a *Attempts) note(text string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.at == nil {
		a.at = map[string][]time.Time{}
	}
	a.at[text] = append(a.at[text], time.Now())
}

// TryHook is the hook of the workflow "trier".
var TryHook = actor.NewHook[Try, Tried]("try")

// NewTrier defines a run function whose step fails as it is told, tried as policy says.
func NewTrier(a *Attempts, policy actor.RetryPolicy) actor.Definition {
	step := actor.NewStep("attempt", func(ctx context.Context, in Try) (string, error) {
		info, _ := actor.StepMetadata(ctx)
		a.note(fmt.Sprint(in.Ends))
		end := in.Ends[min(info.Attempt, len(in.Ends))-1]
		var d time.Duration
		switch {
		case end == "ok":
			return "done", nil
		case end == "terminal":
			return "", actor.Terminal(errors.New("no use"))
		case end == "hang":
			<-ctx.Done()
			return "", ctx.Err()
		case end == "stuck":
			<-time.After(20 * time.Second) // it ignores its context
			return "too late", nil
		case end == "panic":
			panic("oh no")
		case parse(end, &d):
			return "", actor.RetryAfter(errors.New("later"), d)
		}
		return "", errors.New("failed")
	}, actor.Retry(policy))
	return actor.NewWorkflow("trier", func(ctx actor.Context, _ actor.None) (actor.None, error) {
		for call, err := range TryHook.Create(ctx).All(ctx) {
			if err != nil {
				return actor.None{}, err
			}
			out, err := step.Run(ctx, call.Payload)
			tried := Tried{Result: out}
			var failed *actor.StepError
			switch {
			case errors.As(err, &failed):
				tried = Tried{Reason: failed.Reason, Attempts: failed.Attempts, Message: failed.Message}
			case err != nil:
				return actor.None{}, err
			}
			call.Reply(ctx, tried)
		}
		return actor.None{}, nil
	}, TryHook)
}

func parse(end string, d *time.Duration) bool {
	var text string
	if n, _ := fmt.Sscanf(end, "after %s", &text); n != 1 {
		return false
	}
	var err error
	*d, err = time.ParseDuration(text)
	return err == nil
}
