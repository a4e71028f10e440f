package perdure

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/perdure/perdure/internal/natstest"
	"github.com/perdure/perdure/jetstream"
)

// TestFlags_Limits keeps the limits of flags those of the store.
func TestFlags_Limits(t *testing.T) {
	nc := natstest.Connect(t, natstest.Server(t))
	ended, end := context.WithCancel(t.Context())
	end()
	for _, c := range []struct {
		cfg   jetstream.Config
		taken bool
	}{
		{jetstream.Config{Partitions: maxPartitions}, true},
		{jetstream.Config{Partitions: maxPartitions + 1}, false},
		{jetstream.Config{LogStreams: maxLogStreams}, true},
		{jetstream.Config{LogStreams: maxLogStreams + 1}, false},
	} {
		if _, err := jetstream.Provision(ended, nc, c.cfg); errors.Is(err, context.Canceled) != c.taken {
			t.Errorf("%+v: %v", c.cfg, err)
		}
	}
}

// TestFlags_cluster: what --cluster-listen changes beside itself.
func TestFlags_cluster(t *testing.T) {
	host := defaultName(true)
	for name, c := range map[string]struct {
		args              []string
		node, clusterName string
		replicas          int
	}{
		"alone":            {nil, "local", "", 0},
		"external":         {[]string{"--nats", "nats://a:4222"}, host, "", 0},
		"external, three":  {[]string{"--nats", "nats://a:4222", "--replicas", "3"}, host, "", 3},
		"clustered":        {[]string{"--cluster-listen", ":6222", "--routes", "a:6222"}, host, "perdure", 3},
		"clustered, five":  {[]string{"--cluster-listen", ":6222", "--routes", "a:6222", "--replicas", "5"}, host, "perdure", 5},
		"clustered, zero":  {[]string{"--cluster-listen", ":6222", "--routes", "a:6222", "--replicas", "0"}, host, "perdure", 3},
		"clustered, named": {[]string{"--cluster-listen", ":6222", "--cluster-name", "c", "--name", "n1", "--routes", "nats://a:6222,nats://b:6222"}, "n1", "c", 3},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := parseFlags("node", c.args, io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			if got := f.notBuilt(); len(got) > 0 {
				t.Errorf("without effect: %q", got)
			}
			cfg := f.config(io.Discard).withDefaults()
			if cfg.Name != c.node || cfg.Cluster.Name != c.clusterName || cfg.Replicas != c.replicas {
				t.Errorf("node %q in cluster %q, %d replicas", cfg.Name, cfg.Cluster.Name, cfg.Replicas)
			}
		})
	}
}

// TestFlags_secrets: no message repeats a password of a route.
func TestFlags_secrets(t *testing.T) {
	const secret = "s3cret"
	for _, routes := range []string{
		"nats://u:" + secret + "@a:6222,nats://b:6222",
		"nats://u:" + secret + "@a:6222,nats://u:other@b:6222",
		"nats://u:" + secret + "@a",
		"nats://u:" + secret + "@a:x",
		"u:" + secret + "@a:6222,%zz",
		"nats://:" + secret + "@a:6222",
		"nats://" + secret + "@a:6222",
		"nats://u:" + secret + "%zz@a:6222",
	} {
		_, err := parseFlags("node", []string{"--cluster-listen", ":6222", "--routes", routes}, io.Discard)
		if err == nil || !strings.HasPrefix(err.Error(), "--routes: ") || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", routes, err)
		}
	}
}

// TestEmbedded_exclusive: a cluster's store is nobody's alone.
func TestEmbedded_exclusive(t *testing.T) {
	for _, clustered := range []bool{false, true} {
		cfg := Config{Store: t.TempDir(), Listen: "127.0.0.1:0", Name: "a"}
		if clustered {
			cfg.Cluster = Cluster{Listen: "127.0.0.1:0", Routes: []string{"127.0.0.1:1"}}
		}
		s, err := startEmbedded(t.Context(), cfg.withDefaults(), jetstream.ReplySubjects{})
		if err != nil {
			t.Fatal(err)
		}
		if s.exclusive() == clustered || strings.Contains(s.describe(), "cluster perdure") != clustered {
			t.Errorf("clustered %v: exclusive %v; %s", clustered, s.exclusive(), s.describe())
		}
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	}
}
