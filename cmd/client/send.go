package main

import "context"

type sendVerb struct {
	Object  object  `arg:"" name:"TYPE/KEY" help:"The object."`
	Hook    string  `arg:"" name:"HOOK" help:"Its method or hook."`
	Payload payload `arg:"" optional:"" name:"JSON" help:"The payload; - reads stdin."`
	ID      string  `name:"id" placeholder:"ID" help:"Call id: a second send with it changes nothing."`
}

// Run prints the accepted sequence.
func (v *sendVerb) Run(ctx context.Context, s *session) error {
	body, err := v.Payload.read(s.stdin)
	if err != nil {
		return err
	}
	ctx, cancel := s.limit(ctx)
	defer cancel()
	h := s.header(callID(v.ID))
	h.Timeout = 0 // it would count for the object too, from when it is stored
	seq, err := s.client.Send(ctx, v.Object.Address, v.Hook, body, h)
	if err != nil {
		return failed(ctx, h.CallID, err, "send %s to %s", v.Hook, v.Object)
	}
	if s.json {
		return s.printJSON(map[string]uint64{"seq": seq})
	}
	return s.printf("%d\n", seq)
}
