// Package cluster runs several nodes as processes, kills, stops and cuts them off under load, and checks from outside
// that nothing acknowledged is lost or applied twice, that no object was executed in two places, and how long it stood
// still. Each test runs on nodes with one external server; with embedded servers that form a cluster, some only at full
// length.
//
// By default the tests are as short as CI needs them. FULL=1 makes them as long as their promises (`make cluster-full`),
// N sets how often a test does what it does or FOR for how many seconds, CALM how many seconds are watched after that,
// SEED repeats a run, TTL is the lease's: 2s, 5s at full length. REPLICAS=3 is given to every node, SYNC=always to every
// server; with replicas the external servers are three, too.
package cluster
