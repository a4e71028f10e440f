package main

import "context"

type getVerb struct {
	Object object `arg:"" name:"TYPE/KEY" help:"The object."`
}

// Run prints the state as JSON.
func (v *getVerb) Run(ctx context.Context, s *session) error {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	state, err := s.client.State(ctx, v.Object.Address)
	if err != nil {
		return err
	}
	return s.printf("%s\n", state)
}
