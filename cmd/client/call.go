package main

import (
	"context"
	"fmt"
)

type callVerb struct {
	Object  object  `arg:"" name:"TYPE/KEY" help:"The object."`
	Hook    string  `arg:"" name:"HOOK" help:"Its method, query or hook."`
	Payload payload `arg:"" optional:"" name:"JSON" help:"The payload; - reads stdin."`
	ID      string  `name:"id" placeholder:"ID" help:"Call id: repeating it returns the first outcome."`
}

// Run prints the result as JSON.
func (v *callVerb) Run(ctx context.Context, s *session) error {
	body, err := v.Payload.read(s.stdin)
	if err != nil {
		return err
	}
	o, err := s.client.Call(ctx, v.Object.Address, v.Hook, body, s.header(v.ID))
	if err != nil {
		return fmt.Errorf("call %s of %s: %w", v.Hook, v.Object, err)
	}
	return s.printf("%s\n", o.Result)
}
