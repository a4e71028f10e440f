package main

import "context"

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
	h := s.header(callID(v.ID))
	o, err := s.client.Call(ctx, v.Object.Address, v.Hook, body, h)
	if err != nil {
		return failed(ctx, h.CallID, err, "call %s of %s", v.Hook, v.Object)
	}
	return s.printf("%s\n", o.Result)
}
