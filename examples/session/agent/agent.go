// Package agent is a durable agent: a model that uses tools until it has an answer, and does not lose its place when
// the process that runs it dies.
//
// # Model
//
// [Agent.Run] is run code: a loop that asks the model, has done what it asks for, and asks again with the results. Each
// answer of the model is a step, and so is each use of a tool; what they returned is in the event log.
//
// # Guarantees
//
//   - A model is not asked again for an answer that is recorded, and a tool is not used again whose result is.
//   - What the model says goes to an output stream while it speaks. An answer that is cut off and asked for again
//     rewinds the stream: readers end with exactly the answer that is recorded.
//   - A model that fails for good leaves nothing of that answer in the stream.
//   - An answer is not blank: of one that is refused or cut off before a word, the text says so.
//
// # Failure
//
// A failing model is asked again as [Config].Retry says; then Run returns an *actor.StepError. A failing tool is told
// to the model, which may know better.
package agent

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/perdure/perdure/actor"
)

// Config is what an agent is made of.
type Config struct {
	Model        Model
	Instructions string
	Tools        []Tool
	Text         *actor.Stream[Chunk]    // gets what the model says, while it says it
	Activity     *actor.Stream[Activity] // gets the uses of tools; nil: nobody is told
	Rounds       int                     // how often the model is asked for one answer, at most; default 8
	Stop         func(Turn) bool         // ends the answer although the model asks for tools; nil: never
	Retry        actor.RetryPolicy       // of asking the model; default 6 attempts, 1 s to 30 s apart, 10 minutes each
}

// Chunk is a piece of text. It is never empty when it comes from a model.
type Chunk struct {
	Text string `json:"text"`
}

// Activity is a tool's being used, or what came of it.
type Activity struct {
	Call   *Call   `json:"call,omitempty"`
	Result *Result `json:"result,omitempty"`
}

// Agent answers conversations. It keeps nothing between them: the conversation is its caller's.
type Agent struct {
	cfg   Config
	tools map[string]Tool
	specs []Spec
	think *actor.Step[question, Turn]
}

// New makes an agent. The streams that it writes to must be declared by the workflows that run it.
func New(cfg Config) *Agent {
	if cfg.Rounds <= 0 {
		cfg.Rounds = 8
	}
	if cfg.Retry == (actor.RetryPolicy{}) {
		cfg.Retry = actor.RetryPolicy{Attempts: 6, Backoff: time.Second, MaxBackoff: 30 * time.Second, Timeout: 10 * time.Minute}
	}
	a := &Agent{cfg: cfg, tools: map[string]Tool{}}
	for _, t := range cfg.Tools {
		a.tools[t.spec.Name] = t
		a.specs = append(a.specs, t.spec)
	}
	a.think = actor.NewStep("think", a.speak, actor.Retry(cfg.Retry))
	return a
}

// Wait parks a run until w is ready, or until it wants the answer in progress stopped.
type Wait func(ctx actor.Context, w actor.Waitable) (stop bool, err error)

// Answer is what came of a conversation's last message.
type Answer struct {
	Messages    []Message // to be added to the conversation
	Text        string    // all that the model said, as it stands in the stream
	Usage       Usage
	Chunks      int  // how many the text has in the stream
	Told        int  // how many activities were emitted
	Interrupted bool // stopped by Wait: what the model was saying then is in the stream, but in none of the fields above
}

// Run answers the last of the messages. notes is added to the agent's instructions; a nil wait lets nobody interrupt.
// Errors: *actor.StepError when the model failed for good, with what had been answered before; those of wait.
func (a *Agent) Run(ctx actor.Context, messages []Message, notes string, wait Wait) (Answer, error) {
	if wait == nil {
		wait = patient
	}
	var ans Answer
	for round := 1; ; round++ {
		q := question{Lead: ans.Text != "", Request: Request{
			Instructions: strings.TrimSpace(a.cfg.Instructions + "\n\n" + notes),
			Messages:     slices.Concat(messages, ans.Messages), Tools: a.specs, Last: round == a.cfg.Rounds,
		}}
		turn, stopped, err := await(ctx, a.think.Start(ctx, q), wait)
		if err != nil || stopped {
			ans.Interrupted = stopped
			return ans, err
		}
		ends := len(turn.Message.Calls()) == 0 || q.Request.Last || a.cfg.Stop != nil && a.cfg.Stop(turn)
		if ends {
			turn.Message = turn.Message.withoutCalls()
		}
		ans.add(turn)
		if ends {
			return ans, nil
		}
		results, stopped, err := a.use(ctx, turn.Message.Calls(), wait)
		ans.Messages = append(ans.Messages, results)
		ans.Told += 2 * len(results.Parts)
		if err != nil || stopped {
			ans.Interrupted = stopped
			return ans, err
		}
	}
}

