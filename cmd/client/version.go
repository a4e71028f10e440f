package main

import (
	"runtime/debug"
	"strings"

	"github.com/alecthomas/kong"
)

// versionFlag prints the version and ends the parsing with errHelp.
type versionFlag bool

// IgnoreDefault tells kong that the flag needs no value.
func (versionFlag) IgnoreDefault() {}

// BeforeReset runs when the flag is given, before anything is validated.
func (versionFlag) BeforeReset(ctx *kong.Context) error {
	info, _ := debug.ReadBuildInfo()
	if _, err := ctx.Stdout.Write([]byte("client " + version(info) + "\n")); err != nil {
		return err
	}
	return errHelp
}

// version says of which module version and which revision this program was built, as far as it was noted then.
func version(info *debug.BuildInfo) string {
	if info == nil || info.Main.Version == "" {
		return "(unknown version)"
	}
	parts := []string{info.Main.Version}
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			parts = append(parts, "revision "+s.Value)
		case s.Key == "vcs.modified" && s.Value == "true":
			parts = append(parts, "modified")
		}
	}
	return strings.Join(parts, " ")
}
