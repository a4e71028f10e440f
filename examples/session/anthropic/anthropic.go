// Package anthropic is an agent's model behind Anthropic's Messages API, by the official SDK.
//
// # Failure
//
// The SDK does not repeat requests by itself: the step that asks the model does, durably. Errors say how:
// an actor.RetryAfter where the server says when, an actor.Terminal where repeating cannot help (a request, key or
// model that it does not accept), and any other error where it may: an overloaded server, a connection or stream that
// is cut or falls silent, an event that does not decode.
package anthropic

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"os"
	"time"

	sdk "github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/option"

	"github.com/perdure/perdure/examples/session/agent"
)

// Config says which model to ask, and where.
type Config struct {
	APIKey    string
	BaseURL   string        // default: Anthropic's
	Model     string        // default [DefaultModel]
	MaxTokens int64         // of one answer; default 16,000
	Silence   time.Duration // after so long without an event an answer counts as cut; default 1 minute
}

// DefaultModel is asked where nothing else is said.
const DefaultModel = sdk.ModelClaudeSonnet5_5

// FromEnvironment reads ANTHROPIC_API_KEY, ANTHROPIC_BASE_URL and ANTHROPIC_MODEL. ok is false without a key.
func FromEnvironment() (cfg Config, ok bool) {
	cfg = Config{
		APIKey: os.Getenv("ANTHROPIC_API_KEY"), BaseURL: os.Getenv("ANTHROPIC_BASE_URL"), Model: os.Getenv("ANTHROPIC_MODEL"),
	}
	return cfg, cfg.APIKey != ""
}

// OrScripted returns a model as the environment says, or without a key the scripted one, speaking slowly enough to watch.
func OrScripted() agent.Model {
	if cfg, ok := FromEnvironment(); ok {
		return New(cfg)
	}
	return agent.Scripted{Pace: 30 * time.Millisecond}
}

// Model asks a model of Anthropic's. It is safe for concurrent use.
type Model struct {
	client sdk.Client
	cfg    Config
}

var _ agent.Model = (*Model)(nil)

// New makes a model. Nothing is sent yet: a bad key shows at the first answer.
func New(cfg Config) *Model {
	if cfg.Model == "" {
		cfg.Model = DefaultModel
	}
	if cfg.MaxTokens <= 0 {
		cfg.MaxTokens = 16_000
	}
	if cfg.Silence <= 0 {
		cfg.Silence = time.Minute
	}
	opts := []option.RequestOption{
		option.WithoutEnvironmentDefaults(), option.WithoutOpenTelemetry(), option.WithMaxRetries(0), option.WithAPIKey(cfg.APIKey),
	}
	if cfg.BaseURL != "" {
		opts = append(opts, option.WithBaseURL(cfg.BaseURL))
	}
	return &Model{sdk.NewClient(opts...), cfg}
}

// Answer asks the model once, and yields its answer while it comes.
func (m *Model) Answer(ctx context.Context, q agent.Request) iter.Seq2[agent.Part, error] {
	return func(yield func(agent.Part, error) bool) {
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		silence := time.AfterFunc(m.cfg.Silence, func() { cancel(errSilent) })
		defer silence.Stop()
		stream := m.client.Messages.NewStreaming(ctx, m.params(q))
		defer func() { _ = stream.Close() }()
		var a answer
		for ; stream.Next(); silence.Reset(m.cfg.Silence) {
			silence.Stop() // what becomes of the parts may take its time
			parts, err := a.take(stream.Current())
			if err != nil {
				yield(agent.Part{}, err)
				return
			}
			for _, p := range parts {
				if !yield(p, nil) {
					return
				}
			}
			if a.ended {
				return
			}
		}
		err := stream.Err()
		switch {
		case errors.Is(context.Cause(ctx), errSilent):
			err = errSilent
		case err == nil:
			err = errCut
		}
		yield(agent.Part{}, failure(err))
	}
}

var (
	errCut       = errors.New("the stream ended within an answer")
	errSilent    = errors.New("the model has fallen silent within an answer")
	errMalformed = errors.New("the input of a tool is not JSON")
)

// answer puts the events of a stream together.
type answer struct {
	message sdk.Message
	calls   []agent.Part // complete, and held back until the answer turns out to be
	broken  bool         // the input of a call does not parse
	ended   bool
}

// take returns what an event adds to what was said.
func (a *answer) take(ev sdk.MessageStreamEventUnion) ([]agent.Part, error) {
	if ev.Type == "content_block_stop" && ev.Index >= 0 && int(ev.Index) < len(a.message.Content) {
		b := &a.message.Content[ev.Index] // before the SDK mends it
		a.broken = a.broken || b.Type == "tool_use" && len(b.Input) > 0 && !json.Valid(b.Input)
	}
	if err := a.message.Accumulate(ev); err != nil {
		return nil, err
	}
	switch ev.Type {
	case "content_block_delta":
		if ev.Delta.Type == "text_delta" && ev.Delta.Text != "" {
			return []agent.Part{{Text: ev.Delta.Text}}, nil
		}
	case "content_block_stop":
		return a.block(&a.message.Content[ev.Index]), nil
	case "message_stop":
		return a.end()
	}
	return nil, nil
}

// block takes up a complete content block. Text was yielded as it came.
func (a *answer) block(b *sdk.ContentBlockUnion) []agent.Part {
	switch b.Type {
	case "text":
	case "tool_use":
		input := b.Input
		if len(input) == 0 {
			input = json.RawMessage(`{}`)
		}
		a.calls = append(a.calls, agent.Part{Call: &agent.Call{ID: b.ID, Tool: b.Name, Input: input}})
	default: // thinking, which is signed
		return []agent.Part{{Opaque: json.RawMessage(b.RawJSON())}}
	}
	return nil
}

func (a *answer) end() ([]agent.Part, error) {
	if a.message.StopReason == "" {
		return nil, failure(errCut)
	}
	a.ended = true
	end := agent.Part{End: &agent.End{
		Stop: stops(a.message.StopReason),
		Usage: agent.Usage{
			Read:    a.message.Usage.InputTokens + a.message.Usage.CacheReadInputTokens + a.message.Usage.CacheCreationInputTokens,
			Written: a.message.Usage.OutputTokens,
		},
	}}
	switch {
	case end.End.Stop != agent.StopTools: // a call that the limit cut off is none
		return []agent.Part{end}, nil
	case a.broken:
		return nil, errMalformed
	}
	return append(a.calls, end), nil
}

func stops(reason sdk.StopReason) agent.Stop {
	switch reason {
	case sdk.StopReasonToolUse:
		return agent.StopTools
	case sdk.StopReasonMaxTokens, sdk.StopReasonModelContextWindowExceeded:
		return agent.StopLength
	case sdk.StopReasonRefusal:
		return agent.StopRefused
	default:
		return agent.StopDone
	}
}
