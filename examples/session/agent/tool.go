package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/invopop/jsonschema"

	"github.com/perdure/perdure/actor"
)

// Tool is something that a model can have done. Each use is a step: its result is recorded, and not computed again.
type Tool struct {
	spec Spec
	step *actor.Step[json.RawMessage, string]
}

// NewTool makes a tool of a step's body. The model sees the JSON schema of In, and the result as JSON, or as it is
// where it is a string. A failure is told to the model once the step has failed for good.
//
// The body runs at least once: one that changes something elsewhere passes the step's ID on as idempotency key, as
// call ID where it calls another durable object. See actor.StepMetadata.
func NewTool[In, Out any](name, description string, body func(context.Context, In) (Out, error), opts ...actor.StepOption) Tool {
	step := actor.NewStep("tool_"+name, func(ctx context.Context, input json.RawMessage) (string, error) {
		var in In
		strict := json.NewDecoder(bytes.NewReader(input))
		strict.DisallowUnknownFields()
		if err := strict.Decode(&in); err != nil {
			return "", actor.Terminal(fmt.Errorf("input does not fit the tool's schema: %w", err))
		}
		out, err := body(ctx, in)
		if err != nil {
			return "", err
		}
		result, err := show(out)
		if err == nil && len(result) > MaxAnswer {
			err = actor.Terminal(fmt.Errorf("the result has %d bytes; at most %d are allowed", len(result), MaxAnswer))
		}
		return result, err
	}, opts...)
	return Tool{Spec{name, description, schemaOf[In]()}, step}
}

// show returns a tool's result as the model gets it.
func show(out any) (string, error) {
	if text, ok := out.(string); ok {
		return text, nil
	}
	b, err := json.Marshal(out)
	if err != nil {
		return "", actor.Terminal(fmt.Errorf("encode result: %w", err))
	}
	return string(b), nil
}

func schemaOf[In any]() json.RawMessage {
	reflector := jsonschema.Reflector{Anonymous: true, DoNotReference: true}
	schema := reflector.Reflect(new(In))
	schema.Version = ""
	b, err := json.Marshal(schema)
	if err != nil { // a schema that invopop made always encodes
		return json.RawMessage(`{"type":"object"}`)
	}
	return b
}
