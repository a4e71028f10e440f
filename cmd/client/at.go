package main

import "context"

type atVerb struct {
	Object object `arg:"" name:"TYPE/KEY" help:"The object."`
	Seq    uint64 `arg:"" name:"SEQ" help:"A log sequence, as events has them; between two records the earlier one counts."`
}

// Help says what is shown.
func (*atVerb) Help() string {
	return "Of a workflow it is the last checkpoint at that place, or null. It is shown as it was recorded, and read from the log itself: no node need live."
}

// Run prints the state as JSON.
func (v *atVerb) Run(ctx context.Context, s *session) error {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	state, err := s.client.StateAt(ctx, v.Object.Address, v.Seq)
	if err != nil {
		return err
	}
	return s.printf("%s\n", state)
}
