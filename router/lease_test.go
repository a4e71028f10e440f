package router

import (
	"testing"
	"time"
)

func TestTrust(t *testing.T) {
	const ttl = 10 * time.Second
	sent := Instant{Mono: time.Hour, Wall: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	after := func(mono, wall time.Duration) Instant {
		return Instant{Mono: sent.Mono + mono, Wall: sent.Wall.Add(wall)}
	}
	for name, tc := range map[string]struct {
		now  Instant
		want time.Duration
	}{
		"at once":                 {after(0, 0), 7 * time.Second},
		"a renewal later":         {after(2*time.Second, 2*time.Second), 5 * time.Second},
		"just before its end":     {after(7*time.Second-1, 7*time.Second), 1},
		"at its end":              {after(7*time.Second, 7*time.Second), 0},
		"long after":              {after(time.Hour, time.Hour), 0},
		"clock slewed a little":   {after(time.Second, 1500*time.Millisecond), 6 * time.Second},
		"suspended for a minute":  {after(time.Second, 61*time.Second), 0},
		"clock set back":          {after(time.Second, -time.Minute), 0},
		"clock set a tenth ahead": {after(time.Second, 2*time.Second), 6 * time.Second},
		"and a little more":       {after(time.Second, 2*time.Second+1), 0},
	} {
		if got := NewTrust(ttl, sent).Left(tc.now); got != tc.want {
			t.Errorf("%s: got %v, want %v", name, got, tc.want)
		}
	}
	if got := (Trust{}).Left(sent); got != 0 {
		t.Errorf("zero value: got %v, want no trust", got)
	}
}

func TestSightings(t *testing.T) {
	const ttl = 5 * time.Second
	s := newSightings()
	want := func(session string, now, want time.Duration) {
		t.Helper()
		if got := s.silent(session, ttl, now); got != want {
			t.Errorf("%s at %v: got %v, want %v", session, now, got, want)
		}
	}
	want("unseen", 1*time.Second, ttl)
	want("unseen", 4*time.Second, 2*time.Second)
	want("unseen", 6*time.Second, 0)

	s.see("a", 7, 10*time.Second)
	want("a", 12*time.Second, 3*time.Second)
	s.see("a", 7, 12*time.Second) // the same renewal again, by a sweep
	want("a", 13*time.Second, 2*time.Second)
	s.see("a", 8, 14*time.Second)
	want("a", 15*time.Second, 4*time.Second)
	want("a", 19*time.Second, 0)
	s.see("a", 9, 20*time.Second) // it was only slow
	want("a", 20*time.Second, ttl)

	s.bury("a")
	want("a", 21*time.Second, 0)
	s.see("a", 10, 22*time.Second) // a late message of the watch
	want("a", 22*time.Second, 0)

	s.see("living", 1, 98*time.Second)
	s.prune(map[string]bool{"unseen": true, "living": true})
	for session, kept := range map[string]bool{"unseen": true, "a": false, "living": true} {
		if _, ok := s.seen[session]; ok != kept {
			t.Errorf("prune: %s kept: got %v, want %v", session, ok, kept)
		}
	}
}
