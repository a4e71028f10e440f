package main

import (
	"context"

	"github.com/perdure/perdure/actor"
)

type resumeVerb struct {
	Token   string  `arg:"" name:"TOKEN" help:"The hook's token."`
	Payload payload `arg:"" optional:"" name:"JSON" help:"The payload; - reads stdin."`
	ID      string  `name:"id" placeholder:"ID" help:"Call id: repeating it changes nothing."`
}

// accepted is what a run has made durable.
type accepted struct {
	Run string `json:"run"`
	Seq uint64 `json:"seq"`
}

// Run waits until the call is in the run's log, not for what the run does with it.
func (v *resumeVerb) Run(ctx context.Context, s *session) error {
	body, err := v.Payload.read(s.stdin)
	if err != nil {
		return err
	}
	h := s.header(callID(v.ID))
	h.Wait = actor.WaitReceived
	o, err := s.client.Call(ctx, actor.Address{Type: actor.TypeToken, Key: v.Token}, actor.HookResume, body, h)
	if err != nil {
		return failed(ctx, h.CallID, err, "resume %s", v.Token)
	}
	if s.json {
		return s.printJSON(accepted{o.Run, o.Seq})
	}
	return s.printf("%s %d\n", o.Run, o.Seq)
}
