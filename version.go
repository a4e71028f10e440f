package perdure

import (
	"runtime/debug"
	"strings"
)

// version is the line that --version of a program prints.
func version(program string) string {
	info, _ := debug.ReadBuildInfo()
	return versionOf(program, info)
}

// versionOf says with which version of this module a program was built, and from which revision of its own.
func versionOf(program string, info *debug.BuildInfo) string {
	parts := []string{program, "perdure " + Version}
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
