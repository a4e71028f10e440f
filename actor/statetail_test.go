package actor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
)

// TestStateTail writes thousands of states and reads each of them back from the records that it builds on.
func TestStateTail(t *testing.T) {
	for name, tc := range map[string]struct {
		entries, turns int
		change         func(r *rand.Rand, s []string) []string
		most           float64 // bytes a turn
	}{
		"small":        {10, 50, changed, 900},
		"counter":      {500, 4500, func(r *rand.Rand, s []string) []string { s[7] = fmt.Sprint(r.Uint64()); return s }, 300},
		"anywhere":     {2000, 3000, func(r *rand.Rand, s []string) []string { s[r.IntN(len(s))] = fmt.Sprint(r.Uint64()); return s }, 1000},
		"grows":        {100, 3000, func(r *rand.Rand, s []string) []string { return append(s, fmt.Sprint(r.Uint64())) }, 500},
		"all of it":    {300, 50, func(r *rand.Rand, s []string) []string { return people(r, len(s)) }, 25000},
		"many changes": {500, 500, changed, 6000},
		"nothing":      {500, 500, func(_ *rand.Rand, s []string) []string { return s }, 300},
	} {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(3, 4))
			var tail stateTail
			log := map[uint64]entryRecord{}
			s, written, longest := people(r, tc.entries), 0, 0
			for seq := uint64(1); seq <= uint64(tc.turns); seq++ {
				s = tc.change(r, s)
				text := state(s)
				rec := &Record{V: recordPlain, N: seq}
				tail.put(rec, text)
				body, err := json.Marshal(rec)
				if err != nil {
					t.Fatal(err)
				}
				written += len(body)
				tail.written(seq, rec, text)
				var back Record
				if err := json.Unmarshal(body, &back); err != nil {
					t.Fatal(err)
				}
				log[seq] = entryRecord{seq: seq, Record: &back}
				if seq%7 != 0 {
					continue
				}
				var before []entryRecord
				if back.Delta != nil {
					for _, on := range back.Delta.On {
						before = append(before, log[on])
					}
				}
				longest = max(longest, len(before))
				var read stateTail
				if err := read.restore(log[seq], before); err != nil {
					t.Fatalf("record %d: %v", seq, err)
				}
				if string(read.state) != string(text) {
					t.Fatalf("record %d gives %s, want %s", seq, read.state, text)
				}
				if seq%21 == 0 {
					tail = read // it goes on from what was read
				}
			}
			if longest > 18 {
				t.Errorf("a state needs %d records beside its own", longest)
			}
			got := float64(written) / float64(tc.turns)
			t.Logf("state of %d bytes: %.0f bytes a turn, at most %d records beside the last", len(state(s)), got, longest)
			if got > tc.most {
				t.Errorf("%.0f bytes a turn, want at most %.0f", got, tc.most)
			}
		})
	}
}

// notebook is an object whose state may be large: lines that calls set.
type notebook struct{ Lines []string }

type noted struct {
	Line int
	Text string
}

func notebooks() *Object[notebook] {
	o := NewObject[notebook]("notebook")
	NewMethod(o, "fill", func(s *notebook, _ Context, n int) (int, error) {
		r := rand.New(rand.NewPCG(uint64(n), 1)) //nolint:gosec // a test
		s.Lines = people(r, n)
		return len(s.Lines), nil
	})
	NewMethod(o, "note", func(s *notebook, _ Context, in noted) (string, error) {
		was := s.Lines[in.Line]
		if in.Text == "no" {
			s.Lines = nil
			return "", errors.New("no")
		}
		s.Lines[in.Line] = in.Text
		return was, nil
	})
	NewQuery(o, "line", func(s notebook, _ ReadContext, i int) (string, error) { return s.Lines[i], nil })
	return o
}

// counting is a log whose reads are counted.
type counting struct {
	*world
	reads atomic.Int64
}

func (c *counting) Read(ctx context.Context, a Address, seq uint64) (*Entry, error) {
	c.reads.Add(1)
	return c.world.Read(ctx, a, seq)
}

func (c *counting) Last(ctx context.Context, a Address) (*Entry, error) {
	c.reads.Add(1)
	return c.world.Last(ctx, a)
}

