package actor

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"unicode/utf8"
)

// edit makes one text of another: spans of the old one and new text, in the order of the result. In JSON it is an
// array of [offset, length] and of strings.
type edit []span

// span is a part of an edit's result.
type span struct {
	off, n int    // copied from the old text, where text is nil
	text   []byte // new
}

func (s span) size() int {
	if s.text != nil {
		return len(s.text)
	}
	return s.n
}

// cost is about how many bytes the edit takes in a record, where its text is quoted.
func (e edit) cost() (n int) {
	for _, s := range e {
		n += 12 + len(s.text) + bytes.Count(s.text, []byte{'"'}) + bytes.Count(s.text, []byte{'\\'})
	}
	return n
}

// add appends a span, joined with the one before where that is possible.
func (e edit) add(s span) edit {
	if s.size() == 0 {
		return e
	}
	if len(e) > 0 {
		last := &e[len(e)-1]
		switch {
		case s.text == nil && last.text == nil && last.off+last.n == s.off:
			last.n += s.n
			return e
		case s.text != nil && last.text != nil:
			last.text = bytes.Join([][]byte{last.text, s.text}, nil) // both may be parts of other edits
			return e
		}
	}
	return append(e, s)
}

// apply makes the new text, which has size bytes. Its error says that e is not an edit of old.
func (e edit) apply(old []byte, size int) ([]byte, error) {
	if size < 0 || size > maxState {
		return nil, fmt.Errorf("a state of %d bytes; at most %d are allowed", size, maxState)
	}
	out := make([]byte, 0, size)
	for _, s := range e {
		if s.n < 0 || s.off < 0 || s.off > len(old) || s.n > len(old)-s.off {
			return nil, fmt.Errorf("bytes %d to %d of a state of %d bytes", s.off, s.off+s.n, len(old))
		}
		if s.size() > size-len(out) {
			return nil, fmt.Errorf("more than the %d bytes of the state", size)
		}
		if s.text != nil {
			out = append(out, s.text...)
		} else {
			out = append(out, old[s.off:s.off+s.n]...)
		}
	}
	if len(out) != size {
		return nil, fmt.Errorf("%d of the %d bytes of the state", len(out), size)
	}
	return out, nil
}

// part is bytes from..to of what the span gives.
func (s span) part(from, to int) span {
	if s.text != nil {
		return span{text: s.text[from:to:to]}
	}
	return span{off: s.off + from, n: to - from}
}

// after returns the edit that does what first and then e do. Both must apply.
func (e edit) after(first edit) edit {
	ends := make([]int, len(first)) // of first's spans, in the text between
	at := 0
	for i, s := range first {
		at += s.size()
		ends[i] = at
	}
	var both edit
	for _, s := range e {
		if s.text != nil {
			both = both.add(s)
			continue
		}
		i, _ := slices.BinarySearch(ends, s.off+1)
		for from, to := s.off, s.off+s.n; from < to; i++ {
			begin, end := ends[i]-first[i].size(), min(to, ends[i])
			both = both.add(first[i].part(from-begin, end-begin))
			from = end
		}
	}
	return both
}

// valid reports whether the edit survives being written as JSON: its texts are UTF-8.
func (e edit) valid() bool {
	for _, s := range e {
		if !utf8.Valid(s.text) {
			return false
		}
	}
	return true
}

// MarshalJSON implements [json.Marshaler].
func (e edit) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	b.WriteByte('[')
	for i, s := range e {
		if i > 0 {
			b.WriteByte(',')
		}
		if s.text == nil {
			fmt.Fprintf(&b, "[%d,%d]", s.off, s.n)
			continue
		}
		if err := enc.Encode(string(s.text)); err != nil {
			return nil, err
		}
		b.Truncate(b.Len() - 1) // the encoder's newline
	}
	b.WriteByte(']')
	return b.Bytes(), nil
}

var errNoEdit = errors.New("an edit is an array of strings and of [offset, length]")

// UnmarshalJSON implements [json.Unmarshaler].
func (e *edit) UnmarshalJSON(data []byte) error {
	var parts []json.RawMessage
	if err := json.Unmarshal(data, &parts); err != nil {
		return err
	}
	*e = make(edit, 0, len(parts))
	for _, p := range parts {
		var text *string
		if p[0] == '"' && json.Unmarshal(p, &text) == nil && text != nil {
			*e = append(*e, span{text: []byte(*text)})
			continue
		}
		var pair []int
		if json.Unmarshal(p, &pair) != nil || len(pair) != 2 {
			return errNoEdit
		}
		*e = append(*e, span{off: pair[0], n: pair[1]})
	}
	return nil
}

// Matching goes by blocks of the old text: small ones find small changes, few ones bound what is remembered.
const (
	minBlock  = 32
	maxBlocks = 1 << 15
)

// editOf returns how text becomes of old. It takes time linear in both.
func editOf(old, text []byte) edit {
	p := commonPrefix(old, text)
	s := commonSuffix(old[p:], text[p:])
	m := matcher{text: text, copied: []match{{0, 0, p}}}
	m.find(old[:len(old)-s], text[:len(text)-s], p)
	m.copied = append(m.copied, match{len(text) - s, len(old) - s, s})
	return m.edit()
}

