package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/internal/natstest"
	perdure "github.com/perdure/perdure/jetstream"
)

// host answers like a node with the type tally.
type host struct{}

func (host) Hosts(typ string) bool { return typ == "tally" || typ == "session" }

func (host) Types() []string { return []string{"session", "tally"} }

func (host) Describe(typ string) (json.RawMessage, bool) {
	return json.RawMessage(`{"type":"` + typ + `","kind":"object","hooks":[{"name":"add","input":{"type":"object"}},{"name":"get","input":null}],"streams":[]}`), true
}

func (host) Call(req *actor.Request) {
	if req.Address.Key == "late" {
		return
	}
	o := &actor.Outcome{Run: req.Address.String(), Node: "n1", Seq: 7}
	result := func(format string, args ...any) { o.Result = fmt.Appendf(nil, format, args...) }
	switch req.Hook {
	case "add":
		result(`{"payload":%q,"key":%q}`, req.Payload, req.Address.Key)
	case "id":
		result("%q", req.Header.CallID)
	case "fail":
		o.Err = &actor.Error{Code: actor.CodeUser, Message: "no money", Source: actor.SourceObject, Details: json.RawMessage(`{"missing":5}`)}
	case "late":
		return
	case actor.HookState:
		result(`{"count":3}`)
	case actor.HookStart:
		if o.Seq = 1; req.Header.IDPolicy == actor.AfterEnd {
			o.Seq = 2
		}
		if result("null"); req.Header.Wait == actor.WaitEnd {
			result(`"ended"`)
		}
	case actor.HookResume:
		o.Run = "session/x"
		if result("null"); req.Header.Wait != actor.WaitReceived || req.Address.Key != "session:a b" {
			o.Err = actor.Errorf(actor.CodeNotFound, "nobody holds %q", req.Address.Key)
		}
	case actor.HookCancel, actor.HookTerminate, actor.HookPause, actor.HookUnpause, actor.HookWake, actor.HookPurge:
		if o.Result = json.RawMessage("null"); len(req.Payload) > 0 { // the reason is seen in the sequence
			o.Seq = uint64(len(req.Payload))
		}
		if req.Address.Key == "ended" {
			o.Err = actor.Errorf(actor.CodeEnded, "run tally/ended has ended (completed)").With(map[string]string{"status": "completed"})
		}
	case actor.HookDescribe:
		result(`{"run":"tally/a","status":"running","reason":"","epoch":4,"log":{"last":7,"records":2},"waits":[],"steps":[{"name":"ask","attempt":2,"error":"too slow"}]}`)
	case actor.HookEvents:
		result(`[{"seq":3,"time":"2026-01-02T03:04:05.1Z","node":"n1","turn":"t1","v":1,"run":"tally/a","incarnation":"i","epoch":4,"events":[` +
			`{"type":"run_created","at":"2026-01-02T03:04:05Z"},` +
			`{"type":"hook_received","at":"2026-01-02T03:04:05Z","name":"add","inbox":9,"payload":{"n":1}},` +
			`{"type":"call_completed","at":"2026-01-02T03:04:05.006Z","name":"add","result":2}]},` +
			`{"seq":8,"time":"2026-01-02T03:04:06Z","node":"n1","turn":"t2","v":1,"run":"tally/a","incarnation":"i","epoch":4,"events":[` +
			`{"type":"step_retrying","at":"2026-01-02T03:04:06Z","name":"ask","attempt":2,"due":"2026-01-02T03:04:07Z","error":{"code":422,"message":"no","source":"object"}}],"state":{"count":2}}]`)
	default:
		o.Err = actor.Errorf(actor.CodeNotFound, "tally has no hook %s", req.Hook)
	}
	req.Reply(o)
}

