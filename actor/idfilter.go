package actor

import (
	"encoding/base64"
	"encoding/binary"
)

// idFilter tells of a digest that it is not among those that were added, or that it may be: a Bloom filter with one byte
// and five bits for each, which is wrong about one in 46.
type idFilter []byte

// filterBits is how many bits each digest sets.
const filterBits = 5

// newIDFilter makes a filter for n digests.
func newIDFilter(n int) idFilter { return make(idFilter, max(n, 8)) }

func (f idFilter) add(digest string) {
	for at := range f.bits(digest) {
		f[at/8] |= 1 << (at % 8)
	}
}

func (f idFilter) mayHave(digest string) bool {
	for at := range f.bits(digest) {
		if f[at/8]&(1<<(at%8)) == 0 {
			return false
		}
	}
	return true
}

// bits ranges over the bits of a digest, which is random enough to be its own hash.
func (f idFilter) bits(digest string) func(yield func(at uint64) bool) {
	return func(yield func(at uint64) bool) {
		var b [12]byte
		_, _ = base64.RawURLEncoding.Decode(b[:], []byte(digest)) // what is no digest has bits too
		at, step := binary.LittleEndian.Uint64(b[:]), uint64(binary.LittleEndian.Uint32(b[8:]))|1
		for range filterBits {
			if !yield(at % (8 * uint64(len(f)))) {
				return
			}
			at += step
		}
	}
}
