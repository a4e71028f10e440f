package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/perdure/perdure/actor"
)

// lifeVerb asks a run to end, to stop for a time, to go on, or to be gone. It prints where the run's log has that.
type lifeVerb struct {
	Object object `arg:"" name:"TYPE/KEY" help:"The run, or the object."`
	Reason string `placeholder:"TEXT" help:"Why; it is kept in the log and shown to whoever asks."`
}

type (
	cancelVerb    struct{ lifeVerb }
	terminateVerb struct{ lifeVerb }
	pauseVerb     struct{ lifeVerb }
	unpauseVerb   struct{ lifeVerb }
	wakeVerb      struct{ lifeVerb }
	purgeVerb     struct{ lifeVerb }
)

// Help says what happens to the run.
func (*cancelVerb) Help() string {
	return "The run's code is told, cleans up and returns; describe shows when it has ended. A parked or paused run is cancelled once it goes on."
}

// Help says what happens to the run.
func (*terminateVerb) Help() string {
	return "The run's code is not asked, and cleans nothing up: cancel asks it. Steps in progress lose their context."
}

// Help says what happens to the run.
func (*pauseVerb) Help() string {
	return "The code does not go on: calls are answered 423, sends are kept, timers wait, steps in progress end."
}

// Help says what happens to the run.
func (*wakeVerb) Help() string {
	return "A parked run's code is tried again, after new code was deployed say; steps that wait for their next attempt begin it."
}

// Help says what happens to the run.
func (*purgeVerb) Help() string {
	return "Its log, its output streams and its call ids are gone when the command returns, and the key is free. Dead letters stay. A run must have ended; an object must have nothing to do."
}

// Run removes the run.
func (v *purgeVerb) Run(ctx context.Context, s *session) error {
	return v.ask(ctx, s, actor.HookPurge)
}

// Run asks the run's code to end.
func (v *cancelVerb) Run(ctx context.Context, s *session) error {
	return v.ask(ctx, s, actor.HookCancel)
}

// Run ends the run.
func (v *terminateVerb) Run(ctx context.Context, s *session) error {
	return v.ask(ctx, s, actor.HookTerminate)
}

// Run stops the run for a time.
func (v *pauseVerb) Run(ctx context.Context, s *session) error { return v.ask(ctx, s, actor.HookPause) }

// Run lets the run go on.
func (v *unpauseVerb) Run(ctx context.Context, s *session) error {
	return v.ask(ctx, s, actor.HookUnpause)
}

// Run has the run go on now.
func (v *wakeVerb) Run(ctx context.Context, s *session) error { return v.ask(ctx, s, actor.HookWake) }

func (v *lifeVerb) ask(ctx context.Context, s *session, hook string) error {
	var payload []byte
	if v.Reason != "" {
		b, err := json.Marshal(map[string]string{"reason": v.Reason})
		if err != nil {
			return fmt.Errorf("encode reason: %w", err)
		}
		payload = b
	}
	o, err := s.client.Call(ctx, v.Object.Address, hook, payload, s.header(""))
	if err != nil {
		return fmt.Errorf("%s %s: %w", hook[1:], v.Object, err)
	}
	if s.json {
		return s.printJSON(accepted{o.Run, o.Seq})
	}
	return s.printf("%s %d\n", visible(o.Run), o.Seq)
}
