package main

import (
	"encoding/json"
	"strings"
	"testing"
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
