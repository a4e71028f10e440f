package input

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/perdure/perdure/internal/natstest"
	"github.com/perdure/perdure/test/harness"
)

// programs is where binaries of this test run are built.
var programs string

func TestMain(m *testing.M) {
	natstest.Outside()
	var err error
	if programs, err = os.MkdirTemp("", "perdure-input"); err != nil {
		panic(err)
	}
	code := m.Run()
	_ = os.RemoveAll(programs)
	os.Exit(code)
}

var binary = sync.OnceValues(func() (string, error) {
	path := filepath.Join(programs, "node")
	out, err := exec.Command("go", "build", "-o", path, "github.com/perdure/perdure/test/node").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return path, nil
})

func program(t *testing.T) harness.Program {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	return harness.Program{
		Binary: path, Store: filepath.Join(dir, "store"), Listen: fmt.Sprintf("127.0.0.1:%d", natstest.FreePort(t)),
		Env: []string{"STEP_JOURNAL=" + filepath.Join(dir, "steps")}, Args: []string{"--log-level", "error"},
	}
}

// refuses checks that the program ends with this exit code and one line that says all of want.
func refuses(t *testing.T, p harness.Program, code int, want ...string) {
	t.Helper()
	node := p.Start(t)
	if got := node.ExitCode(t, 30*time.Second); got != code {
		t.Errorf("exit code %d, want %d", got, code)
	}
	text := strings.TrimSpace(node.Stderr())
	if lines := strings.Split(text, "\n"); len(lines) != 1 {
		t.Errorf("%d lines on stderr, want one:\n%s", len(lines), text)
	}
	for _, w := range want {
		if !strings.Contains(text, w) {
			t.Errorf("stderr does not say %q: %s", w, text)
		}
	}
}

func TestStart_StoreInUse(t *testing.T) {
	p := program(t)
	p.Start(t).AwaitUp(t, 20*time.Second)
	second := p
	second.Listen = fmt.Sprintf("127.0.0.1:%d", natstest.FreePort(t))
	refuses(t, second, 1, p.Store, "in use")
	if r := harness.Ask(t, p.Connect(t), "call.tally.a.add", []byte(`{"n":1}`)); string(r.Data) != "1" {
		t.Errorf("the first node: got %d %s", r.Code, r.Data)
	}
}

func TestStart_PortInUse(t *testing.T) {
	p := program(t)
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", p.Listen)
	if err != nil {
		t.Fatal(err)
	}
	refuses(t, p, 1, p.Listen, "in use")
	if _, err := os.Stat(filepath.Join(p.Store, "jetstream")); err == nil {
		t.Error("it has made a store all the same")
	}
	_ = l.Close()
	p.Start(t).AwaitUp(t, 20*time.Second)
}

// external makes p a node on servers that it does not embed.
func external(p harness.Program, url string) harness.Program {
	p.Store, p.Listen = "", ""
	p.Args = append(slices.Clone(p.Args), "--nats", url)
	return p
}

