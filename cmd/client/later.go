package main

import (
	"errors"
	"fmt"

	"github.com/alecthomas/kong"
)

// errNotBuilt marks a verb that a later version will have.
var errNotBuilt = errors.New("is not built yet")

// laterVerb is a verb that is known and does nothing: whatever follows it, the answer is errNotBuilt.
type laterVerb struct {
	Args   []string `arg:"" optional:"" name:"ARGUMENT"`
	Reason string   `hidden:""`
}

// AfterApply ends the parsing, before anybody is connected to.
func (*laterVerb) AfterApply(ctx *kong.Context) error {
	return fmt.Errorf("%s %w", ctx.Selected().Name, errNotBuilt)
}
