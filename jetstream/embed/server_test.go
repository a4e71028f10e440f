package embed

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	js "github.com/nats-io/nats.go/jetstream"

	"github.com/perdure/perdure/internal/natstest"
)

const childStore = "PERDURE_TEST_CHILD_STORE"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childStore); dir != "" {
		child(dir)
	}
	natstest.Outside()
	os.Exit(m.Run())
}

// child holds a store until it is killed.
func child(dir string) {
	if _, err := Start(context.Background(), Config{Store: dir, DontListen: true}); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("holding")
	select {}
}

func start(t *testing.T, cfg Config) *Server {
	t.Helper()
	if cfg.Store == "" {
		cfg.Store = t.TempDir()
	}
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:0"
	}
	s, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

func connect(t *testing.T, url string, opts ...nats.Option) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func stream(t *testing.T, nc *nats.Conn) js.JetStream {
	t.Helper()
	j, err := js.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := j.CreateOrUpdateStream(t.Context(), js.StreamConfig{Name: "S", Subjects: []string{"s.>"}}); err != nil {
		t.Fatal(err)
	}
	return j
}

func TestServer_keeps(t *testing.T) {
	dir := t.TempDir()
	for _, sync := range []Sync{SyncAlways, SyncInterval} {
		for round := range 2 {
			s := start(t, Config{Store: dir, Sync: sync})
			j := stream(t, connect(t, s.URL()))
			if _, err := j.Publish(t.Context(), "s.x", []byte(sync)); err != nil {
				t.Fatal(err)
			}
			j = stream(t, connect(t, "", s.Options()...))
			st, err := j.Stream(t.Context(), "S")
			if err != nil {
				t.Fatal(err)
			}
			if got := st.CachedInfo().State.Msgs; got == 0 || got%2 != uint64(round+1)%2 {
				t.Errorf("%s, round %d: %d messages", sync, round, got)
			}
			s.Stop()
			s.Stop()
		}
	}
	if index, err := filepath.Glob(filepath.Join(dir, "jetstream", "*", "streams", "S", "msgs", "index.db")); err != nil || len(index) != 1 {
		t.Errorf("no index was written: %v %v", index, err)
	}
}

func TestStart_storeInUse(t *testing.T) {
	dir := t.TempDir()
	first := start(t, Config{Store: dir})
	_, err := Start(t.Context(), Config{Store: dir, Listen: "127.0.0.1:0"})
	if !errors.Is(err, ErrStoreInUse) || !strings.Contains(err.Error(), dir) {
		t.Fatal(err)
	}
	t.Log(err)
	first.Stop()
	start(t, Config{Store: dir})
}

// TestStart_killed holds the store in another process and kills that with SIGKILL.
func TestStart_killed(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childStore+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := make([]byte, 7)
	if _, err := out.Read(said); err != nil || string(said) != "holding" {
		t.Fatalf("%q %v", said, err)
	}
	if _, err := Start(t.Context(), Config{Store: dir, DontListen: true}); !errors.Is(err, ErrStoreInUse) || !strings.Contains(err.Error(), fmt.Sprint(cmd.Process.Pid)) {
		t.Errorf("while it lives: %v", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	start(t, Config{Store: dir, DontListen: true})
}

func TestStart_portInUse(t *testing.T) {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dir := filepath.Join(t.TempDir(), "store")
	_, err = Start(t.Context(), Config{Store: dir, Listen: l.Addr().String()})
	if !errors.Is(err, ErrListen) || !strings.Contains(err.Error(), l.Addr().String()) {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the store was created: %v", err)
	}
	t.Log(err)
}

func TestStart_badConfig(t *testing.T) {
	for name, cfg := range map[string]Config{
		"no port":         {Listen: "localhost"},
		"bad port":        {Listen: "localhost:70000"},
		"sync":            {Sync: "sometimes"},
		"payload":         {MaxPayload: 100},
		"name":            {ServerName: "a b"},
		"cluster no name": {Cluster: Cluster{Listen: "127.0.0.1:0"}},
		"cluster no port": {DontListen: true, Cluster: Cluster{Listen: "127.0.0.1:0", Name: "c", Routes: []string{"127.0.0.1:1"}}},
		"cluster no addr": {Cluster: Cluster{Name: "c"}},
		"cluster name":    {Cluster: Cluster{Listen: "127.0.0.1:0", Name: "a b"}},
		"cluster route":   {Cluster: Cluster{Listen: "127.0.0.1:0", Name: "c", Routes: []string{"nats://"}}},
	} {
		cfg.Store = filepath.Join(t.TempDir(), "store")
		s, err := Start(t.Context(), cfg)
		if err == nil {
			s.Stop()
			t.Errorf("%s: no error", name)
		}
		if _, err := os.Stat(cfg.Store); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: the store was created", name)
		}
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(t.Context(), Config{Store: file, DontListen: true}); err == nil {
		t.Error("a file as store: no error")
	}
}

// TestServer_ReplyOptions: who replies can do nothing else.
func TestServer_ReplyOptions(t *testing.T) {
	s := start(t, Config{ReplyPrefixes: []string{"acme.replies"}})
	public := connect(t, s.URL()) // no credentials needed
	stream(t, public)
	all, err := public.SubscribeSync(">")
	if err != nil {
		t.Fatal(err)
	}
	if err := public.Flush(); err != nil {
		t.Fatal(err)
	}
	denied := make(chan error, 10)
	reply := connect(t, "", append(s.ReplyOptions(), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { denied <- err }))...)
	for _, subject := range []string{"s.x", "$JS.API.STREAM.PURGE.S", "acme.other", "_INBOX.a.b", "acme.replies.c"} {
		if err := reply.Publish(subject, nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := reply.SubscribeSync("_INBOX.a.*"); err != nil {
		t.Fatal(err)
	}
	if err := reply.Flush(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"_INBOX.a.b", "acme.replies.c"} {
		m, err := all.NextMsg(time.Minute)
		for err == nil && strings.HasPrefix(m.Subject, "$JS.EVENT.") { // that the stream was made, perhaps late
			m, err = all.NextMsg(time.Minute)
		}
		if err != nil || m.Subject != want {
			t.Errorf("got %v %v, want %s", m, err, want)
		}
	}
	for range 4 {
		select {
		case err := <-denied:
			if !errors.Is(err, nats.ErrPermissionViolation) {
				t.Error(err)
			}
		case <-time.After(time.Minute):
			t.Fatal("something was not denied")
		}
	}
	for m, err := all.NextMsg(10 * time.Millisecond); err == nil; m, err = all.NextMsg(10 * time.Millisecond) {
		if !strings.HasPrefix(m.Subject, "$JS.EVENT.") {
			t.Errorf("%s was published", m.Subject)
		}
	}
}

func TestServer_bubble(t *testing.T) {
	dir := t.TempDir()
	natstest.InBubble(t, func(t *testing.T) {
		s := start(t, Config{Store: dir, DontListen: true})
		if s.URL() != "" {
			t.Errorf("listens on %s", s.URL())
		}
		stream(t, connect(t, "", s.Options()...))
		time.Sleep(time.Hour)
		select {
		case err := <-s.Failed():
			t.Error(err)
		default:
		}
	})
}
