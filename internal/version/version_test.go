package version

import (
	"runtime/debug"
	"testing"
)

func TestLine(t *testing.T) {
	perdure := debug.Module{Path: "github.com/perdure/perdure", Version: "v1.2.3"}
	revision := []debug.BuildSetting{{Key: "vcs.revision", Value: "061b"}, {Key: "vcs.modified", Value: "true"}}
	for want, info := range map[string]*debug.BuildInfo{
		"node perdure " + Module:                     nil,
		"node perdure v1.2.3":                        {Main: perdure},
		"node perdure v1.2.3 revision 061b modified": {Main: debug.Module{Path: "example.com/shop"}, Deps: []*debug.Module{&perdure}, Settings: revision},
	} {
		if got := line("node", info); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