func (ans *Answer) add(t Turn) {
	ans.Messages = append(ans.Messages, t.Message)
	ans.Usage = ans.Usage.Plus(t.End.Usage)
	ans.Chunks += t.Chunks
	if text := t.Message.Text(); ans.Text != "" && text != "" {
		ans.Text += lead + text
	} else {
		ans.Text += text
	}
}

// use has the calls' tools used, all at once, and returns the message with their results. A call that was stopped has
// a result too: models want one for each.
func (a *Agent) use(ctx actor.Context, calls []Call, wait Wait) (results Message, stopped bool, err error) {
	uses := make([]*actor.Future[string], len(calls))
	for i, c := range calls {
		if err := a.tell(ctx, Activity{Call: &c}); err != nil {
			return results, false, err
		}
		if t, ok := a.tools[c.Tool]; ok {
			uses[i] = t.step.Start(ctx, c.Input)
		}
	}
	results.Role = User
	for i, c := range calls {
		r := Result{ID: c.ID, Content: "there is no tool " + c.Tool, Failed: true}
		if uses[i] != nil {
			if !stopped {
				if stopped, err = wait(ctx, uses[i]); err != nil {
					return results, false, err
				}
			}
			if stopped {
				uses[i].Cancel(ctx) // no effect on one that is done
			}
			if r, err = result(ctx, c, uses[i]); err != nil {
				return results, false, err
			}
		}
		if err := a.tell(ctx, Activity{Result: &r}); err != nil {
			return results, false, err
		}
		results.add(Part{Result: &r})
	}
	return results, stopped, nil
}

// result waits for a tool's result. A failure of the tool's is one.
func result(ctx actor.Context, c Call, use *actor.Future[string]) (Result, error) {
	content, err := use.Await(ctx)
	failure := (*actor.StepError)(nil)
	switch {
	case errors.Is(err, actor.ErrCancelled):
		return Result{ID: c.ID, Content: "stopped by the user; it may have had its effect", Failed: true}, nil
	case errors.As(err, &failure):
		return Result{ID: c.ID, Content: failure.Message, Failed: true}, nil
	}
	return Result{ID: c.ID, Content: content}, err
}

// await waits for a step's result, or stops the step.
func await[T any](ctx actor.Context, f *actor.Future[T], wait Wait) (out T, stopped bool, err error) {
	if stopped, err = wait(ctx, f); stopped || err != nil {
		f.Cancel(ctx)
		return out, stopped, err
	}
	out, err = f.Await(ctx)
	return out, false, err
}

func patient(actor.Context, actor.Waitable) (bool, error) { return false, nil }

func (a *Agent) tell(ctx actor.Context, what Activity) error {
	if a.cfg.Activity == nil {
		return nil
	}
	return a.cfg.Activity.Emit(ctx, what)
}

// blank returns what is to be said of an answer that says nothing; empty: it does, or did before it used tools.
func (t *Turn) blank(q question) string {
	switch {
	case strings.TrimSpace(t.Message.Text()) != "" || len(t.Message.Calls()) > 0 && !q.Request.Last:
		return ""
	case t.End.Stop == StopRefused:
		return "(The model declines to answer.)"
	case t.End.Stop == StopLength:
		return "(The answer reached its limit before a word of it.)"
	case q.Lead:
		return ""
	}
	return "(The model has nothing to say.)"
}

// inTime leaves a step some of its time to take back what it wrote.
func inTime(ctx context.Context) (context.Context, context.CancelFunc) {
	until, ok := ctx.Deadline()
	if !ok {
		return ctx, func() {}
	}
	return context.WithDeadline(ctx, until.Add(-min(time.Until(until)/10, 5*time.Second)))
}

// question is the input of the step that asks the model.
type question struct {
	Request Request `json:"request"`
	Lead    bool    `json:"lead,omitempty"` // something was said before, in the same answer
}

// lead stands between what a model says before it uses tools and what it says afterwards.
const lead = "\n\n"

// speak is the body of the step that asks the model, and writes to the stream what it says. Another attempt need not
// say the same: it takes back what the one before wrote.
func (a *Agent) speak(ctx context.Context, q question) (Turn, error) {
	written, err := a.cfg.Text.Written(ctx)
	if err == nil && written > 0 { // by an attempt that a crash ended
		err = a.cfg.Text.Rewind(ctx)
	}
	if err != nil {
		return Turn{}, err
	}
	first := q.Lead
	show := func(text string) error {
		if first {
			first, text = false, lead+text
		}
		return a.cfg.Text.Write(ctx, Chunk{text})
	}
	asking, stop := inTime(ctx)
	defer stop()
	turn, err := Ask(asking, a.cfg.Model, q.Request, show)
	if remark := turn.blank(q); err == nil && remark != "" {
		err = turn.say(remark, show)
	}
	if err != nil && ctx.Err() == nil && turn.Chunks > 0 { // readers need not wait for the next attempt, and there may be none
		err = errors.Join(err, a.cfg.Text.Rewind(ctx))
	}
	return turn, err
}
