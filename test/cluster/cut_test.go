package cluster

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/perdure/perdure/internal/natstest"
	"github.com/perdure/perdure/test/harness"
)

// ways are how a path breaks.
var ways = []struct {
	name  string
	apply func(*natstest.Proxy)
}{
	{"stalled", (*natstest.Proxy).Stall},
	{"reset", (*natstest.Proxy).Reset},
}

// TestCut_Node cuts one node off from the server for longer than its lease, under load.
func TestCut_Node(t *testing.T) {
	skipSlow(t)
	seed := seed(t)
	top := lay(t, external)
	var paths []*natstest.Proxy
	for range 3 {
		m := top.add()
		path := natstest.NewProxy(t, strings.TrimPrefix(top.urls[0], "nats://"))
		m.servers = "nats://" + path.Addr()
		paths = append(paths, path)
	}
	top.begin()
	load := top.drive(seed, fullLoad)
	for range length(t, "N", 1, 10) {
		for i, way := range ways {
			load.goOn(time.Second)
			m := top.nodes[i]
			t.Logf("%s, which owns %d partitions, is cut off: %s", m.name, top.watch.owned()[m.name], way.name)
			mark := m.proc.Mark()
			way.apply(paths[i])
			load.goOn(top.ttl + top.ttl/2)
			if n := top.watch.owned()[m.name]; n > 0 {
				t.Errorf("%s still owns %d partitions after %s without servers", m.name, n, top.ttl+top.ttl/2)
			}
			paths[i].Mend()
			m.awaitSaid("dropping all partitions", mark, upWithin)
			m.awaitSaid("lease created", mark, upWithin)
			top.awaitShared()
		}
	}
	load.calm(time.Duration(length(t, "CALM", 3, 60)) * time.Second)
	load.end()
	load.check()
}

// TestCut_Leader cuts the leader of a log's stream off from the other servers, under load; nodes and callers stay
// connected to all of them.
func TestCut_Leader(t *testing.T) {
	skipSlow(t)
	seed := seed(t)
	servers, between := natstest.BrokenCluster(t, durable)
	top := on(t, external, "3", servers...)
	for range 3 {
		top.add()
	}
	top.begin()
	load := top.drive(seed, fullLoad)
	for i := range length(t, "N", 1, 5) {
		for j, way := range ways {
			if !full() && i+j > 0 {
				break // it takes the servers long to find together again
			}
			load.goOn(time.Second)
			leader := leaderOf(t, servers, "PERDURE_LOG_1")
			t.Logf("server %s, which leads PERDURE_LOG_1, is cut off: %s", servers[leader].Name(), way.name)
			for _, path := range between.Of(leader) {
				way.apply(path)
			}
			load.goOn(2 * top.ttl)
			awaitAnotherLeader(t, servers, leader)
			for _, path := range between.Of(leader) {
				path.Mend()
			}
			awaitWhole(t, servers)
			top.awaitShared()
		}
	}
	load.calm(time.Duration(length(t, "CALM", 3, 60)) * time.Second)
	load.end()
	load.check()
}

func leaderOf(t *testing.T, servers []*server.Server, stream string) int {
	t.Helper()
	leader := -1
	harness.Eventually(t, time.Minute, func() string {
		for i, s := range servers {
			if s.JetStreamIsStreamLeader("$G", stream) {
				leader = i
				return ""
			}
		}
		return stream + " has no leader"
	})
	return leader
}

func awaitAnotherLeader(t *testing.T, servers []*server.Server, not int) {
	t.Helper()
	harness.Eventually(t, 3*time.Minute, func() string {
		for i, s := range servers {
			if i != not && s.JetStreamIsStreamLeader("$G", "PERDURE_LOG_1") {
				return ""
			}
		}
		return "the servers that are left elect no leader"
	})
}

// awaitWhole waits until the servers are connected to each other, and the streams replicate to all.
func awaitWhole(t *testing.T, servers []*server.Server) {
	t.Helper()
	harness.Eventually(t, 3*time.Minute, func() string {
		for _, s := range servers {
			if health := s.Healthz(&server.HealthzOptions{}); health.Status != "ok" {
				return s.Name() + ": " + health.Status + " " + health.Error
			}
			if n := s.NumRemotes(); n != len(servers)-1 {
				return fmt.Sprintf("%s has routes to %d servers", s.Name(), n)
			}
		}
		return ""
	})
}