// TestHost_largeState has an object with a large state live through appends that fail in every way and through
// restarts: it is what a model says, its records are small, and few of them are read.
func TestHost_largeState(t *testing.T) {
	w := newWorld(t)
	addr := Address{"notebook", "k"}
	const lines, turns = 1000, 600
	r := rand.New(rand.NewPCG(5, 6))
	epoch := uint64(1)
	h := w.host("n", nil, notebooks())
	w.own(h, epoch, Checkpoint{})
	w.result(ask(h, addr, "fill", "", fmt.Sprint(lines)))
	model := people(rand.New(rand.NewPCG(lines, 1)), lines)
	whole := len(w.log[0].Body)
	for turn := range turns {
		if r.IntN(20) == 0 { // the node dies
			h.Close()
			epoch++
			log := &counting{world: w}
			h = w.host("n", func(c *Config) { c.Log = log }, notebooks())
			w.own(h, epoch, Checkpoint{})
			i := r.IntN(lines)
			if got, want := w.result(ask(h, addr, "line", "", fmt.Sprint(i))), jsonOf(t, model[i]); got != want {
				t.Fatalf("turn %d: line %d is %s after a restart, want %s", turn, i, got, want)
			}
			if n := log.reads.Load(); n > 20 {
				t.Errorf("turn %d: a cold read took %d reads", turn, n)
			}
		}
		fault := r.IntN(8)
		tries := 0
		w.change(func() {
			w.onAppend = func(*Entry) (bool, error) {
				if tries++; tries > 1 {
					return true, nil
				}
				switch fault {
				case 0:
					return false, ErrAppendUnknown
				case 1:
					return true, ErrAppendUnknown
				case 2:
					return false, ErrAppendConflict
				case 3:
					return true, ErrAppendConflict
				default:
					return true, nil
				}
			}
		})
		in := noted{r.IntN(lines), fmt.Sprintf(`"%x" <ü>`, r.Uint64())}
		if r.IntN(10) == 0 {
			in.Text = "no"
		}
		o := w.answer(ask(h, addr, "note", fmt.Sprint(turn), jsonOf(t, in)))
		switch {
		case in.Text == "no":
			if o.Err == nil || o.Err.Code != CodeUser {
				t.Fatalf("turn %d: %v", turn, o.Err)
			}
		case o.Err != nil || string(o.Result) != jsonOf(t, model[in.Line]):
			t.Fatalf("turn %d: %s, %v, want %q", turn, o.Result, o.Err, model[in.Line])
		default:
			model[in.Line] = in.Text
		}
	}
	if got, want := w.result(ask(h, addr, HookState, "", "")), jsonOf(t, notebook{model}); got != want {
		t.Errorf("the state is not what the calls made it")
	}
	written := 0
	for _, e := range w.log[1:] {
		written += len(e.Body)
	}
	t.Logf("%d records of %d bytes each, after a state of %d bytes", len(w.log)-1, written/(len(w.log)-1), whole)
	if per := written / (len(w.log) - 1); per > whole/20 {
		t.Errorf("a call writes %d bytes of a state of %d", per, whole)
	}
}

func jsonOf(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestHost_stateMissing: an object whose state cannot be made of its records is not taken for an empty one.
func TestHost_stateMissing(t *testing.T) {
	for name, harm := range map[string]func(log []*Entry){
		"record gone": func(log []*Entry) { log[0].Address.Key = "other" },
		"record changed": func(log []*Entry) {
			log[0].Body = []byte(strings.ReplaceAll(string(log[0].Body), "Jürgen", "Jörgen"))
		},
		"no whole state": func(log []*Entry) {
			log[0].Body = []byte(strings.Replace(string(log[0].Body), `"state"`, `"other"`, 1))
		},
		"delta changed": func(log []*Entry) {
			log[1].Body = []byte(strings.Replace(string(log[1].Body), "change 1", "change 7", 2))
		},
		"newer than this": func(log []*Entry) { log[0].Body = []byte(strings.Replace(string(log[0].Body), `"v":1`, `"v":99`, 1)) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			addr := Address{"notebook", "k"}
			h := w.host("a", nil, notebooks())
			w.own(h, 1, Checkpoint{})
			w.result(ask(h, addr, "fill", "", "100"))
			for i := range 3 {
				w.result(ask(h, addr, "note", "", jsonOf(t, noted{i, fmt.Sprintf("change %d", i+1)})))
			}
			h.Close()
			w.change(func() { harm(w.log) })
			h = w.host("b", nil, notebooks())
			w.own(h, 2, Checkpoint{})
			for _, hook := range []string{HookState, "line", "note"} {
				if o := w.answer(ask(h, addr, hook, "", `{"Line":1,"Text":"x"}`)); o.Err == nil || o.Err.Code != CodeUnavailable {
					t.Errorf("%s: %s, %v, want 503", hook, o.Result, o.Err)
				}
			}
			if len(w.log) != 4 {
				t.Errorf("it has %d records, want 4", len(w.log))
			}
		})
	}
}
