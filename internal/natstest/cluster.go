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
	var (
		servers []*server.Server
		ports   [3]int
		routes  []*url.URL
	)
	for i := range ports {
		ports[i] = FreePort(tb)
		routes = append(routes, &url.URL{Scheme: "nats", Host: fmt.Sprintf("127.0.0.1:%d", ports[i])})
	}
	for i, port := range ports {
		opts := Options(tb.TempDir())
		opts.ServerName = fmt.Sprintf("n%d", i)
		opts.Cluster = server.ClusterOpts{Name: "test", Host: "127.0.0.1", Port: port}
		opts.Routes = routes
		for _, change := range changes {
			change(opts)
		}
		servers = append(servers, Start(tb, opts))
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.Now().Add(30 * time.Second)
	for !slices.ContainsFunc(servers, (*server.Server).JetStreamIsLeader) {
		if time.Now().After(deadline) {
			tb.Fatal("the cluster elects no leader")
		}
		<-tick.C
	}
	return servers
}
