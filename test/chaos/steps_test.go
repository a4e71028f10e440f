package chaos

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/perdure/perdure/actor"
	"github.com/perdure/perdure/test/harness"
)

// checkSteps compares the journal of step executions, kept outside of the node, with the logs: a step runs at least
// once, and never after its result was stored.
func checkSteps(t *testing.T, journal string, logs map[string][]harness.Logged) {
	t.Helper()
	stored := map[string]time.Time{} // step → when its result was stored
	for _, records := range logs {
		for _, r := range records {
			for _, ev := range r.Events {
				if ev.Type == actor.StepCompleted && (ev.Name == "first" || ev.Name == "second") {
					stored[ev.ID] = r.Time
				}
			}
		}
	}
	f, err := os.Open(journal)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ran := map[string]int{}
	executions := 0
	for lines := bufio.NewScanner(f); lines.Scan(); executions++ {
		var at int64
		var attempt int
		var id string
		if _, err := fmt.Sscanf(lines.Text(), "%d %d %s", &at, &attempt, &id); err != nil {
			t.Fatalf("journal line %q: %v", lines.Text(), err)
		}
		ran[id]++
		if result, ok := stored[id]; ok && time.Unix(0, at).After(result) {
			t.Errorf("step %s ran again at %s, its result was stored at %s", id, time.Unix(0, at), result)
		}
	}
	repeated := 0
	for id := range stored {
		switch n := ran[id]; {
		case n == 0:
			t.Errorf("step %s has a result and never ran", id)
		case n > 1:
			repeated++
		}
	}
	t.Logf("%d step executions for %d results; %d steps ran more than once, before their result was stored", executions, len(stored), repeated)
}

func asError(err error) (*actor.Error, bool) {
	var e *actor.Error
	return e, errors.As(err, &e)
}
