package main

import (
	"github.com/alecthomas/kong"

	"github.com/perdure/perdure/internal/version"
)

// versionFlag prints the version and ends the parsing with errHelp.
type versionFlag bool

// IgnoreDefault tells kong that the flag needs no value.
func (versionFlag) IgnoreDefault() {}

// BeforeReset runs when the flag is given, before anything is validated.
func (versionFlag) BeforeReset(ctx *kong.Context) error {
	if _, err := ctx.Stdout.Write([]byte(version.Line("client") + "\n")); err != nil {
		return err
	}
	return errHelp
}
