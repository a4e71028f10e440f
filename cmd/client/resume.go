package main

import (
	"context"
	"fmt"

	"github.com/perdure/perdure/actor"
)

type resumeVerb struct {
	Token   string  `arg:"" name:"TOKEN" help:"The hook's token."`
	Payload payload `arg:"" optional:"" name:"JSON" help:"The payload; - reads stdin."`
	ID      string  `name:"id" placeholder:"ID" help:"Call id: repeating it changes nothing."`
}

// Help says what the line that is printed means.
func (*resumeVerb) Help() string {
	return "The call is durable when this returns: the sequence is that of the run's log. It does not wait for the result; call of the run's hook with the same --id and payload gets it."
}

// accepted is what a run has made durable.
type accepted struct {
	Run string `json:"run"`
	Seq uint64 `json:"seq"`
}

// Run waits until the call is in the run's log, not for what the run does with it.
func (v *resumeVerb) Run(ctx context.Context, s *session) error {
	if _, err := actor.DecodeToken(actor.EncodeKey(v.Token)); err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
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
	return s.printf("accepted by %s at seq %d\n", visible(o.Run), o.Seq)
}