func TestStart_Usage(t *testing.T) {
	const nobody = "nats://127.0.0.1:1"
	for _, args := range [][]string{ // the first is what the message names
		{"--nonsense"},
		{"--sync", "sometimes"},
		{"--partitions", "x"},
		{"--lease-ttl", "soon"},
		{"--lease-ttl", "1ms"},
		{"--listen", "nowhere"},
		{"extra"},
		{"--replicas", "3"},
		{"--log-level", "loud"},
		{"--prefix", "a.b"},
		{"--name", "a b"},
		{"--partitions", "100000"},
		{"--partitions", "0"},
		{"--log-streams", "100"},
		{"--log-streams", "0"},
		{"--reply-prefix", ">"},
		{"--listen", "127.0.0.1:99999"},
		{"--nats", "foo:bar:baz"},
		{"--nats", "nats://"},
		{"--nats", ""},
		{"--nkey", "/none", "--nats", nobody},
		{"--creds", "/none", "--nats", nobody},
		{"--tls-cert", os.Args[0], "--nats", nobody},
		{"--password", "x", "--nats", nobody},
		{"--user", "x"},
		{"--password", "x"},
		{"--token", "x"},
		{"--creds", "/none"},
		{"--nkey", "/none"},
		{"--tls-ca", "/none"},
		{"--tls-cert", "/none"},
		{"--tls-key", "/none"},
		{"--listen", "127.0.0.1:4222", "--nats", nobody},
		{"--store", "data", "--nats", nobody},
		{"--sync", "always", "--nats", nobody},
		{"--cluster-listen", "127.0.0.1:0", "--nats", nobody},
		{"--cluster-name", "c", "--nats", nobody},
		{"--routes", nobody, "--nats", nobody},
		{"--cluster-name", "c"},
		{"--routes", nobody},
		{"--cluster-listen", "127.0.0.1:0"},
		{"--cluster-listen", "nowhere", "--routes", nobody},
		{"--cluster-listen", "127.0.0.1:99999", "--routes", nobody},
		{"--cluster-name", "a b", "--cluster-listen", "127.0.0.1:0", "--routes", nobody},
		{"--routes", "nats://127.0.0.1", "--cluster-listen", "127.0.0.1:0"},
		{"--routes", "nats://a:b@127.0.0.1:1,nats://127.0.0.1:2", "--cluster-listen", "127.0.0.1:0"},
		{"--replicas", "6", "--cluster-listen", "127.0.0.1:0", "--routes", nobody},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			p := program(t)
			p.Store, p.Listen, p.Args = "", "", args
			refuses(t, p, 2, strings.TrimPrefix(args[0], "--"))
		})
	}
	t.Run("quotes what was given", func(t *testing.T) {
		p := program(t)
		p.Args = []string{"--reply-prefix", "_INBOX2,a.*"}
		refuses(t, p, 2, `--reply-prefix: `, `"a.*"`)
		p.Args = []string{"--listen", "nowhere"}
		p.Listen = ""
		refuses(t, p, 2, `--listen: `, `"nowhere"`)
	})
}

// TestStart_Environment gives flags by environment variables: the message names the variable. An empty one is none.
func TestStart_Environment(t *testing.T) {
	for _, env := range []string{
		"PERDURE_PARTITIONS=0", "PERDURE_PARTITIONS=x", "PERDURE_LOG_STREAMS=65", "PERDURE_PREFIX=a.b", "PERDURE_NAME=a b", "PERDURE_SYNC=sometimes",
		"PERDURE_REPLY_PREFIX=>", "PERDURE_LISTEN=127.0.0.1:99999", "PERDURE_NATS=foo:bar:baz", "PERDURE_PASSWORD=x", "PERDURE_LOG_LEVEL=loud",
		"PERDURE_REPLICAS=9", "PERDURE_LEASE_TTL=1ms",
	} {
		t.Run(env, func(t *testing.T) {
			name, _, _ := strings.Cut(env, "=")
			p := program(t)
			p.Store, p.Listen, p.Args, p.Env = "", "", nil, []string{env}
			refuses(t, p, 2, name, "--"+strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(name, "PERDURE_"), "_", "-")))
		})
	}
	t.Run("by the store's variable with --nats", func(t *testing.T) {
		p := external(program(t), "nats://127.0.0.1:1")
		p.Env = []string{"PERDURE_STORE=data"}
		refuses(t, p, 2, "--store", "PERDURE_STORE", "--nats")
	})
	t.Run("empty", func(t *testing.T) {
		p := program(t)
		for name := range strings.FieldsSeq("NATS CREDS NKEY TLS_CA TLS_CERT TLS_KEY USER PASSWORD TOKEN LISTEN STORE SYNC REPLICAS NAME PREFIX PARTITIONS " +
			"LOG_STREAMS LEASE_TTL IDLE MAX_RESIDENT REPLY_PREFIX LOG_FORMAT LOG_LEVEL CLUSTER_LISTEN CLUSTER_NAME ROUTES HTTP HTTP_TOKEN HTTP_INSECURE METRICS") {
			p.Env = append(p.Env, "PERDURE_"+name+"=")
		}
		node := p.Start(t)
		node.AwaitUp(t, 20*time.Second)
		if node.Stderr() != "" {
			t.Errorf("stderr: %s", node.Stderr())
		}
	})
}

func TestStart_Unreachable(t *testing.T) {
	p := external(program(t), fmt.Sprintf("nats://127.0.0.1:%d", natstest.FreePort(t)))
	refuses(t, p, 1, "127.0.0.1")
}

