package actor

import "slices"

// watermark is the position below which every message of an ordered stream is finished. Its reader serves many of them,
// and has a position of its own, at: it is this one's too while the reader has joined.
type watermark struct {
	read   uint64   // highest position taken
	base   uint64   // what had been delivered when the reader joined
	open   []uint64 // taken and not finished, in order
	joined bool
}

func (w *watermark) start(at uint64) { w.read, w.base = at, at }

// begin notes that seq was taken; it reports false when it had been before.
func (w *watermark) begin(seq uint64) bool {
	if seq <= w.read {
		return false
	}
	w.read = seq
	w.open = append(w.open, seq)
	return true
}

func (w *watermark) finish(seq uint64) {
	if i, ok := slices.BinarySearch(w.open, seq); ok {
		w.open = slices.Delete(w.open, i, i+1)
	}
}

// position is the watermark.
func (w *watermark) position(at uint64) uint64 {
	if len(w.open) > 0 {
		return w.open[0] - 1
	}
	return max(w.read, w.reached(at))
}

// reached is how far messages were delivered, finished or not.
func (w *watermark) reached(at uint64) uint64 {
	if !w.joined {
		return w.base
	}
	return max(w.base, at)
}

// leave keeps what the reader's position, at, said so far: the reader starts over.
func (w *watermark) leave(at uint64) {
	w.read = max(w.read, w.reached(at))
	w.base, w.joined = w.read, false
}

// join lets the reader's position count from now on.
func (w *watermark) join() { w.joined = true }
