package main

import (
	"encoding/json"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/internal/natstest"
	perdure "github.com/perdure/perdure/jetstream"
)

// buried runs a server with dead letters of all kinds.
func buried(t *testing.T) *server.Server {
	t.Helper()
	s := natstest.Server(t)
	nc := natstest.Connect(t, s)
	store, err := perdure.Provision(t.Context(), nc, perdure.Config{Partitions: 2, LogStreams: 1})
	if err != nil {
		t.Fatal(err)
	}
	out := store.Outlet(nc, perdure.ReplySubjects{})
	ended := actor.Errorf(actor.CodeEnded, "run session/x has ended").With(map[string]string{"status": "completed"})
	for i, d := range []actor.DeadLetter{
		{Run: "session/x", Hook: "message", CallID: "m1", Cause: ended, Payload: []byte(`{"role":"user","content":"hi"}`), ReplyTo: "_INBOX.a.b"},
		{Run: "tally/%61", BadAddress: true, Hook: "add", Cause: actor.Errorf(actor.CodeInvalid, `key token "%%61" is not canonical: write "a"`), Payload: []byte("1\n2")},
		{Run: "tally/a\tb", Hook: "add", Cause: actor.Errorf(actor.CodeInvalid, "payload: not JSON"), Payload: []byte{0xff}},
		{Run: "$token/t 1", Hook: "$resume", Cause: actor.Errorf(actor.CodeNotFound, `no run holds token "t 1"`)},
		{Run: "session/x", Hook: "message", Token: "session:x", CallID: "~token-4", Cause: ended, Payload: []byte(`{}`)},
	} {
		d.Inbox, d.Sent = uint64(i+7), time.Date(2026, 1, 2, 3, 4, i, 0, time.UTC)
		if err := out.DeadLetter(t.Context(), &d); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

var kept = regexp.MustCompile(`"kept":"[^"]*"|kept      .*`)

// says runs the client and compares what it says, save when letters were kept, with a golden file.
func says(t *testing.T, s *server.Server, name string, wantCode int, args string) {
	t.Helper()
	code, stdout, stderr := client(t, s.ClientURL(), "", strings.Split(args, "|")...)
	if code != wantCode {
		t.Errorf("%s: exit code %d, want %d", args, code, wantCode)
	}
	golden(t, filepath.Join("testdata", "dead", name+".golden"), kept.ReplaceAllString(stdout, "(kept)")+stderr)
}

func TestDead(t *testing.T) {
	s := buried(t)
	for name, args := range map[string]string{
		"ls": "dead|ls", "ls_JSON": "dead|ls|--json", "ls_limit": "dead|ls|--limit|1", "ls_type": "dead|ls|tally",
		"ls_object": "dead|ls|session/x", "ls_token": "dead|ls|$token/t 1", "ls_nothing": "dead|ls|counter",
		"show": "dead|show|1", "show_JSON": "dead|--json|show|1", "show_bad_address": "dead|show|2", "show_bytes": "dead|show|3", "show_token": "dead|show|5",
	} {
		t.Run(name, func(t *testing.T) { says(t, s, name, 0, args) })
	}
}

func TestDead_retry(t *testing.T) {
	s := buried(t)
	says(t, s, "retry_one", 0, "dead|retry|1")
	says(t, s, "retry_again", 1, "dead|retry|1")
	says(t, s, "retry_bad", 1, "dead|retry|2")
	says(t, s, "retry_all", 1, "dead|retry|--all")
	says(t, s, "retried", 0, "dead|ls")
	s = buried(t)
	says(t, s, "retry_object", 0, "dead|retry|session/x|--json")
}

func TestDead_drop(t *testing.T) {
	s := buried(t)
	says(t, s, "drop_one", 0, "dead|drop|2")
	says(t, s, "drop_again", 1, "dead|drop|2")
	says(t, s, "drop_object", 0, "dead|drop|session/x|--json")
	says(t, s, "drop_all", 0, "dead|drop|--all")
	if code, stdout, _ := client(t, s.ClientURL(), "", "dead", "ls"); code != 0 || stdout != "" {
		t.Errorf("exit code %d, left: %s", code, stdout)
	}
	if code, _, stderr := client(t, natstest.Server(t).ClientURL(), "", "dead", "ls"); code != exitUnreachable || !strings.Contains(stderr, "there is no stream PERDURE_DEAD") {
		t.Errorf("without a store: exit code %d: %s", code, stderr)
	}
}

func TestDead_showsWhatIsKept(t *testing.T) {
	s := buried(t)
	_, stdout, _ := client(t, s.ClientURL(), "", "dead", "show", "1", "--json")
	var d perdure.DeadLetter
	if err := json.Unmarshal([]byte(stdout), &d); err != nil || d.Seq != 1 || string(d.Payload) != `{"role":"user","content":"hi"}` || d.Cause.Code != actor.CodeEnded {
		t.Errorf("got %+v, %v", d, err)
	}
}
