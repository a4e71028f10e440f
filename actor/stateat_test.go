package actor

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestStateAt reads the state of an object after each of its records, and between them, while another writes beside it.
func TestStateAt(t *testing.T) {
	w := newWorld(t)
	addr := Address{"notebook", "k"}
	h := w.host("n", nil, notebooks(), sums())
	w.own(h, 1, Checkpoint{})
	w.result(ask(h, at, "add", "", "1")) // the log does not begin with it
	states := map[uint64]string{}
	r := rand.New(rand.NewPCG(8, 9))
	for i := range 150 {
		hook, payload := "note", jsonOf(t, noted{r.IntN(100), fmt.Sprint("line ", i)})
		if i == 0 {
			hook, payload = "fill", "100"
		}
		o := w.answer(ask(h, addr, hook, "", payload))
		if o.Err != nil {
			t.Fatal(o.Err)
		}
		states[o.Seq] = w.result(ask(h, addr, HookState, "", ""))
		if r.IntN(3) == 0 {
			w.result(ask(h, at, "add", "", "1"))
		}
	}
	h.Close()
	want := ""
	for seq := range uint64(len(w.log) + 2) {
		if s, ok := states[seq]; ok {
			want = s
		}
		got, err := StateAt(t.Context(), w, addr, seq)
		if want == "" {
			if !errors.Is(err, ErrNotFound) {
				t.Errorf("at %d: %s, %v, want 404", seq, got, err)
			}
		} else if err != nil || string(got) != want {
			t.Errorf("at %d: %.100s, %v, want %.100s", seq, got, err, want)
		}
	}
}

// TestStateAt_trimmed: what is left of a trimmed log is read, of the rest it is said that it is gone.
func TestStateAt_trimmed(t *testing.T) {
	w := newWorld(t)
	h := w.host("n", nil, keeping(KeepLast(20)))
	w.own(h, 1, Checkpoint{})
	for range 100 {
		w.result(ask(h, at, "add", "", "1"))
	}
	w.until("20 records are left", func() bool { return len(w.kept(at)) == 20 })
	for seq := uint64(1); seq <= 100; seq++ {
		got, err := StateAt(t.Context(), w, at, seq)
		var e *Error
		switch {
		case seq > 80:
			if err != nil || string(got) != fmt.Sprintf(`{"N":%d}`, seq) {
				t.Errorf("at %d: %s, %v", seq, got, err)
			}
		case !errors.As(err, &e) || e.Code != CodeNotFound || string(e.Details) != `{"first":81}`:
			t.Errorf("at %d: %s, %v", seq, got, err)
		}
	}
}

// TestRead_Large: what fits into no answer is said to be in the log, and where.
func TestRead_Large(t *testing.T) {
	w := newWorld(t)
	addr := Address{"notebook", "k"}
	h := w.host("n", func(c *Config) { c.MaxPayload = 4 << 10 }, notebooks())
	w.own(h, 1, Checkpoint{})
	w.result(ask(h, addr, "fill", "", "100"))
	w.result(ask(h, addr, "note", "", `{"Line":1,"Text":"x"}`))
	o := w.answer(ask(h, addr, HookState, "", ""))
	var large LargeState
	if o.Err == nil || o.Err.Code != CodeTooLarge || json.Unmarshal(o.Err.Details, &large) != nil {
		t.Fatalf("got %.100s, %v, want 413", o.Result, o.Err)
	}
	state, err := StateAt(t.Context(), w, addr, large.Seq)
	if err != nil || len(state) != large.Size || large.Seq != 2 || large.Limit != 4<<10 || large.Instead != "client at notebook/k 2" {
		t.Errorf("details %s for a state of %d bytes, %v", o.Err.Details, len(state), err)
	}
	var records []struct {
		Seq, Size, N int
		Events       []Event
	}
	o = w.answer(ask(h, addr, HookEvents, "", ""))
	if o.Err != nil || json.Unmarshal(o.Result, &records) != nil || len(records) != 2 {
		t.Fatalf("$events gives %.100s, %v", o.Result, o.Err)
	}
	if r := records[0]; r.Size != len(w.log[0].Body) || r.N != 1 || len(r.Events) != 0 || records[1].Size != 0 || len(records[1].Events) == 0 {
		t.Errorf("$events gives %s", o.Result)
	}
	if strings.Contains(string(o.Result), `"state"`) {
		t.Errorf("$events has the state")
	}
	if o := w.answer(ask(h, addr, "fill", "", "3000")); o.Err != nil {
		t.Errorf("a state over the limit of payloads: %v", o.Err)
	}
}
