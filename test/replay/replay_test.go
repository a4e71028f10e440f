package replay

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/perdure/perdure/internal/natstest"
	"github.com/perdure/perdure/internal/race"
	"github.com/perdure/perdure/test/harness"
)

func TestMain(m *testing.M) {
	natstest.Outside()
	m.Run()
}

// open starts a node of today on what a version wrote, at the time when that version ended: what it knew by the time, such as
// call ids that are forgotten after a day, is what it was then.
func open(t *testing.T, folder string) *harness.Node {
	t.Helper()
	path := filepath.Join(folder, "store.jsonl")
	time.Sleep(time.Until(recorded(t, path)))
	cfg := harness.Config(t)
	cfg.Listen, cfg.Name = "none", "n1"
	s := natstest.BubbleAt(t, cfg.Store)
	nc := natstest.Connect(t, s)
	restore(t, nc, path)
	nc.Close()
	natstest.Stop(s)
	return harness.Run(t, cfg, types(false)...)
}

// TestReplay opens what each version wrote and compares what it says, and does, with what that version did.
func TestReplay(t *testing.T) {
	if race.Enabled {
		t.Skip("whole nodes in virtual time are not run under the race detector: see test/virtual")
	}
	folders, err := filepath.Glob("testdata/*")
	if err != nil || len(folders) == 0 {
		t.Fatalf("no recorded stores: %v", err)
	}
	for _, folder := range folders {
		t.Run(filepath.Base(folder), func(t *testing.T) {
			b, err := os.ReadFile(filepath.Join(folder, "questions.json"))
			if err != nil {
				t.Fatal(err)
			}
			var all []question
			if err := json.Unmarshal(b, &all); err != nil {
				t.Fatal(err)
			}
			natstest.InBubble(t, func(t *testing.T) {
				nc := open(t, folder).Conn()
				for _, q := range all {
					q.check(t, nc)
				}
				logs, _ := harness.Logs(t, nc)
				maps.DeleteFunc(logs, func(_ string, records []harness.Logged) bool { // what is in parts, the check cannot read
					return slices.ContainsFunc(records, func(r harness.Logged) bool { return r.Header.Get("Perdure-Blobs") != "" })
				})
				harness.CheckLogs(t, logs)
			})
		})
	}
}

// TestRecord writes a new folder, named by RECORD.
func TestRecord(t *testing.T) {
	name := os.Getenv("RECORD")
	if name == "" {
		t.Skip("RECORD names the folder to write")
	}
	folder := filepath.Join("testdata", name)
	if err := os.MkdirAll("testdata", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatalf("what was recorded is never written again: %v", err)
	}
	s := natstest.Server(t, func(o *server.Options) { o.MaxPayload = 128 << 10 }) // a large record is cheap then
	cfg := harness.Config(t)
	cfg.NATS, cfg.Name, cfg.Partitions, cfg.LogStreams = []string{s.ClientURL()}, "n1", partitions, logStreams
	n := harness.Run(t, cfg, types(true)...)
	drive(t, n.Dial())
	n.End()
	save(t, natstest.Connect(t, s), filepath.Join(folder, "store.jsonl"))
	all := questions()
	natstest.InBubble(t, func(t *testing.T) {
		nc := open(t, folder).Conn()
		for i := range all {
			all[i].Answer = all[i].ask(t, nc)
		}
	})
	b, err := json.MarshalIndent(all, "", " ")
	if err == nil {
		err = os.WriteFile(filepath.Join(folder, "questions.json"), append(b, '\n'), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// check compares the answer with the recorded one.
func (q *question) check(t *testing.T, nc *nats.Conn) {
	t.Helper()
	answer := func() string {
		if got := q.ask(t, nc); got != q.Answer {
			return fmt.Sprintf("%s %s %v:\ngot  %s\nwant %s", q.Subject, q.Payload, q.Header, got, q.Answer)
		}
		return ""
	}
	if strings.HasPrefix(q.Subject, "stream ") { // the last chunks may come after the answer to the call before
		harness.Eventually(t, 30*time.Second, answer)
	} else if wrong := answer(); wrong != "" {
		t.Error(wrong)
	}
}

// ask returns the answer as one line.
func (q *question) ask(t *testing.T, nc *nats.Conn) string {
	t.Helper()
	if stream, ok := strings.CutPrefix(q.Subject, "stream "); ok {
		return q.stream(t, nc, stream)
	}
	if name, ok := strings.CutPrefix(q.Subject, "log "); ok {
		return lastRecord(t, nc, name)
	}
	switch q.Subject {
	case "later":
		d, err := time.ParseDuration(q.Payload)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(d)
		return ""
	case "dead":
		var all []string
		for _, m := range harness.ReadStream(t, nc, "PERDURE_DEAD") {
			all = append(all, m.Subject+" "+pick(m.Data, "hook")+" "+pick(m.Data, "payload"))
		}
		return strings.Join(all, "; ")
	}
	r := harness.Ask(t, nc, q.Subject, []byte(q.Payload), q.Header...)
	switch {
	case r.Code != 0:
		return fmt.Sprintf("%d %s", r.Code, r.Err.Message)
	case q.Pick != "":
		return pick(r.Data, q.Pick)
	}
	return string(r.Data)
}

// lastRecord returns what the last record of a log says, or "" where there is no log.
func lastRecord(t *testing.T, nc *nats.Conn, name string) string {
	t.Helper()
	var all []string
	harness.EachRecord(t, nc, func(r harness.Logged) {
		if !strings.HasSuffix(r.Subject, "."+name) {
			return
		}
		all = nil
		for i := range r.Events {
			all = append(all, string(r.Events[i].Type))
		}
	})
	return strings.Join(all, " ")
}

// stream returns the chunks of an output stream, each after its index.
func (q *question) stream(t *testing.T, nc *nats.Conn, subject string) string {
	t.Helper()
	var all []string
	for _, m := range harness.ReadStream(t, nc, "PERDURE_OUT") {
		if m.Subject != subject {
			continue
		}
		text := m.Header.Get("Perdure-Index") + " " + string(m.Data)
		switch {
		case m.Header.Get("Perdure-Rewind") != "":
			text = "<" + m.Header.Get("Perdure-Rewind")
		case m.Header.Get("Perdure-End") != "":
			text = "]"
		case q.Pick != "": // what the chunks say differs from run to run
			text = m.Header.Get("Perdure-Index")
		}
		all = append(all, text)
	}
	return strings.Join(all, " ")
}

// pick is a member of a JSON object, as it stands there.
func pick(object []byte, name string) string {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(object, &all); err != nil {
		return err.Error()
	}
	return string(all[name])
}
