// Package session is a durable chat session with an agent.
//
// # Model
//
// A session is a workflow: a loop that awaits the hook "message". The conversation is a local variable, rebuilt by
// replay. An answer is given by an agent, whose steps ask the model and use tools; what the model says goes to the
// output stream "default" while it speaks, as {"text":…}, and an empty text ends each answer.
//
// # Guarantees
//
//   - A message that was answered is in the history once, with its answer, and the texts in the stream put together
//     are the answers, whatever was killed meanwhile.
//   - A message whose answer failed for good is not in the history, and its caller gets 422: it may be repeated.
//     In the stream stands at most what was said before a tool was used. The session goes on, whatever the message was.
//   - The hook "cancel" stops the answer in progress. What was said until then is what the caller gets, and what the
//     history holds.
package session

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/examples/session/agent"
)

// Message is what a user says.
type Message struct {
	Role    string `json:"role" jsonschema:"enum=user"`
	Content string `json:"content"`
}

// Answer is what the agent answers, complete: what the stream "default" had of it, put together.
type Answer struct {
	Content     string `json:"content"`
	Interrupted bool   `json:"interrupted,omitempty"` // the user cancelled it
}

// The hooks and streams of every session.
var (
	// Messages takes what users say. Its token is "session:<run ID>".
	Messages = actor.NewHook[Message, Answer]("message")
	// Cancel stops the answer in progress, and answers whether there was one.
	Cancel = actor.NewHook[actor.None, bool]("cancel")
	// History answers the conversation, also while an answer is in progress.
	History = actor.NewHook[actor.None, Talk]("history")
	// Text is what the agent says, while it says it.
	Text = actor.NewStream[agent.Chunk]("default")
	// Activity is which tools it uses.
	Activity = actor.NewStream[agent.Activity]("activity")
)

// Type is the name of the workflow.
const Type = "session"

// At returns the address of the session with this key.
func At(key string) actor.Address { return actor.Address{Type: Type, Key: key} }

// Config is what sessions are made of.
type Config struct {
	Model   agent.Model                                     // default: the scripted one
	Client  func(ctx context.Context) (actor.Client, error) // reaches other objects; see [Link]
	Limit   int                                             // bytes of history above which the older half is summarised; default 64 KiB
	Message int                                             // bytes of one message, above which it is refused; default 128 KiB
	Retry   actor.RetryPolicy                               // of asking the model; see agent.Config
}

const instructions = `You are a helpful assistant in a terminal. Answer briefly, in plain text.
You can keep tallies: counters by name, which stay when this conversation is over. Use the tools for them; never guess a count.`

// New makes the workflow "session".
func New(cfg Config) *actor.Workflow[actor.None, actor.None] {
	if cfg.Model == nil {
		cfg.Model = agent.Scripted{}
	}
	if cfg.Limit <= 0 {
		cfg.Limit = 64 << 10
	}
	if cfg.Message <= 0 {
		cfg.Message = 128 << 10
	}
	s := &session{limit: cfg.Limit, longest: cfg.Message, heard: heardStep(cfg.Client), summarise: summariseStep(cfg.Model, cfg.Retry)}
	s.agent = agent.New(agent.Config{
		Model: cfg.Model, Instructions: instructions, Tools: tools(cfg.Client), Text: Text, Activity: Activity, Retry: cfg.Retry,
	})
	return actor.NewWorkflow(Type, s.run, Messages, Cancel, History, Text, Activity)
}

type session struct {
	agent     *agent.Agent
	limit     int // of the history
	longest   int // message
	heard     *actor.Step[passage, heard]
	summarise *actor.Step[Talk, string]
}

// run is the session. It ends only when it is cancelled.
func (s *session) run(ctx actor.Context, _ actor.None) (actor.None, error) {
	var talk Talk
	for {
		message := Messages.Create(ctx, actor.Token("session:"+actor.Metadata(ctx).RunID))
		cancel, history := Cancel.Create(ctx), History.Create(ctx)
		ready, err := actor.Race(ctx, message, cancel, history)
		if err != nil {
			return actor.None{}, err
		}
		switch ready {
		case 0:
			err = s.answer(ctx, message, &talk)
		case 1:
			err = reply(ctx, cancel, false)
		case 2:
			err = reply(ctx, history, talk)
		}
		if err != nil {
			return actor.None{}, err
		}
	}
}

func reply[Out any](ctx actor.Context, hook *actor.Pending[actor.None, Out], out Out) error {
	call, err := hook.Await(ctx)
	if err == nil {
		call.Reply(ctx, out)
	}
	return err
}

// answer takes the next message and answers it. Only an answer, complete or interrupted, changes the talk's messages.
func (s *session) answer(ctx actor.Context, message *actor.Pending[Message, Answer], talk *Talk) error {
	call, err := message.Await(ctx)
	if err != nil {
		return err
	}
	if n := len(call.Payload.Content); n > s.longest {
		call.Fail(ctx, fmt.Errorf("the message has %d bytes; at most %d are allowed", n, s.longest))
		talk.Chunks++
		return Text.Emit(ctx, agent.Chunk{})
	}
	next, ans, err := s.ask(ctx, *talk, call.Payload.Content)
	if over := Text.Emit(ctx, agent.Chunk{}); over != nil {
		return over
	}
	said, failure := "", (*actor.StepError)(nil)
	if ans.Interrupted || errors.As(err, &failure) {
		text, unheard := s.listen(ctx, &next)
		said, err = text, cmp.Or(err, unheard)
	} else {
		next.Chunks++
	}
	switch {
	case errors.As(err, &failure):
		talk.Chunks, talk.Uses = next.Chunks, next.Uses
		call.Fail(ctx, failure)
		return nil
	case err != nil:
		return err
	case ans.Interrupted:
		next.Messages = append(next.Messages, agent.Message{
			Role: agent.Assistant, Parts: agent.Say(agent.Assistant, strings.TrimSpace(said)).Parts, Interrupted: true,
		})
		ans.Text += said
	}
	*talk = next
	call.Reply(ctx, Answer{Content: ans.Text, Interrupted: ans.Interrupted})
	return nil
}

// ask adds the user's message to the talk and has it answered.
func (s *session) ask(ctx actor.Context, talk Talk, content string) (Talk, agent.Answer, error) {
	talk.Messages = append(slices.Clone(talk.Messages), agent.Say(agent.User, content))
	wait := interruptible(talk)
	if talk.size() > s.limit {
		stopped, err := s.shorten(ctx, &talk, wait)
		if err != nil || stopped {
			return talk, agent.Answer{Interrupted: stopped}, err
		}
	}
	ans, err := s.agent.Run(ctx, talk.Messages, talk.notes(), wait)
	talk.Messages = append(talk.Messages, ans.Messages...)
	talk.Chunks += ans.Chunks
	talk.Uses += ans.Told
	talk.Usage = talk.Usage.Plus(ans.Usage)
	return talk, ans, err
}

// interruptible waits until the user cancels, and meanwhile tells who asks what the talk is.
func interruptible(talk Talk) agent.Wait {
	return func(ctx actor.Context, w actor.Waitable) (bool, error) {
		cancel, history := Cancel.Create(ctx), History.Create(ctx)
		for {
			ready, err := actor.Race(ctx, w, cancel, history)
			switch {
			case err != nil:
				return false, err
			case ready == 0:
				return false, nil
			case ready == 1:
				return true, reply(ctx, cancel, true)
			}
			if err := reply(ctx, history, talk); err != nil {
				return false, err
			}
		}
	}
}
