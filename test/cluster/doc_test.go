// Package cluster runs several nodes as processes, kills, stops and cuts them off under load, and checks from outside
// that nothing acknowledged is lost or applied twice, that no object was executed in two places, and how long it stood
// still. Each test runs on nodes with one external server; with embedded servers that form a cluster, some only at full
// length.
//
// By default the tests are as short as CI needs them. FULL=1 makes them as long as their promises (`make cluster-full`),
// N sets how often a test does what it does and FOR how many seconds TestKill goes on, SEED repeats a run, TTL is the
// lease's. REPLICAS=3 and SYNC=always are given to every node; with replicas the external servers are three, too.
package cluster