// match says that n bytes of the text from at on are those of the old one from off on.
type match struct{ at, off, n int }

type matcher struct {
	text   []byte
	copied []match // in order, apart from each other
}

// find looks for what text and old share from an offset on.
func (m *matcher) find(old, text []byte, from int) {
	block := max(minBlock, (len(old)-from)/maxBlocks)
	if len(old)-from < block || len(text)-from < block {
		return
	}
	index := newBlockIndex(old, from, block)
	done, doneOld := from, from // what follows the last match
	h := hashOf(text[from : from+block])
	for at := from; ; {
		off, n := longest(old, text, at, doneOld+at-done, index.find(h))
		if n >= minBlock {
			for at > done && off > from && old[off-1] == text[at-1] {
				at, off, n = at-1, off-1, n+1
			}
			m.copied = append(m.copied, match{at, off, n})
			at += n
			done, doneOld = at, off+n
			if at+block > len(text) {
				return
			}
			h = hashOf(text[at : at+block])
			continue
		}
		if at+block >= len(text) {
			return
		}
		h = (h-uint64(text[at])*index.out)*hashBase + uint64(text[at+block])
		at++
	}
}

// longest returns which of two places of the old text goes on like the text from at on for longer, and for how long.
func longest(old, text []byte, at, one, other int) (off, n int) {
	for _, o := range [...]int{one, other} {
		if o < 0 || o >= len(old) {
			continue
		}
		if l := commonPrefix(old[o:], text[at:]); l > n {
			off, n = o, l
		}
	}
	return off, n
}

// edit makes spans of the matches. They begin and end between runes: an edit is written as JSON.
func (m *matcher) edit() edit {
	inside := func(i int) bool { return i < len(m.text) && !utf8.RuneStart(m.text[i]) }
	var e edit
	at := 0
	for _, c := range m.copied {
		for c.n > 0 && inside(c.at) {
			c.at, c.off, c.n = c.at+1, c.off+1, c.n-1
		}
		for c.n > 0 && inside(c.at+c.n) {
			c.n--
		}
		if c.n == 0 {
			continue
		}
		if c.at > at {
			e = e.add(span{text: m.text[at:c.at:c.at]})
		}
		e = e.add(span{off: c.off, n: c.n})
		at = c.at + c.n
	}
	if at < len(m.text) {
		e = e.add(span{text: m.text[at:len(m.text):len(m.text)]})
	}
	return e
}

const hashBase = 0x9E3779B97F4A7C15 | 1

// hashOf is a polynomial hash: that of the next block follows from it without reading the block.
func hashOf(b []byte) (h uint64) {
	for _, c := range b {
		h = h*hashBase + uint64(c)
	}
	return h
}

// blockIndex finds blocks of the old text by their hash. It is a hint: of blocks that share a slot it has one.
type blockIndex struct {
	slots []blockSlot
	shift int
	out   uint64 // what the byte that leaves a block counts in its hash
}

type blockSlot struct {
	next uint32 // offset + 1; 0: free
	tag  uint32 // of the hash
}

func newBlockIndex(old []byte, from, block int) blockIndex {
	n := (len(old) - from) / block
	size := bits.Len(uint(2*n)) + 1
	x := blockIndex{slots: make([]blockSlot, 1<<size), shift: 64 - size, out: 1}
	for range block - 1 {
		x.out *= hashBase
	}
	for i := n - 1; i >= 0; i-- { // of equal blocks the first
		off := from + i*block
		h := hashOf(old[off : off+block])
		x.slots[x.slot(h)] = blockSlot{uint32(off + 1), uint32(h)} //nolint:gosec // at most maxState
	}
	return x
}

func (x *blockIndex) slot(h uint64) uint64 { return (h * 0xD6E8FEB86659FD93) >> x.shift }

// find returns where a block with this hash may stand; -1: nowhere.
func (x *blockIndex) find(h uint64) int {
	s := x.slots[x.slot(h)]
	if s.tag != uint32(h) {
		return -1
	}
	return int(s.next) - 1
}

func commonPrefix(a, b []byte) (i int) {
	n := min(len(a), len(b))
	for i+equalRun <= n && bytes.Equal(a[i:i+equalRun], b[i:i+equalRun]) {
		i += equalRun
	}
	for i < n && a[i] == b[i] {
		i++
	}
	return i
}

func commonSuffix(a, b []byte) (i int) {
	n, enda, endb := min(len(a), len(b)), len(a), len(b)
	for i+equalRun <= n && bytes.Equal(a[enda-i-equalRun:enda-i], b[endb-i-equalRun:endb-i]) {
		i += equalRun
	}
	for i < n && a[enda-1-i] == b[endb-1-i] {
		i++
	}
	return i
}

// equalRun is how many bytes are compared at once: whole registers at a time.
const equalRun = 256
