package router

import (
	"hash/fnv"
	"slices"
)

// member is a living node as placement sees it.
type member struct {
	node     string
	types    []string // that it hosts, in order
	draining bool     // it wants to own nothing
}

// placement says which of the living nodes each partition belongs to: rendezvous hashing, so that a node that joins takes
// its share from all others and moves nothing between them, and a node that leaves gives back just that.
type placement struct {
	members []member
	seeds   []uint64 // of the members
	alike   bool     // all members host the same types
}

// place makes the placement over members. Nodes that drain count only when there are no others.
func place(members []member) placement {
	p := placement{members: slices.DeleteFunc(slices.Clone(members), func(m member) bool { return m.draining }), alike: true}
	if len(p.members) == 0 {
		p.members = slices.Clone(members)
	}
	for _, m := range p.members {
		h := fnv.New64a()
		_, _ = h.Write([]byte(m.node))
		p.seeds = append(p.seeds, mix(h.Sum64()))
		p.alike = p.alike && slices.Equal(m.types, p.members[0].types)
	}
	return p
}

// home returns the node that a partition belongs to, empty where nobody lives. The partition has objects of the types
// needs: while nodes host different types, whoever hosts most of them comes first.
func (p placement) home(partition int, needs []string) string {
	best, fewest, highest := "", 0, uint64(0)
	for i, m := range p.members {
		missing := 0
		if !p.alike {
			missing = m.missing(needs)
		}
		score := mix(p.seeds[i] ^ mix(uint64(partition))) //nolint:gosec // partitions are not negative
		if best == "" || missing < fewest || missing == fewest && (score > highest || score == highest && m.node < best) {
			best, fewest, highest = m.node, missing, score
		}
	}
	return best
}

func (m member) missing(needs []string) (n int) {
	for _, typ := range needs {
		if !slices.Contains(m.types, typ) {
			n++
		}
	}
	return n
}

// mix spreads what differs in few bits over all: the finalizer of SplitMix64 (Steele, Lea, Flood 2014).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
