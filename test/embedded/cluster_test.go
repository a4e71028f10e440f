package embedded

import (
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/perdure/perdure/internal/natstest"
	"github.com/perdure/perdure/internal/race"
	"github.com/perdure/perdure/test/harness"
)

// nodes are three programs with clustered servers, n1 to n3.
func nodes(t *testing.T, binary string) []harness.Program {
	t.Helper()
	var (
		dir    = t.TempDir()
		ports  [3]int
		routes [3]string
		all    []harness.Program
	)
	for i := range ports {
		ports[i] = natstest.FreePort(t)
		routes[i] = fmt.Sprintf("nats://route:secret-of-routes@127.0.0.1:%d", ports[i])
	}
	for i, port := range ports {
		name := fmt.Sprintf("n%d", i+1)
		all = append(all, harness.Program{
			Binary: binary, Store: filepath.Join(dir, name), Listen: fmt.Sprintf("127.0.0.1:%d", natstest.FreePort(t)),
			Args: []string{
				"--name", name, "--cluster-listen", fmt.Sprintf("127.0.0.1:%d", port), "--routes", strings.Join(routes[:], ","),
				"--lease-ttl", "2s", "--sync", "interval",
			},
			Env: []string{"STEP_JOURNAL=" + filepath.Join(dir, name+".steps")},
		})
	}
	return all
}

// electedWithin is a guard: servers elect again, after 4 to 9 s, as long as they vote for different ones. Those of a new cluster
// need the votes of all, and were split at 5 of 42 starts, and at 26 of 56 on a busy machine.
const electedWithin = 2 * time.Minute

func TestCluster(t *testing.T) {
	switch {
	case testing.Short():
		t.Skip("needs seconds of real time")
	case race.Enabled:
		t.Skip("what is tested are other processes, which have no race detector, and it would only be slow")
	}
	binary := harness.Build(t, "github.com/perdure/perdure/test/node")
	t.Run("three nodes", func(t *testing.T) {
		t.Parallel()
		threeNodes(t, nodes(t, binary))
	})
	t.Run("one node that waits", func(t *testing.T) {
		t.Parallel()
		waitingNode(t, nodes(t, binary)[0])
	})
}

// threeNodes starts them one after the other, kills the one that executes, and starts it again.
func threeNodes(t *testing.T, programs []harness.Program) {
	t.Helper()
	var processes [3]*harness.Process
	processes[0] = programs[0].Start(t)
	saysThatItWaits(t, processes[0])
	for i := 1; i < 3; i++ {
		processes[i] = programs[i].Start(t)
	}
	var conns [3]*nats.Conn
	for i, p := range processes {
		p.AwaitUp(t, electedWithin)
		conns[i] = programs[i].Connect(t)
		connected(t, conns[i])
	}
	if said := processes[0].Stderr(); !strings.Contains(said, "done waiting for JetStream") {
		t.Errorf("the first node does not say that it goes on: %s", said)
	}
	replicated(t, conns[0])
	owner := -1
	for i, nc := range conns {
		owner = add(t, nc, i+1)
	}
	processes[owner].Kill()
	others := []int{(owner + 1) % 3, (owner + 2) % 3}
	for i, other := range others {
		add(t, conns[other], 4+i)
	}
	processes[owner] = programs[owner].Start(t)
	processes[owner].AwaitUp(t, electedWithin)
	connected(t, conns[owner])
	add(t, conns[owner], 6)
	replicated(t, conns[owner])
	for _, p := range processes {
		if said := p.Stderr(); strings.Contains(said, "secret-of-routes") {
			t.Errorf("it prints a password: %s", said)
		}
	}
}

// waitingNode is told to end while it waits for others.
func waitingNode(t *testing.T, program harness.Program) {
	t.Helper()
	p := program.Start(t)
	saysThatItWaits(t, p)
	if err := p.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := p.ExitCode(t, 30*time.Second); code != 0 {
		t.Errorf("exit code %d\n%s", code, p.Stderr())
	}
}

func saysThatItWaits(t *testing.T, p *harness.Process) {
	t.Helper()
	harness.Eventually(t, time.Minute, func() string {
		if said := p.Stderr(); !strings.Contains(said, "waiting for JetStream") {
			return "it does not say that it waits: " + said
		}
		return ""
	})
}

func connected(t *testing.T, nc *nats.Conn) {
	t.Helper()
	harness.Eventually(t, time.Minute, func() string {
		if !nc.IsConnected() {
			return nc.Opts.Url + " is not connected"
		}
		return ""
	})
}

// add adds one to the tally, which then is want, and returns which node did it. A call in doubt is repeated by its id.
func add(t *testing.T, nc *nats.Conn, want int) (node int) {
	t.Helper()
	harness.Eventually(t, electedWithin, func() string {
		r, err := harness.TryAsk(t.Context(), nc, "call.tally.a.add", []byte(`{"n":1}`), time.Second, "Perdure-Call-Id", fmt.Sprint("add", want))
		switch {
		case err != nil:
			return fmt.Sprintf("call %d: %v", want, err)
		case r.Code != 0:
			return fmt.Sprintf("call %d: %s", want, r.Data)
		case string(r.Data) != fmt.Sprint(want):
			t.Fatalf("call %d gives %s", want, r.Data)
		}
		if _, err := fmt.Sscanf(r.Header.Get("Perdure-Node"), "n%d", &node); err != nil {
			t.Fatalf("node %q: %v", r.Header.Get("Perdure-Node"), err)
		}
		return ""
	})
	return node - 1
}

// replicated waits until each stream, those of buckets too, has three replicas that are current.
func replicated(t *testing.T, nc *nats.Conn) {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	names := harness.Streams(t, nc)
	if len(names) != 13 {
		t.Errorf("there are streams %q", names)
	}
	for _, name := range names {
		harness.Eventually(t, electedWithin, func() string {
			stream, err := js.Stream(t.Context(), name)
			if err != nil {
				return err.Error()
			}
			info := stream.CachedInfo()
			if info.Config.Replicas != 3 {
				t.Fatalf("stream %s has %d replicas", name, info.Config.Replicas)
			}
			if info.Config.Storage != jetstream.FileStorage { // one in memory has no say in elections after a restart
				t.Fatalf("stream %s is in %v", name, info.Config.Storage)
			}
			for _, peer := range info.Cluster.Replicas {
				if !peer.Current || peer.Offline {
					return fmt.Sprintf("stream %s: replica %+v", name, *peer)
				}
			}
			return ""
		})
	}
}
