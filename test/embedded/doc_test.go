// Package embedded runs nodes whose embedded servers form a NATS cluster.
package embedded
