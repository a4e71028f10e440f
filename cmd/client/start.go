package main

import (
	"context"
	"errors"

	"github.com/perdure/perdure/actor"
)

type startVerb struct {
	Object  object  `arg:"" name:"TYPE/KEY" help:"The run."`
	Payload payload `arg:"" optional:"" name:"JSON" help:"Its input; - reads stdin."`
	Wait    bool    `help:"Wait until the run has ended and print its result; without --timeout for as long as it takes."`
	ID      string  `name:"id" placeholder:"ID" help:"Call id: repeating it changes nothing."`
	Policy  string  `name:"id-policy" placeholder:"P" enum:"once,failed,ended" default:"once" help:"Begin a new run where the one with this key has ended: ${enum}; failed means not completed."`
}

// Run starts the run; with Wait it prints the run's result.
func (v *startVerb) Run(ctx context.Context, s *session) error {
	body, err := v.Payload.read(s.stdin)
	if err != nil {
		return err
	}
	h := s.header(callID(v.ID))
	if v.Policy != "once" {
		h.IDPolicy = actor.IDPolicy(v.Policy)
	}
	if v.Wait {
		h.Wait = actor.WaitEnd
	}
	o, err := v.start(ctx, s, body, h)
	if err != nil {
		return failed(ctx, h.CallID, err, "start %s", v.Object)
	}
	switch {
	case v.Wait:
		return s.printf("%s\n", o.Result)
	case s.json:
		return s.printJSON(accepted{o.Run, o.Seq})
	default:
		return s.printf("%s %d\n", o.Run, o.Seq)
	}
}

// start repeats a call that waits for the run's end, with the same call id, unless the user gave a timeout.
func (v *startVerb) start(ctx context.Context, s *session, body []byte, h actor.CallHeader) (*actor.Outcome, error) {
	if !v.Wait || s.timed {
		return s.client.Call(ctx, v.Object.Address, actor.HookStart, body, h)
	}
	h.Timeout = actor.DefaultTimeout
	for {
		o, err := s.client.Call(ctx, v.Object.Address, actor.HookStart, body, h)
		if ctx.Err() != nil || !errors.Is(err, actor.ErrTimeout) {
			return o, err
		}
	}
}
