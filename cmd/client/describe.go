package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/perdure/perdure/actor"
)

type describeVerb struct {
	What string `arg:"" name:"TYPE[/KEY]" help:"An object, or a type."`
}

// Run prints what the object's owner, or a node that hosts the type, says.
func (v *describeVerb) Run(ctx context.Context, s *session) error {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	said, err := v.ask(ctx, s)
	if err != nil {
		return err
	}
	if s.json {
		return s.printf("%s\n", said)
	}
	text, err := outline(said)
	if err != nil {
		return fmt.Errorf("describe %s: %w", v.What, err)
	}
	return s.printf("%s", text)
}

func (v *describeVerb) ask(ctx context.Context, s *session) (json.RawMessage, error) {
	if !strings.Contains(v.What, "/") {
		probe := actor.Address{Type: v.What, Key: "x"} // only the type can be wrong
		if err := probe.Validate(); err != nil {
			return nil, fmt.Errorf("%w: %w", errUsage, err)
		}
		return s.client.DescribeType(ctx, v.What)
	}
	addr, err := actor.ParseAddress(v.What)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUsage, err)
	}
	return s.client.Describe(ctx, addr)
}
