package main

import (
	"runtime/debug"
	"strings"
	"testing"
)

func TestVersion(t *testing.T) {
	for want, info := range map[string]*debug.BuildInfo{
		"(unknown version)": nil,
		"v1.2.3":            {Main: debug.Module{Version: "v1.2.3"}},
		"(devel) revision 061b modified": {Main: debug.Module{Version: "(devel)"}, Settings: []debug.BuildSetting{
			{Key: "vcs", Value: "git"}, {Key: "vcs.revision", Value: "061b"}, {Key: "vcs.modified", Value: "true"},
		}},
		"v1.2.4 revision 061c": {Main: debug.Module{Version: "v1.2.4"}, Settings: []debug.BuildSetting{
			{Key: "vcs.revision", Value: "061c"}, {Key: "vcs.modified", Value: "false"},
		}},
	} {
		if got := version(info); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	code, stdout, stderr := client(t, "nats://127.0.0.1:1", "", "--version")
	if code != 0 || stderr != "" || !strings.HasPrefix(stdout, "client ") || strings.Count(stdout, "\n") != 1 {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
}
