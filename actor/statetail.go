package actor

import (
	"bytes"
	"fmt"
)

// How an object's state stands in its log.
const (
	wholeState  = 2 << 10  // bytes: a state up to this size is whole in each record
	maxState    = 64 << 20 // bytes of a state
	tailRecords = 4096     // records between two whole states
)

// Delta is a state as changes of an earlier record's.
type Delta struct {
	On    []uint64 `json:"on"`    // records that lead to it: the first has a whole state, each other a delta of the one before it
	N     int      `json:"n"`     // records since the one with the whole state
	Bytes int      `json:"bytes"` // about what the deltas since then take, this one included
	Size  int      `json:"size"`  // of the state, in bytes
	Sum   string   `json:"sum"`   // digest of the state
	Edit  edit     `json:"edit"`  // of the state in the last of On
}

// stateTail is an object's state as it stands in the log: whole in one record, and as deltas in those since. A delta
// is not always one of the record before: record n after the whole state builds on the record whose number is n without
// one of its lowest digit to base 4. So at most 18 deltas lead to any of 4,095 states, and a change is
// written again at most once a digit. (To base 2 it would be 12 deltas and twice the rewriting.)
type stateTail struct {
	state []byte
	sum   string      // digest of state; empty: not known
	bytes int         // what the deltas since the whole state take
	chain []stateLink // the records that lead to state, the whole one first; empty: there is none
}

// stateLink is a record on the way to a state.
type stateLink struct {
	seq  uint64
	n    int  // records since the whole state
	edit edit // of the state in the link before
}

const tailBase = 4

// buildsOn returns the number of the record that record n after a whole state builds on.
func buildsOn(n int) int {
	digit := 1
	for n/digit%tailBase == 0 {
		digit *= tailBase
	}
	return n - digit
}

// put puts the state after a turn into its record: whole, or as a delta where that is smaller and what was written
// since the last whole state does not outgrow it.
func (t *stateTail) put(rec *Record, state []byte) {
	if len(state) <= wholeState || len(t.chain) == 0 {
		rec.State = state
		return
	}
	n := t.chain[len(t.chain)-1].n + 1
	if n >= tailRecords {
		rec.State = state
		return
	}
	change, sum := edit{{n: len(state)}}, t.sum
	if !bytes.Equal(state, t.state) {
		change, sum = editOf(t.state, state), ""
	}
	keep := len(t.chain)
	for ; t.chain[keep-1].n > buildsOn(n); keep-- {
		change = change.after(t.chain[keep-1].edit)
	}
	if t.bytes+change.cost() > len(state) || !change.valid() {
		rec.State = state
		return
	}
	if sum == "" {
		sum = digest(state)
	}
	d := &Delta{N: n, Bytes: t.bytes + change.cost(), Size: len(state), Sum: sum, Edit: change}
	for _, l := range t.chain[:keep] {
		d.On = append(d.On, l.seq)
	}
	rec.Delta = d
}

// written moves on to a record that is durable; state is what put was given for it.
func (t *stateTail) written(seq uint64, rec *Record, state []byte) {
	t.state = state
	switch {
	case rec.Delta != nil:
		d := rec.Delta
		t.sum, t.bytes = d.Sum, d.Bytes
		t.chain = append(t.chain[:len(d.On)], stateLink{seq, d.N, d.Edit})
	case rec.State != nil:
		*t = stateTail{state: state, chain: []stateLink{{seq: seq}}}
	}
}

// restore takes up the state of the last record; before are those that it builds on. Its error says that they do not
// give the state.
func (t *stateTail) restore(last entryRecord, before []entryRecord) error {
	*t = stateTail{}
	if last.Delta == nil {
		if last.State != nil {
			t.written(last.seq, last.Record, last.State)
		}
		return nil
	}
	if len(before) == 0 || before[0].State == nil {
		return fmt.Errorf("record %d: its delta builds on no whole state", last.seq)
	}
	t.written(before[0].seq, before[0].Record, before[0].State)
	for i, rec := range append(before[1:len(before):len(before)], last) {
		d := rec.Delta
		if d == nil || len(d.On) != i+1 || d.On[i] != before[i].seq || d.N <= t.chain[i].n {
			return fmt.Errorf("record %d: it does not build on record %d", rec.seq, before[i].seq)
		}
		state, err := d.Edit.apply(t.state, d.Size)
		if err == nil && digest(state) != d.Sum {
			err = fmt.Errorf("the state has digest %s, not %s", digest(state), d.Sum)
		}
		if err != nil {
			return fmt.Errorf("record %d: its delta does not apply: %w", rec.seq, err)
		}
		t.written(rec.seq, rec.Record, state)
	}
	return nil
}
