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
