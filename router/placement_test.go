package router

import (
	"fmt"
	"slices"
	"testing"
)

func nodes(names ...string) (all []member) {
	for _, n := range names {
		all = append(all, member{node: n, types: []string{"counter"}})
	}
	return all
}

// without is the members that are left when a node has gone.
func without(all []member, node string) []member {
	return slices.DeleteFunc(all, func(m member) bool { return m.node == node })
}

func homes(p placement, partitions int) map[int]string {
	m := map[int]string{}
	for i := range partitions {
		m[i] = p.home(i, []string{"counter"})
	}
	return m
}

func TestPlacement_SharesAndMovesOnlyWhatItMust(t *testing.T) {
	const partitions = 4096
	for n := 1; n <= 10; n++ {
		var names []string
		for i := range n {
			names = append(names, fmt.Sprintf("node-%d", i))
		}
		before := homes(place(nodes(names...)), partitions)
		count := map[string]int{}
		for _, node := range before {
			count[node]++
		}
		for _, node := range names {
			if got, want := count[node], partitions/n; got < want*8/10 || got > want*12/10 {
				t.Errorf("%d nodes: %s has %d partitions, want about %d", n, node, got, want)
			}
		}
		after := homes(place(nodes(append(names, "another")...)), partitions)
		moved := 0
		for p, node := range after {
			if node == before[p] {
				continue
			}
			moved++
			if node != "another" {
				t.Fatalf("%d nodes: partition %d moved from %s to %s, and neither is the new node", n, p, before[p], node)
			}
		}
		if want := partitions / (n + 1); moved < want*8/10 || moved > want*12/10 {
			t.Errorf("%d nodes: %d partitions moved to the new one, want about %d", n, moved, want)
		}
		for p, node := range homes(place(without(nodes(append(names, "another")...), "another")), partitions) {
			if node != before[p] {
				t.Fatalf("%d nodes: partition %d is with %s after the new node left, was with %s", n, p, node, before[p])
			}
		}
	}
}

// The order of nodes, in which each sees the others, must not matter: all have to agree.
func TestPlacement_SameForAll(t *testing.T) {
	a, b := place(nodes("x", "y", "z")), place(nodes("z", "x", "y"))
	for p := range 512 {
		if a.home(p, nil) != b.home(p, nil) {
			t.Fatalf("partition %d: got %s and %s", p, a.home(p, nil), b.home(p, nil))
		}
	}
}

// What other versions computed stays true: nodes of two versions share the partitions during a rolling deploy.
func TestPlacement_Recorded(t *testing.T) {
	p := place(nodes("a", "b", "c"))
	got := ""
	for i := range 16 {
		got += p.home(i, nil)
	}
	if want := "bbaaabccbcccbccc"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestPlacement_Types(t *testing.T) {
	old := member{node: "old", types: []string{"counter"}}
	younger := member{node: "new", types: []string{"counter", "session"}}
	third := member{node: "third", types: []string{"counter", "session"}}
	plain := place([]member{old, younger, third})
	shared := map[string]bool{}
	for p := range 64 {
		shared[plain.home(p, []string{"counter"})] = true
		if got := plain.home(p, []string{"counter", "session"}); got == "old" {
			t.Errorf("partition %d has sessions and is with a node that does not host them", p)
		}
		if got := plain.home(p, []string{"counter", "gone"}); got != plain.home(p, []string{"counter"}) {
			t.Errorf("partition %d: a type that nobody hosts moved it to %s", p, got)
		}
		if got := place([]member{old}).home(p, []string{"counter", "session"}); got != "old" {
			t.Errorf("partition %d: got %q while only one node lives", p, got)
		}
	}
	if len(shared) != 3 {
		t.Errorf("partitions that hold only what all host are with %v", shared)
	}
}

func TestPlacement_Draining(t *testing.T) {
	all := nodes("a", "b")
	all[0].draining = true
	for p := range 16 {
		if got := place(all).home(p, nil); got != "b" {
			t.Errorf("partition %d: got %q, want the node that does not drain", p, got)
		}
	}
	all[1].draining = true
	if got := place(all).home(0, nil); got == "" {
		t.Error("nobody owns partitions while all nodes drain")
	}
	if got := place(nil).home(0, nil); got != "" {
		t.Errorf("got %q without nodes", got)
	}
	if got := place(without(nodes("a"), "a")).home(0, nil); got != "" {
		t.Errorf("got %q after the only node left", got)
	}
}

func BenchmarkPlacement(b *testing.B) {
	p := place(nodes("a", "b", "c", "d", "e", "f", "g", "h", "i", "j"))
	for b.Loop() {
		for i := range 4096 {
			p.home(i, nil)
		}
	}
}
