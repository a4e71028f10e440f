package actor

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"
)

// checkEdit writes the edit from old to text as JSON and applies what is read.
func checkEdit(t *testing.T, old, text []byte) edit {
	t.Helper()
	e := editOf(old, text)
	if !e.valid() {
		if utf8.Valid(text) {
			t.Errorf("an edit of %q to %q has texts that are not UTF-8: %v", old, text, e)
		}
		return e
	}
	b, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	var back edit
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	got, err := back.apply(old, len(text))
	if err != nil || !bytes.Equal(got, text) {
		t.Fatalf("%s makes %q of %q: %v, want %q", b, got, old, err, text)
	}
	return e
}

// people is a state of n entries; each is about 60 bytes.
func people(r *rand.Rand, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf(`{"id":%d,"name":"Jürgen %x","note":"あ%d"}`, i, r.Uint64(), r.IntN(100))
	}
	return out
}

func state(entries []string) []byte { return []byte("[" + strings.Join(entries, ",") + "]") }

// TestEdit_size: a change costs about its own size, wherever it is.
func TestEdit_size(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	base := people(r, 2000)
	old := state(base)
	edited := func(do func(s []string) []string) []byte { return state(do(append([]string(nil), base...))) }
	for name, tc := range map[string]struct {
		text []byte
		most int
	}{
		"nothing":    {old, 20},
		"one number": {edited(func(s []string) []string { s[1000] = strings.Replace(s[1000], "あ", "い9", 1); return s }), 60},
		"appended":   {edited(func(s []string) []string { return append(s, people(r, 1)...) }), 120},
		"prepended":  {edited(func(s []string) []string { return append(people(r, 1), s...) }), 120},
		"three":      {edited(func(s []string) []string { s[3], s[900], s[1800] = "1", "[2]", `"three"`; return s }), 120},
		"first gone": {edited(func(s []string) []string { return s[1:] }), 60},
		"moved":      {edited(func(s []string) []string { return append(append(s[500:1000:1000], s[:500]...), s[1000:]...) }), 120},
		"ten swapped": {edited(func(s []string) []string {
			for i := range 10 {
				s[i*7], s[1900-i] = s[1900-i], s[i*7]
			}
			return s
		}), 1500},
	} {
		t.Run(name, func(t *testing.T) {
			if got := checkEdit(t, old, tc.text).cost(); got > tc.most {
				t.Errorf("costs %d bytes, want at most %d of a state of %d", got, tc.most, len(old))
			}
		})
	}
}

// TestEdit_after: an edit of an edit does what both do, for random changes of random texts.
func TestEdit_after(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 7))
		first := people(r, 1+r.IntN(40))
		texts := [][]byte{state(first)}
		all := edit{{n: len(texts[0])}}
		for range 6 {
			texts = append(texts, state(changed(r, first)))
			all = checkEdit(t, texts[len(texts)-2], texts[len(texts)-1]).after(all)
			got, err := all.apply(texts[0], len(texts[len(texts)-1]))
			if err != nil || !bytes.Equal(got, texts[len(texts)-1]) {
				t.Fatalf("seed %d: %v: got %s, want %s", seed, err, got, texts[len(texts)-1])
			}
			if !all.valid() {
				t.Fatalf("seed %d: texts are not UTF-8: %v", seed, all)
			}
		}
	}
}

// changed does a few things to entries, in place where it can.
func changed(r *rand.Rand, entries []string) []string {
	for range 1 + r.IntN(4) {
		i, j := r.IntN(len(entries)), r.IntN(len(entries))
		switch r.IntN(4) {
		case 0:
			entries[i] = fmt.Sprintf(`"ö%xü"`, r.Uint64())
		case 1:
			entries[i], entries[j] = entries[j], entries[i]
		case 2:
			entries[i] = strings.Replace(entries[i], "あ", "いう", 1)
		default:
			entries[i] = entries[j]
		}
	}
	return entries
}

func FuzzEdit(f *testing.F) {
	f.Add([]byte(`{"a":1}`), []byte(`{"a":2}`), []byte("[]"))
	f.Add([]byte(strings.Repeat("äbc", 100)), []byte(strings.Repeat("äbcd", 100)), []byte(`[[0,5],"x"]`))
	f.Add([]byte("\xff\x80\x80"), []byte("\x80\xff"), []byte(`[[-1,5],[0,9999999999]]`))
	f.Fuzz(func(t *testing.T, old, text, foreign []byte) {
		e := checkEdit(t, old, text)
		if back := editOf(text, old); e.valid() && back.valid() {
			if got, err := back.after(e).apply(old, len(old)); err != nil || !bytes.Equal(got, old) {
				t.Errorf("there and back gives %q, %v, want %q", got, err, old)
			}
		}
		var read edit
		if json.Unmarshal(foreign, &read) == nil {
			_, _ = read.apply(old, len(text)) // refused or not, it does not go beyond old
		}
	})
}

// BenchmarkEdit is what a change of one entry costs to find, beside what JSON costs the same state.
func BenchmarkEdit(b *testing.B) {
	for _, size := range []int{10 << 10, 100 << 10, 1 << 20, 10 << 20, 60 << 20} {
		r := rand.New(rand.NewPCG(1, 2))
		entries := people(r, size/60)
		old := state(entries)
		entries[len(entries)/3], entries[len(entries)/2] = `{"id":1}`, `{"id":2,"name":"x"}`
		text := state(entries)
		var v any
		if err := json.Unmarshal(text, &v); err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("%dKiB/edit", size>>10), func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				b.ReportMetric(float64(editOf(old, text).cost()), "edit-bytes")
			}
		})
		b.Run(fmt.Sprintf("%dKiB/digest", size>>10), func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				digest(text)
			}
		})
		b.Run(fmt.Sprintf("%dKiB/json", size>>10), func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				if _, err := json.Marshal(v); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