// node runs a server with a store and a front that answers for all partitions.
func node(t *testing.T, prefix string) *server.Server {
	t.Helper()
	s := natstest.Server(t)
	ctx, cancel := context.WithCancel(t.Context())
	store, err := perdure.Provision(ctx, natstest.Connect(t, s), perdure.Config{Prefix: prefix, Partitions: 2, LogStreams: 1})
	if err != nil {
		t.Fatal(err)
	}
	front := perdure.NewFront(perdure.FrontConfig{
		Conn: natstest.Connect(t, s), Replies: natstest.Connect(t, s), Names: store.Names(), Partitions: 2, Node: "n1", Host: host{},
	})
	for p := range 2 {
		if err := front.Own(p); err != nil {
			t.Fatal(err)
		}
	}
	ended := make(chan error, 1)
	go func() { ended <- front.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	<-front.Ready()
	log := store.Log(natstest.Connect(t, s, perdure.AppendOptions()...))
	for i, key := range []string{"a", "b\tc", strings.Repeat("long", 12)} {
		addr := actor.Address{Type: "tally", Key: key}
		_, err := log.Append(ctx, &actor.Entry{
			Address: addr, Epoch: 1, Turn: "t", Node: "n1", Status: []actor.Status{actor.StatusRunning, actor.StatusParked, actor.StatusRunning}[i],
			Body: []byte(`{"v":1,"run":"x","incarnation":"i","events":[]}`),
		}, 0)
		if err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// client runs the program and returns what it says.
func client(t *testing.T, url, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), args, []string{"NATS_URL=" + url, "HOME=" + t.TempDir()}, strings.NewReader(stdin), &out, &errs)
	return code, out.String(), errs.String()
}

func TestVerbs(t *testing.T) {
	s := node(t, "")
	for _, c := range []struct {
		args   string // separated by "|"
		stdin  string
		code   int
		stdout string
		stderr string
	}{
		{args: `call|tally/a|add|{"n":1}`, stdout: `{"payload":"{\"n\":1}","key":"a"}` + "\n"},
		{args: `call|tally/a/b c|add`, stdout: `{"payload":"","key":"a/b c"}` + "\n"},
		{args: `call|tally/a|add|-`, stdin: `{"n":2}`, stdout: `{"payload":"{\"n\":2}","key":"a"}` + "\n"},
		{args: `call|tally/a|add|-`, stdin: " \n\t\n", stdout: `{"payload":"","key":"a"}` + "\n"},
		{args: `call|tally/a|add|-5`, stdout: `{"payload":"-5","key":"a"}` + "\n"},
		{args: `--json|call|tally/a|id|--id|mine`, stdout: `"mine"` + "\n"},
		{args: `call|tally/a|fail`, code: 1, stderr: `client: call fail of tally/a: no money (422, object): {"missing":5}` + "\n"},
		{args: `call|tally/a|nothing`, code: 1, stderr: "client: call nothing of tally/a: tally has no hook nothing (404, runtime)\n"},
		{args: `call|other/a|add`, code: 1, stderr: "client: call add of other/a: no node hosts the type other (404, runtime)\n"},
		{args: `--timeout|2s|call|tally/a|late|--id|mine`, code: 3, stderr: "client: call late of tally/a: no answer in time: the outcome is unknown, and the same call id finds it (504, runtime); find the outcome with --id mine\n"},
		{args: `resume|session:a b|{"x":1}`, stdout: "accepted by session/x at seq 7\n"},
		{args: `resume||{}`, code: 2, stderr: "client: usage: token \"\": a token is UTF-8 of 1 to 512 bytes; this one has 0\nclient: --help shows how\n"},
		{args: `--json|resume|session:a b`, stdout: `{"run":"session/x","seq":7}` + "\n"},
		{args: `resume|other`, code: 1, stderr: "client: resume other: nobody holds \"other\" (404, runtime)\n"},
		{args: `start|session/x|{}`, stdout: "session/x 1\n"},
		{args: `start|session/x|{}|--id-policy|ended`, stdout: "session/x 2\n"},
		{args: `start|session/x|--id-policy=once`, stdout: "session/x 1\n"},
		{args: `start|session/x|--wait`, stdout: "\"ended\"\n"},
		{args: `start|session/x|--wait|--timeout|30s`, stdout: "\"ended\"\n"},
		{args: `get|tally/a`, stdout: `{"count":3}` + "\n"},
		{args: `describe|tally/a`, stdout: "run     tally/a\nstatus  running\nreason  -\nepoch   4\nlog     last=7  records=2\nwaits   -\nsteps\n  name=ask  attempt=2  error=\"too slow\"\n"},
		{args: `describe|tally`, stdout: "type     tally\nkind     object\nhooks\n  name=add  input={\"type\":\"object\"}\n  name=get  input=null\nstreams  -\n"},
		{args: `--json|describe|tally/a`, stdout: `{"run":"tally/a","status":"running","reason":"","epoch":4,"log":{"last":7,"records":2},"waits":[],"steps":[{"name":"ask","attempt":2,"error":"too slow"}]}` + "\n"},
		{args: `events|tally/a`, stdout: "" +
			"     3  2026-01-02T03:04:05.000Z  run_created\n" +
			"     3  2026-01-02T03:04:05.000Z  hook_received   add inbox=9 {\"n\":1}\n" +
			"     3  2026-01-02T03:04:05.006Z  call_completed  add => 2\n" +
			"     8  2026-01-02T03:04:06.000Z  step_retrying   ask attempt=2 due=2026-01-02T03:04:07Z failed: no (422, object)\n"},
		{args: `ls|nothing`},
		{args: `ls|nothing|--status=`},
		{args: `ls|nothing|--status|cancelled`},
		{args: `ls|--status|gone`, code: 2, stderr: "client: --status: want pending, running, parked, paused, completed, failed, cancelled, terminated, not \"gone\"\nclient: --help shows how\n"},
		{args: `call|tally|add`, code: 2, stderr: "client: <TYPE/KEY>: address \"tally\": want TYPE/KEY\nclient: --help shows how\n"},
		{args: `call|Tally/x|add`, code: 2, stderr: "client: <TYPE/KEY>: type name \"Tally\": types are lower case\nclient: --help shows how\n"},
		{args: `describe|other`, code: 1, stderr: "client: read $describe of type other: no node hosts the type other (404, runtime)\n"},
		{args: `describe|Tally`, code: 2, stderr: "client: usage: type name \"Tally\": types are lower case\nclient: --help shows how\n"},
		{args: `--prefix|a.b|get|tally/a`, code: 2, stderr: "client: usage: prefix \"a.b\": want a letter, then up to 31 letters, digits, _ or -\nclient: --help shows how\n"},
		{args: `dead|retry`, code: 2, stderr: "client: usage: want a letter's sequence, TYPE, TYPE/KEY, or --all\nclient: --help shows how\n"},
		{args: `dead|drop|7|--all`, code: 2, stderr: "client: usage: want a letter's sequence, TYPE, TYPE/KEY, or --all\nclient: --help shows how\n"},
		{args: `dead|drop|/x`, code: 2, stderr: "client: usage: \"/x\": want TYPE or TYPE/KEY\nclient: --help shows how\n"},
		{args: `dead|ls`},
		{args: `dead|retry|--all`},
		{args: `dead|retry|-1`, code: 2, stderr: "client: usage: -1 is no letter's sequence\nclient: --help shows how\n"},
		{args: `dead|drop|18446744073709551616`, code: 2, stderr: "client: usage: 18446744073709551616 is no letter's sequence\nclient: --help shows how\n"},
		{args: `dead|retry|0`, code: 1, stderr: "client: read dead letter 0: there is none (404, runtime)\n"},
		{args: `dead|show|0`, code: 1, stderr: "client: read dead letter 0: there is none (404, runtime)\n"},
		{args: `dead|show|3`, code: 1, stderr: "client: read dead letter 3: there is none (404, runtime)\n"},
		{args: `cancel|tally/a|--reason|gone`, stdout: "tally/a " + strconv.Itoa(len(`{"reason":"gone"}`)) + "\n"},
		{args: `cancel|tally/ended`, code: 1, stderr: "client: cancel tally/ended: run tally/ended has ended (completed) (410, runtime): {\"status\":\"completed\"}\n"},
		{args: `terminate|tally/a|--reason=a "b" c`, stdout: "tally/a " + strconv.Itoa(len(`{"reason":"a \"b\" c"}`)) + "\n"},
		{args: `terminate|tally/a`, stdout: "tally/a 7\n"},
		{args: `pause|tally/a`, stdout: "tally/a 7\n"},
		{args: `unpause|tally/a`, stdout: "tally/a 7\n"},
		{args: `--json|wake|tally/a`, stdout: `{"run":"tally/a","seq":7}` + "\n"},
		{args: `purge|tally/a|--reason|old`, stdout: "tally/a " + strconv.Itoa(len(`{"reason":"old"}`)) + "\n"},
		{args: `wake|tally`, code: 2, stderr: "client: <TYPE/KEY>: address \"tally\": want TYPE/KEY\nclient: --help shows how\n"},
		{args: `--timeout|2s|cancel|tally/late`, code: 3, stderr: "client: cancel tally/late: no answer in time: the outcome is unknown, and the same call id finds it (504, runtime)\n"},
		{args: `--timeout|0s|get|tally/a`, code: 2, stderr: "client: --timeout: want a time such as 5s or 300ms, more than 0, not \"0s\"\nclient: --help shows how\n"},
		{args: `--timeout=-1s|get|tally/a`, code: 2, stderr: "client: --timeout: want a time such as 5s or 300ms, more than 0, not \"-1s\"\nclient: --help shows how\n"},
		{args: `--timeout|soon|get|tally/a`, code: 2, stderr: "client: --timeout: want a time such as 5s or 300ms, more than 0, not \"soon\"\nclient: --help shows how\n"},
		{args: `--nats|foo:bar:baz|get|tally/a`, code: 2, stderr: "client: usage: connect to foo:bar:baz: parse \"nats://foo:bar:baz\": invalid port \":baz\" after host\nclient: --help shows how\n"},
		{args: `--creds|/none|--nats|nats://127.0.0.1:1|get|tally/a`, code: 2, stderr: "client: usage: connect to nats://127.0.0.1:1: nats: open /none: no such file or directory\nclient: --help shows how\n"},
		{args: `call|tally/a`, code: 2, stderr: "client: expected \"<HOOK>\"\nclient: --help shows how\n"},
		{args: `bench|--callers|0`, code: 2, stderr: "client: usage: --objects, --callers and --for must be positive\nclient: --help shows how\n"},
		{args: `bench|--hook|fail`, code: 1, stderr: "client: call fail of tally: no money (422, object): {\"missing\":5}\n"},
	} {
		t.Run(c.args, func(t *testing.T) {
			code, stdout, stderr := client(t, s.ClientURL(), c.stdin, strings.Split(c.args, "|")...)
			if code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			if diff := cmp.Diff(c.stdout, stdout); diff != "" {
				t.Errorf("stdout (-want +got)\n%s", diff)
			}
			if diff := cmp.Diff(c.stderr, stderr); diff != "" {
				t.Errorf("stderr (-want +got)\n%s", diff)
			}
		})
	}
}

// TestSend leaves the numbers open: a send that is acknowledged late is stored twice.
func TestSend(t *testing.T) {
	url := node(t, "").ClientURL()
	var first, second uint64
	code, stdout, stderr := client(t, url, "", "send", "tally/a", "add", `{"n":1}`)
	if n, _ := fmt.Sscanf(stdout, "%d", &first); n != 1 || code != 0 || first == 0 || stdout != fmt.Sprintf("%d\n", first) {
		t.Fatalf("exit code %d: %q %s", code, stdout, stderr)
	}
	code, stdout, stderr = client(t, url, "", "--json", "send", "tally/a", "add")
	if n, _ := fmt.Sscanf(stdout, `{"seq":%d}`, &second); n != 1 || code != 0 || second <= first || stdout != fmt.Sprintf("{\"seq\":%d}\n", second) {
		t.Errorf("exit code %d: %q after %d: %s", code, stdout, first, stderr)
	}
}

func TestEvents_JSON(t *testing.T) {
	s := node(t, "")
	_, stdout, _ := client(t, s.ClientURL(), "", "events", "tally/a", "--json")
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	if len(lines) != 2 {
		t.Fatalf("got %q", stdout)
	}
	var r perdure.LogRecord
	if err := json.Unmarshal([]byte(lines[1]), &r); err != nil {
		t.Fatal(err)
	}
	if r.Seq != 8 || r.Turn != "t2" || r.Node != "n1" || len(r.Events) != 1 || string(r.State) != `{"count":2}` {
		t.Errorf("got %+v", r)
	}
}

func TestEvents_Follow(t *testing.T) {
	s := node(t, "")
	ctx, stop := context.WithCancel(t.Context())
	out := &untilLines{want: 4, stop: stop}
	var errs bytes.Buffer
	code := run(ctx, []string{"events", "-f", "tally/a"}, []string{"NATS_URL=" + s.ClientURL()}, nil, out, &errs)
	if code != 0 || errs.Len() > 0 {
		t.Errorf("exit code %d: %s", code, errs.String())
	}
}

// untilLines stops the program when it has written so many lines.
type untilLines struct {
	want int
	stop func()
}

func (w *untilLines) Write(p []byte) (int, error) {
	if w.want -= bytes.Count(p, []byte("\n")); w.want == 0 {
		w.stop()
	}
	return len(p), nil
}

func TestLs(t *testing.T) {
	s := node(t, "acme")
	code, stdout, stderr := client(t, s.ClientURL(), "", "--prefix", "acme", "ls")
	if code != 0 {
		t.Fatal(stderr)
	}
	var got []string
	for line := range strings.Lines(stdout) {
		if i := strings.Index(line, time.Now().UTC().Format("2006-")); i >= 0 { // without the time
			line = line[:i]
		}
		got = append(got, strings.TrimRight(line, " \n"))
	}
	want := []string{
		`RUN           STATUS   RECORDS  SEQ  UPDATED`,
		`tally/a       running  1        1`,
		`"tally/b\tc"  parked   1        2`,
		`tally/` + strings.Repeat("long", 12) + `  running  1        3`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	_, stdout, _ = client(t, s.ClientURL(), "", "--prefix", "acme", "--json", "ls", "tally", "--status", "parked", "--limit", "5")
	var one perdure.RunInfo
	if err := json.Unmarshal([]byte(stdout), &one); err != nil || one.Run != "tally/b\tc" || one.Status != actor.StatusParked {
		t.Errorf("got %s, %v", stdout, err)
	}
	if code, _, _ := client(t, s.ClientURL(), "", "ls"); code != exitUnreachable { // without the prefix there is nothing
		t.Errorf("exit code %d", code)
	}
	opts := natstest.Options(t.TempDir())
	opts.JetStream = false
	code, stdout, stderr = client(t, natstest.Start(t, opts).ClientURL(), "", "ls")
	noJetStream := "client: list runs: JetStream is not available on these servers, for this account: nodes keep everything in it (503, runtime)\n"
	if code != exitUnreachable || stdout != "" || stderr != noJetStream {
		t.Errorf("without JetStream: exit code %d: %s%s", code, stdout, stderr)
	}
}

func TestBench(t *testing.T) {
	s := node(t, "")
	code, stdout, stderr := client(t, s.ClientURL(), "", "bench", "--for", "100ms", "--warmup", "10ms", "--raw", "--json", "--callers", "3", "--objects", "2")
	if code != 0 {
		t.Fatal(stderr)
	}
	var r benchReport
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatal(err)
	}
	if r.Callers != 3 || r.Objects != 2 || r.Calls.Count == 0 || r.Calls.Errors != 0 || r.Raw == nil || r.Raw.Count == 0 || r.Ratio.Rate <= 0 {
		t.Errorf("got %s", stdout)
	}
	if r.Calls.P50 > r.Calls.P99 || r.Calls.P99 > r.Calls.Max || r.Calls.P50 <= 0 {
		t.Errorf("got %+v", r.Calls)
	}
	js, err := jetstream.New(natstest.Connect(t, s))
	if err != nil {
		t.Fatal(err)
	}
	for name := range js.StreamNames(t.Context()).Name() {
		if strings.Contains(name, "BENCH") {
			t.Errorf("stream %s is left", name)
		}
	}
	if code, stdout, _ := client(t, s.ClientURL(), "", "bench", "--for", "1s", "--warmup", "0s"); code != 0 || !strings.Contains(stdout, "P99") {
		t.Errorf("exit code %d: %s", code, stdout)
	}
}

func TestUnreachable(t *testing.T) {
	code, _, stderr := client(t, "nats://127.0.0.1:1", "", "get", "tally/a")
	if want := "client: connect to nats://127.0.0.1:1: nats: no servers available for connection; go run ./cmd/node starts a node, --nats names other servers\n"; code != 3 || stderr != want {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	code, _, stderr = client(t, "", "", "--nats", "nats://me:secret@127.0.0.1:1", "get", "tally/a")
	if code != 3 || strings.Contains(stderr, "secret") || !strings.Contains(stderr, "connect to nats://me:xxxxx@127.0.0.1:1: ") {
		t.Errorf("with a password: exit code %d: %s", code, stderr)
	}
	s := natstest.Server(t) // a server, and no node
	// What was asked last may be unanswered when the time is up.
	for range 10 {
		code, _, stderr = client(t, s.ClientURL(), "", "--timeout", "2s", "call", "tally/a", "add")
		if !strings.Contains(stderr, "no answer in time") {
			break
		}
	}
	if want := "client: call add of tally/a: no node answers (503, runtime)\n"; code != 3 || stderr != want {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

func TestContext(t *testing.T) {
	s := node(t, "")
	home := t.TempDir()
	dir := filepath.Join(home, ".config", "nats")
	if err := os.MkdirAll(filepath.Join(dir, "context"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"context/here.json": `{"url":"` + s.ClientURL() + `"}`, "context/gone.json": `{"url":"nats://127.0.0.1:1"}`, "context.txt": "here",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		args, env string
		code      int
	}{
		{"get tally/a", "", 0},                            // selected
		{"--context here get tally/a", "", 0},             // named
		{"--context gone get tally/a", "", 3},             // named
		{"get tally/a", "NATS_CONTEXT=gone", 3},           // named by the environment
		{"get tally/a", "NATS_URL=nats://127.0.0.1:1", 3}, // the URL counts more
		{"--context gone --nats " + s.ClientURL() + " get tally/a", "", 0},
		{"--nats " + s.ClientURL() + " get tally/a", "NATS_URL=nats://127.0.0.1:1", 0}, // flags count more
		{"--context nothing get tally/a", "", 2},
	} {
		var out, errs bytes.Buffer
		code := run(t.Context(), strings.Fields(c.args), []string{"HOME=" + home, c.env}, nil, &out, &errs)
		if code != c.code {
			t.Errorf("%s with %q: exit code %d, want %d: %s", c.args, c.env, code, c.code, errs.String())
		}
	}
}

func TestHelp(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"call", "--help"}, {"bench", "-h"}, {"drain", "--help"}, {"resume", "--help"}} {
		code, stdout, stderr := client(t, "nats://127.0.0.1:1", "", args...)
		if code != 0 || stderr != "" || !strings.HasPrefix(stdout, "Usage: client") {
			t.Errorf("%q: exit code %d\n%s%s", args, code, stdout, stderr)
		}
	}
}
