package router

import (
	"strings"
	"testing"
)

func TestNew_Node(t *testing.T) {
	for name, ok := range map[string]bool{
		"a": true, "my-host_2.example.org": true, "": false, "-a": false, ".a": false, "a.": false, "a..b": false,
		"a b": false, "a*": false, "a>": false, "ü": false,
		strings.Repeat("a", 64): true, strings.Repeat("a", 65): false,
	} {
		if _, err := New(Config{Node: name, Partitions: 1}); (err == nil) != ok {
			t.Errorf("%q: got %v", name, err)
		}
	}
}

// TestOwner_Hosted: 404 is for ever, so a node that sees nobody because it is cut off does not say it.
func TestOwner_Hosted(t *testing.T) {
	o, err := New(Config{Node: "me", Partitions: 1, Types: []string{"counter"}})
	if err != nil {
		t.Fatal(err)
	}
	o.view.complete()
	o.setTrust(NewTrust(DefaultTTL, o.now()))
	if !o.Hosted("counter") || o.Hosted("session") {
		t.Errorf("trusted: counter %v, session %v; want true, false", o.Hosted("counter"), o.Hosted("session"))
	}
	o.setTrust(Trust{})
	if !o.Hosted("session") {
		t.Error("cut off: got false")
	}
}
