package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/internal/natstest"
	perdure "github.com/perdure/perdure/jetstream"
)

// recorded runs a server, and no node, with the logs of an object whose oldest record was trimmed and of two runs under one
// key that checkpoint.
func recorded(t *testing.T) *server.Server {
	t.Helper()
	s := natstest.Server(t)
	store, err := perdure.Provision(t.Context(), natstest.Connect(t, s), perdure.Config{Partitions: 1, LogStreams: 1})
	if err != nil {
		t.Fatal(err)
	}
	log := store.Log(natstest.Connect(t, s, perdure.AppendOptions()...))
	tally, session := actor.Address{Type: "tally", Key: "a"}, actor.Address{Type: "session", Key: "x"}
	ends := map[actor.Address]uint64{}
	put := func(addr actor.Address, page []uint64, rest string) {
		t.Helper()
		body := fmt.Sprintf(`{"v":2,"run":%q,"incarnation":"i","epoch":1,"n":%d,%s}`, addr, len(page)+1, rest)
		e := &actor.Entry{Address: addr, Epoch: 1, Turn: fmt.Sprint(page), Node: "n1", Status: actor.StatusRunning, Index: actor.Index{Page: page}, Body: []byte(body)}
		if ends[addr], err = log.Append(t.Context(), e, ends[addr]); err != nil {
			t.Fatal(err)
		}
	}
	created := func(previous int) string {
		return fmt.Sprintf(`"events":[{"type":"run_created","at":"2026-01-02T03:04:05Z","previous":%d}]`, previous)
	}
	checkpoint := `"events":[{"type":"snapshot","at":"2026-01-02T03:04:05Z","id":"c","payload":{"round":1}}],"compacted":[]`
	put(tally, nil, created(0)+`,"state":{"N":1}`)                                                                                                 // 1
	put(session, nil, created(0))                                                                                                                  // 2
	put(tally, []uint64{1}, `"events":[],"state":{"N":"a<b"},"stateVersion":2`)                                                                    // 3
	put(session, []uint64{2}, checkpoint)                                                                                                          // 4
	put(tally, []uint64{1, 3}, `"events":[],"delta":{"on":[3],"n":1,"bytes":9,"size":9,"sum":"`+"-"+`","edit":[[0,5],"7","}"]},"kept":{"from":3}`) // 5
	put(session, []uint64{2, 4}, `"events":[],"snapshot":4`)                                                                                       // 6
	put(session, nil, created(6))                                                                                                                  // 7
	if err := log.Remove(t.Context(), tally, 1); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAt(t *testing.T) {
	s := recorded(t)
	for name, tc := range map[string]struct {
		args string
		code int
	}{
		"state":             {"at tally/a 3", exitDone},
		"between_records":   {"at tally/a 4", exitDone},
		"damaged":           {"at tally/a 9", exitFailed},
		"trimmed":           {"at tally/a 1", exitFailed},
		"before_the_first":  {"at session/x 1", exitFailed},
		"before_checkpoint": {"at session/x 3", exitDone},
		"checkpoint":        {"at session/x 4", exitDone},
		"after_checkpoint":  {"at session/x 6", exitDone},
		"run_after":         {"at session/x 7", exitDone},
		"nobody":            {"at tally/nobody 1", exitFailed},
		"no_sequence":       {"at tally/a x", exitUsage},
	} {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := client(t, s.ClientURL(), "", strings.Fields(tc.args)...)
			if code != tc.code {
				t.Errorf("exit code %d, want %d", code, tc.code)
			}
			golden(t, filepath.Join("testdata", "at", name+".golden"), stdout+stderr)
		})
	}
}
