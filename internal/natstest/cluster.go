package natstest

import (
	"fmt"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// Cluster runs three servers that replicate JetStream among them, and waits until they elected a leader.
// It takes about a second of real time. Each change is made to each server's options.
func Cluster(tb testing.TB, changes ...func(*server.Options)) []*server.Server {
	tb.Helper()
	var ports [clusterSize]int
	for i := range ports {
		ports[i] = FreePort(tb)
	}
	return cluster(tb, ports, func(_, to int) string { return address(ports[to]) }, changes)
}

// Between are the paths among the servers of a cluster.
type Between [clusterSize][clusterSize]*Proxy

// BrokenCluster is [Cluster] with paths between the servers that a test can break. Clients of one server do not learn
// of the others.
func BrokenCluster(tb testing.TB, changes ...func(*server.Options)) ([]*server.Server, *Between) {
	tb.Helper()
	var ports [clusterSize]int
	var between Between
	for i := range ports {
		ports[i] = FreePort(tb)
	}
	for from := range between {
		for to := range between {
			if from != to {
				between[from][to] = NewProxy(tb, address(ports[to]))
			}
		}
	}
	// Servers tell each other where they are. What they tell is where nobody listens, so that all paths lead over proxies.
	nowhere := address(FreePort(tb))
	changes = append(changes, func(o *server.Options) { o.Cluster.Advertise, o.Cluster.NoAdvertise = nowhere, true })
	return cluster(tb, ports, func(from, to int) string { return between[from][to].Addr() }, changes), &between
}

// Of are all paths from and to one server.
func (b *Between) Of(server int) []*Proxy {
	var paths []*Proxy
	for other := range b {
		if other != server {
			paths = append(paths, b[server][other], b[other][server])
		}
	}
	return paths
}

const clusterSize = 3

func address(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

func cluster(tb testing.TB, ports [clusterSize]int, path func(from, to int) string, changes []func(*server.Options)) []*server.Server {
	tb.Helper()
	var servers []*server.Server
	for i, port := range ports {
		opts := Options(tb.TempDir())
		opts.ServerName = fmt.Sprintf("n%d", i)
		opts.Cluster = server.ClusterOpts{Name: "test", Host: "127.0.0.1", Port: port}
		for to := range ports {
			if to != i {
				opts.Routes = append(opts.Routes, &url.URL{Scheme: "nats", Host: path(i, to)})
			}
		}
		for _, change := range changes {
			change(opts)
		}
		servers = append(servers, Start(tb, opts))
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.Now().Add(2 * time.Minute) // a guard: they elect again, after up to 9 s, as long as they vote for different ones
	for !slices.ContainsFunc(servers, (*server.Server).JetStreamIsLeader) {
		if time.Now().After(deadline) {
			tb.Fatal("the cluster elects no leader")
		}
		<-tick.C
	}
	return servers
}
