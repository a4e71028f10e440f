package router

import (
	"hash/fnv"

	"github.com/perdure/perdure/actor"
)

// Partition returns the partition of an object, from 0 to partitions-1; partitions must be positive.
// It is FNV-1a 32 over the type and the encoded key as they stand in a subject, without separator, so it equals the
// server's own {{partition(P,1,2)}} on "<type>.<key>".
func Partition(addr actor.Address, partitions int) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(addr.Type))
	_, _ = h.Write([]byte(actor.EncodeKey(addr.Key)))
	return int(h.Sum32() % uint32(partitions)) //nolint:gosec // the number of partitions is positive and small
}
