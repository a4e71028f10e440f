// Package version says what a program was built from.
package version

import (
	"runtime/debug"
	"strings"
)

// Module is the version of this module where the build does not know one.
const Module = "0.1.0"

// Line is what a program's --version prints, without line break: the program, the version of Perdure in it, and the
// revision of its own, as far as they were noted when it was built.
func Line(program string) string {
	info, _ := debug.ReadBuildInfo()
	return line(program, info)
}

func line(program string, info *debug.BuildInfo) string {
	parts := []string{program, "perdure " + Module}
	if info == nil {
		return strings.Join(parts, " ")
	}
	const path = "github.com/perdure/perdure"
	for _, m := range append(info.Deps, &info.Main) {
		if m.Path == path && m.Version != "" {
			parts[1] = "perdure " + m.Version
		}
	}
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
