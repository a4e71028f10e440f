package anthropic

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/examples/session/agent"
	"github.com/perdure/perdure/examples/session/anthropic/anthropictest"
)

// fate is what a step makes of an error, which is nobody's business but a step's: hence the names of types.
func fate(err error) string {
	for ; err != nil; err = errors.Unwrap(err) {
		switch fmt.Sprintf("%T", err) {
		case fmt.Sprintf("%T", actor.Terminal(nil)):
			return "terminal"
		case fmt.Sprintf("%T", actor.RetryAfter(nil, 0)):
			return "later"
		}
	}
	return "again"
}

func TestFailure(t *testing.T) {
	for name, x := range map[string]struct {
		fault anthropictest.Fault
		want  string
	}{
		"429 with retry-after":   {anthropictest.Fault{Status: 429, Type: "rate_limit_error", RetryAfter: "7"}, "later"},
		"429 without":            {anthropictest.Fault{Status: 429, Type: "rate_limit_error"}, "again"},
		"529":                    {anthropictest.Fault{Status: 529}, "again"},
		"529 with retry-after":   {anthropictest.Fault{Status: 529, RetryAfter: "2"}, "later"},
		"500":                    {anthropictest.Fault{Status: 500, Type: "api_error"}, "again"},
		"502 of a proxy":         {anthropictest.Fault{Status: 502, Type: "?"}, "again"},
		"400":                    {anthropictest.Fault{Status: 400, Type: "invalid_request_error"}, "terminal"},
		"401":                    {anthropictest.Fault{Status: 401, Type: "authentication_error"}, "terminal"},
		"403":                    {anthropictest.Fault{Status: 403, Type: "permission_error"}, "terminal"},
		"404":                    {anthropictest.Fault{Status: 404, Type: "not_found_error"}, "terminal"},
		"413":                    {anthropictest.Fault{Status: 413, Type: "request_too_large"}, "terminal"},
		"cut":                    {anthropictest.Fault{Then: anthropictest.Cut, After: 2}, "again"},
		"cut before a word":      {anthropictest.Fault{Then: anthropictest.Cut}, "again"},
		"short":                  {anthropictest.Fault{Then: anthropictest.Short, After: 2}, "again"},
		"silent":                 {anthropictest.Fault{Then: anthropictest.Silent, After: 2}, "again"},
		"silent before a word":   {anthropictest.Fault{Then: anthropictest.Silent}, "again"},
		"malformed":              {anthropictest.Fault{Then: anthropictest.Malformed, After: 2}, "again"},
		"overloaded in mid-way":  {anthropictest.Fault{Then: anthropictest.Failed, After: 2}, "again"},
		"bad request in mid-way": {anthropictest.Fault{Then: anthropictest.Failed, After: 2, Type: "invalid_request_error"}, "terminal"},
	} {
		t.Run(name, func(t *testing.T) {
			server := anthropictest.New(agent.Scripted{})
			defer server.Close()
			server.Next(x.fault)
			silent := x.fault.Then == anthropictest.Silent
			silence := time.Minute // an answer may be late
			if silent {
				silence = 200 * time.Millisecond
			}
			model := New(Config{APIKey: "k", BaseURL: server.URL, Silence: silence})
			turn, err := agent.Ask(t.Context(), model, agent.Request{Messages: []agent.Message{agent.Say(agent.User, "count to 9")}}, nil)
			if err == nil {
				t.Fatalf("got %+v, want an error", turn)
			}
			if got := fate(err); got != x.want {
				t.Errorf("got %s of %v, want %s", got, err, x.want)
			}
			// A silent server may be given up before the request has arrived.
			if n := len(server.Requests()); n > 1 || n == 0 && !silent {
				t.Errorf("asked %d times: the SDK must not repeat by itself", n)
			}
		})
	}
	t.Run("nobody there", func(t *testing.T) {
		model := New(Config{APIKey: "k", BaseURL: "http://127.0.0.1:1"})
		_, err := agent.Ask(t.Context(), model, agent.Request{Messages: []agent.Message{agent.Say(agent.User, "x")}}, nil)
		if got := fate(err); err == nil || got != "again" {
			t.Errorf("got %s of %v, want again", got, err)
		}
	})
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	for name, x := range map[string]struct {
		header, value string
		want          time.Duration
		ok            bool
	}{
		"seconds":      {"Retry-After", "7", 7 * time.Second, true},
		"fraction":     {"Retry-After", "0.5", time.Second / 2, true},
		"milliseconds": {"Retry-After-Ms", "1500", 1500 * time.Millisecond, true},
		"date":         {"Retry-After", "Fri, 01 May 2026 12:00:09 GMT", 9 * time.Second, true},
		"a past date":  {"Retry-After", "Fri, 01 May 2026 11:00:00 GMT", 0, true},
		"negative":     {"Retry-After", "-5", 0, true},
		"a year":       {"Retry-After", "31536000", 24 * time.Hour, true},
		"huge":         {"Retry-After-Ms", "1e300", 24 * time.Hour, true},
		"far date":     {"Retry-After", "Fri, 01 May 2626 12:00:00 GMT", 24 * time.Hour, true},
		"infinite":     {"Retry-After", "inf", 0, false},
		"not a number": {"Retry-After-Ms", "NaN", 0, false},
		"nonsense":     {"Retry-After", "soon", 0, false},
		"none":         {"X", "1", 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := retryAfter(http.Header{x.header: {x.value}}, now)
			if got != x.want || ok != x.ok {
				t.Errorf("got %s, %t, want %s, %t", got, ok, x.want, x.ok)
			}
		})
	}
}
