package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"

	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/internal/natstest"
	perdure "github.com/perdure/perdure/jetstream"
)

// emit writes a stream of session/x: data, or a rewind or the end where the text is "<N" or "]".
func emit(t *testing.T, s *server.Server, stream string, texts ...string) {
	t.Helper()
	store, err := perdure.Provision(t.Context(), natstest.Connect(t, s), perdure.Config{})
	if err != nil {
		t.Fatal(err)
	}
	o := store.Outputs(natstest.Connect(t, s, perdure.AppendOptions()...))
	var last, index uint64
	for _, text := range texts {
		c := &actor.Chunk{Address: actor.Address{Type: "session", Key: "x"}, Stream: stream, Index: index, Writer: actor.WriterState{Epoch: 1, Incarnation: "i"}}
		switch {
		case text == "]":
			c.Kind = actor.ChunkEnd
		case text[0] == '<':
			index = uint64(text[1] - '0')
			c.Kind, c.Index = actor.ChunkRewind, index
		default:
			c.Data = json.RawMessage(text)
			index++
		}
		if last, err = o.Append(t.Context(), c, last); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTail(t *testing.T) {
	s := node(t, "")
	emit(t, s, "default", `{"text":"Once"}`, "{\n  \"text\": \" upon\"\n}", `{"text":" a midnight"}`, "<2", `{"text":" a time"}`, `"ü"`, "]")
	emit(t, s, "open", `1`, `2`, `3`)
	for name, args := range map[string]string{
		"all":          "tail session/x",
		"followed":     "tail -f session/x default",
		"JSON":         "tail session/x --json",
		"from":         "tail session/x --from 3",
		"last":         "tail session/x --from -1",
		"last equals":  "tail session/x --from=-2 --json",
		"open":         "tail session/x open",
		"open last":    "tail --from -2 session/x open",
		"nothing":      "tail session/x nothing",
		"other object": "tail session/y",
		"beyond":       "tail session/x open --from 7",
	} {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := client(t, s.ClientURL(), "", strings.Fields(args)...)
			if code != 0 || stderr != "" {
				t.Errorf("exit code %d: %s", code, stderr)
			}
			golden(t, filepath.Join("testdata", "tail", strings.ReplaceAll(name, " ", "_")+".golden"), stdout)
		})
	}
	for args, want := range map[string]struct {
		code   int
		stderr string
	}{
		"tail session/x a.b":                {2, "client: usage: read stream a.b of session/x: stream name \"a.b\": want a letter, then up to 63 letters, digits, _ or - (400, runtime)\nclient: --help shows how\n"},
		"tail session":                      {2, "client: <TYPE/KEY>: address \"session\": want TYPE/KEY\nclient: --help shows how\n"},
		"tail session/x --from x":           {2, "client: --from: expected a valid 64 bit int but got \"x\"\nclient: --help shows how\n"},
		"tail --prefix acme -f session/x":   {3, "client: read stream default of session/x: there is no stream ACME_OUT: has a node been started on these servers, with this prefix? (503, runtime)\n"},
		"tail --nats nats://[::1]:1 -f a/b": {3, "client: connect to nats://[::1]:1: nats: no servers available for connection; go run ./cmd/node starts a node, --nats names other servers\n"},
	} {
		code, stdout, stderr := client(t, s.ClientURL(), "", strings.Fields(args)...)
		if code != want.code || stdout != "" || stderr != want.stderr {
			t.Errorf("%s: exit code %d, want %d: %s%s", args, code, want.code, stdout, stderr)
		}
	}
}

// TestTail_Interrupted follows a stream that stays open until it is stopped.
func TestTail_Interrupted(t *testing.T) {
	s := node(t, "")
	emit(t, s, "default", `1`, `2`)
	ctx, stop := context.WithCancel(t.Context())
	out := &untilLines{want: 2, stop: stop}
	var errs bytes.Buffer
	if code := run(ctx, []string{"tail", "-f", "session/x"}, []string{"NATS_URL=" + s.ClientURL()}, nil, out, &errs); code != 0 || errs.Len() > 0 {
		t.Errorf("exit code %d: %s", code, errs.String())
	}
}

// golden compares with a file; UPDATE=1 writes it.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if os.Getenv("UPDATE") != "" {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got)\n%s", path, diff)
	}
}