// TestStart_Overlap has somebody else's stream on our subjects, and on our name.
func TestStart_Overlap(t *testing.T) {
	for name, cfg := range map[string]jetstream.StreamConfig{
		"subjects": {Name: "WEBHOOKS", Subjects: []string{"hook.>"}},
		"log":      {Name: "MYLOGS", Subjects: []string{"log.>"}},
		"name":     {Name: "PERDURE_INBOX", Subjects: []string{"mine.>"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := natstest.Server(t)
			js, err := jetstream.New(natstest.Connect(t, s))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := js.CreateStream(t.Context(), cfg); err != nil {
				t.Fatal(err)
			}
			p := external(program(t), s.ClientURL())
			refuses(t, p, 1, cfg.Name, "--prefix")
			p.Args = append(p.Args, "--prefix", "acme")
			p.Start(t).AwaitUp(t, 20*time.Second)
			nc, err := nats.Connect(s.ClientURL())
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			if r := harness.Ask(t, nc, "acme.call.tally.a.add", []byte(`{"n":1}`)); string(r.Data) != "1" {
				t.Errorf("with a prefix: got %d %s", r.Code, r.Data)
			}
		})
	}
}

// TestStart_NewerFormat opens a store that a newer program has written, and one with a record of a newer format.
func TestStart_NewerFormat(t *testing.T) {
	p := program(t)
	node := p.Start(t)
	node.AwaitUp(t, 20*time.Second)
	nc := p.Connect(t)
	harness.Ask(t, nc, "call.tally.a.add", []byte(`{"n":1}`))
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	kv, err := js.KeyValue(t.Context(), "PERDURE_META")
	if err != nil {
		t.Fatal(err)
	}
	entry, err := kv.Get(t.Context(), "store")
	if err != nil {
		t.Fatal(err)
	}
	newer := strings.Replace(string(entry.Value()), `"format":1`, `"format":2`, 1)
	if _, err := kv.Put(t.Context(), "store", []byte(newer)); err != nil {
		t.Fatal(err)
	}
	if err := node.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := node.ExitCode(t, 20*time.Second); code != 0 {
		t.Errorf("exit code %d on SIGTERM", code)
	}
	refuses(t, p, 1, "format 2", "newer")
}

// TestRecord_Newer puts a record of a newer format on top of a log: the object is refused, not overwritten.
func TestRecord_Newer(t *testing.T) {
	p := program(t)
	node := p.Start(t)
	node.AwaitUp(t, 20*time.Second)
	nc := p.Connect(t)
	harness.Ask(t, nc, "call.tally.a.add", []byte(`{"n":1}`))
	subject := logSubject(t, nc, "tally.a")
	logs, _ := harness.Logs(t, nc)
	last := logs[subject][0]
	m := &nats.Msg{Subject: subject, Header: nats.Header{}, Data: []byte(strings.Replace(string(last.Data), `"v":1`, `"v":99`, 1))}
	for _, name := range []string{"Perdure-Epoch", "Perdure-Node", "Perdure-Status"} {
		m.Header[name] = last.Header[name]
	}
	m.Header["Perdure-Turn"], m.Header["Perdure-Page"] = []string{"newer"}, []string{fmt.Sprint(last.Seq)}
	if _, err := nc.RequestMsg(m, 5*time.Second); err != nil { // acknowledged: it outlives the process
		t.Fatal(err)
	}
	node.Kill()
	p.Start(t).AwaitUp(t, 20*time.Second)
	harness.Eventually(t, 10*time.Second, func() string {
		if !nc.IsConnected() {
			return "not connected"
		}
		return ""
	})
	r, err := harness.TryAsk(t.Context(), nc, "call.tally.a.add", []byte(`{"n":1}`), 10*time.Second)
	if err != nil || r.Code == 0 || !strings.Contains(r.Err.Message, "newer") {
		t.Errorf("call of an object with a newer record: got %d %s %v, want a failure that says so", r.Code, r.Data, err)
	}
	if got := len(harness.ReadStream(t, nc, "PERDURE_LOG_"+logStreamOf(t, nc))); got != 2 {
		t.Errorf("%d records, want 2: it was written over", got)
	}
}
