package embed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure/internal/natstest"
)

// pair are two servers' cluster addresses, and the routes to both with this user and password, if any.
func pair(t *testing.T, user string) (addresses [2]string, routes []string) {
	t.Helper()
	for i := range addresses {
		for addresses[i] == "" || i > 0 && addresses[i] == addresses[0] { // a free port may be drawn twice
			addresses[i] = fmt.Sprintf("127.0.0.1:%d", natstest.FreePort(t))
		}
		routes = append(routes, "nats://"+user+addresses[i])
	}
	return addresses, routes
}

// TestServer_cluster: servers find each other, also where they ask each other for a password.
func TestServer_cluster(t *testing.T) {
	for name, user := range map[string]string{"anybody": "", "with a password": "route:secret@"} {
		t.Run(name, func(t *testing.T) {
			addresses, routes := pair(t, user)
			var servers [2]*Server
			for i := range servers {
				servers[i] = start(t, Config{ServerName: fmt.Sprint("n", i), Cluster: Cluster{Listen: addresses[i], Name: "c", Routes: routes}})
			}
			sub, err := connect(t, servers[0].URL()).SubscribeSync("x")
			if err != nil {
				t.Fatal(err)
			}
			other := connect(t, servers[1].URL())
			for deadline := time.Now().Add(time.Minute); ; {
				if err := other.Publish("x", nil); err != nil {
					t.Fatal(err)
				}
				if _, err := sub.NextMsg(100 * time.Millisecond); err == nil {
					return
				}
				if time.Now().After(deadline) {
					t.Fatal("the servers do not find each other")
				}
			}
		})
	}
}

// TestServer_clusterStranger: who does not know the password does not join.
func TestServer_clusterStranger(t *testing.T) {
	for name, user := range map[string]string{"without": "", "wrong": "route:guess@"} {
		t.Run(name, func(t *testing.T) {
			addresses, routes := pair(t, "route:secret@")
			said := make(chan string, 1000)
			start(t, Config{ServerName: "n0", Cluster: Cluster{Listen: addresses[0], Name: "c", Routes: routes[:1]}, Logger: slog.New(lines(said))})
			start(t, Config{ServerName: "n1", Cluster: Cluster{Listen: addresses[1], Name: "c", Routes: []string{"nats://" + user + addresses[0]}}})
			for enough := time.After(time.Minute); ; {
				select {
				case line := <-said:
					if strings.Contains(line, "secret") || strings.Contains(line, "guess") {
						t.Errorf("it prints a password: %s", line)
					}
					if strings.Contains(strings.ToLower(line), "authorization") || strings.Contains(line, "authentication") {
						return
					}
				case <-enough:
					t.Fatal("the stranger is not turned away")
				}
			}
		})
	}
}

// lines is a slog handler that sends what the server says.
type lines chan string

func (l lines) Enabled(context.Context, slog.Level) bool { return true }
func (l lines) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l lines) WithGroup(string) slog.Handler            { return l }

func (l lines) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		select {
		case l <- a.Value.String():
		default:
		}
		return true
	})
	return nil
}

// TestStart_otherStore: a store is one server's, under one name, in one cluster or in none.
func TestStart_otherStore(t *testing.T) {
	in := func(cluster string) Cluster {
		return Cluster{Listen: "127.0.0.1:0", Name: cluster, Routes: []string{"127.0.0.1:1"}}
	}
	alone, clustered := t.TempDir(), t.TempDir()
	s := start(t, Config{Store: alone})
	stream(t, connect(t, "", s.Options()...))
	s.Stop()
	start(t, Config{Store: clustered, ServerName: "n1", Cluster: in("c")}).Stop()
	for name, cfg := range map[string]Config{
		"alone before":   {Store: alone, ServerName: "n1", Cluster: in("c")},
		"alone now":      {Store: clustered, ServerName: "n1"},
		"other name":     {Store: clustered, ServerName: "n2", Cluster: in("c")},
		"other cluster":  {Store: clustered, ServerName: "n1", Cluster: in("d")},
		"unnamed before": {Store: clustered, Cluster: in("c")},
	} {
		cfg.Listen = "127.0.0.1:0"
		_, err := Start(t.Context(), cfg)
		if !errors.Is(err, ErrOtherStore) || !strings.Contains(err.Error(), cfg.Store) {
			t.Errorf("%s: %v", name, err)
		}
		t.Log(err)
	}
	start(t, Config{Store: alone}).Stop()
	start(t, Config{Store: clustered, ServerName: "n1", Cluster: in("c")}).Stop()
	if err := os.WriteFile(filepath.Join(clustered, memberFile), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(t.Context(), Config{Store: clustered, ServerName: "n1", Cluster: in("c")}); err == nil {
		t.Error("a spoilt note is taken")
	}
}

func TestCluster_Open(t *testing.T) {
	for _, c := range []struct {
		cluster      Cluster
		open, beyond bool
	}{
		{Cluster{Listen: ":6222", Name: "c", Routes: []string{"a:1"}}, true, true},
		{Cluster{Listen: "0.0.0.0:6222", Name: "c", Routes: []string{"a:1"}}, true, true},
		{Cluster{Listen: "10.0.0.1:6222", Name: "c", Routes: []string{"u:p@a:1"}}, false, true},
		{Cluster{Listen: "localhost:6222", Name: "c", Routes: []string{"a:1"}}, true, false},
		{Cluster{Listen: "127.0.0.2:6222", Name: "c", Routes: []string{"a:1"}}, true, false},
		{Cluster{Listen: "[::1]:6222", Name: "c", Routes: []string{"a:1"}}, true, false},
		{Cluster{}, false, false},
	} {
		if open, beyond := c.cluster.Open(), c.cluster.Beyond(); open != c.open || beyond != c.beyond {
			t.Errorf("%+v: open %v, beyond %v", c.cluster, open, beyond)
		}
	}
}
