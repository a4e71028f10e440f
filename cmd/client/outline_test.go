package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/perdure/perdure/actor"
)

func FuzzOutline(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":[1,{"b":"c d"}],"e":{"f":null},"g":""}`, `[]`, `{"a"`, `{"a":[]}`, ``} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		text, err := outline(json.RawMessage(s))
		if err == nil && text != "" && !strings.HasSuffix(text, "\n") {
			t.Errorf("%q does not end its line", text)
		}
	})
}

// TestText: reasons, tokens and errors are what somebody else wrote, and may hold what moves a terminal's cursor.
func TestText(t *testing.T) {
	const bad = "a\n\x1b[2J\u009b"
	const shown = `"a\n\x1b[2J\u009b"`
	if got := inline(json.RawMessage(`"a\n\u001b[2J\u009b"`)); got != shown {
		t.Errorf("describe: %s, want %s", got, shown)
	}
	ev := actor.Event{Name: bad, Token: bad, Run: bad, Reason: bad, Error: actor.Errorf(actor.CodeUser, "%s", bad)}
	want := shown + " token=" + shown + " run=" + shown + " " + shown + ` failed: "a\n\x1b[2J\u009b (422, object)"`
	ev.Error.Source = actor.SourceObject
	if got := eventText(&ev); got != want {
		t.Errorf("events: %s, want %s", got, want)
	}
	err := fmt.Errorf("pause %s: %w", "tally/"+bad, errors.New("no"))
	if got, want := errorText(err), `pause tally/a\n\x1b[2J\u009b: no`; got != want {
		t.Errorf("error: %s, want %s", got, want)
	}
}

func TestNegatives(t *testing.T) {
	for args, want := range map[string]string{
		"call a/b h -5":          "call a/b h -- -5",
		"call a/b h -5 --id x":   "call a/b h --id x -- -5",
		"call a/b h -- -5":       "call a/b h -- -5",
		"call a/b h -":           "call a/b h -",
		"call a/b h --id -5":     "call a/b h --id -5",
		"-5":                     "-5",
		"events a/b -f --from 3": "events a/b -f --from 3",
		"tail --from -3 a/b -f":  "tail --from=-3 a/b -f",
		"tail a/b -- --from -3":  "tail a/b -- --from -3",
	} {
		if got := strings.Join(negatives(strings.Fields(args)), " "); got != want {
			t.Errorf("%q becomes %q, want %q", args, got, want)
		}
	}
}
