package harness

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/perdure/perdure/actor"
)

// Execution is one execution of a step's body, as the journal outside of the nodes has it.
type Execution struct {
	Run, Step string
	Attempt   int
	Began     time.Time
	Ended     time.Time // zero: it had not when the journal was read, or the process ended first
	Excused   bool      // its process had been stopped just before: whether the body was allowed to begin then cannot be seen from outside
}

// ReadJournal reads the journal that nodes wrote to this file, see objects.Journal, in the order of beginnings. A file
// that does not exist has nothing in it.
func ReadJournal(tb testing.TB, path string) []Execution {
	tb.Helper()
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	var all []Execution
	open := map[string]int{} // begin and step → its place in all
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var at, began int64
		var x Execution
		if _, err := fmt.Sscanf(lines.Text(), "begin %d %d %s %s", &began, &x.Attempt, &x.Step, &x.Run); err == nil {
			x.Began = time.Unix(0, began)
			open[fmt.Sprint(began, x.Step)] = len(all)
			all = append(all, x)
			continue
		}
		if _, err := fmt.Sscanf(lines.Text(), "end %d %d %s", &at, &began, &x.Step); err != nil {
			tb.Fatalf("journal line %q: %v", lines.Text(), err)
		}
		all[open[fmt.Sprint(began, x.Step)]].Ended = time.Unix(0, at)
	}
	return all
}

// StepCheck compares the journal of step executions with the logs: a step runs at least once, and never after its
// result was stored.
type StepCheck struct {
	names  []string
	stored map[string]time.Time // step → when its result was stored
}

// NewStepCheck returns a check of the steps with these names, all of which note themselves in the journal.
func NewStepCheck(names ...string) *StepCheck {
	return &StepCheck{names: names, stored: map[string]time.Time{}}
}

// Record notes the results in a record.
func (c *StepCheck) Record(r Logged) {
	for _, ev := range r.Events {
		if ev.Type == actor.StepCompleted && slices.Contains(c.names, ev.Name) {
			c.stored[ev.ID] = r.Time
		}
	}
}

// Check compares, and says how often steps ran again.
func (c *StepCheck) Check(tb testing.TB, executions []Execution) {
	tb.Helper()
	ran := map[string]int{}
	for _, x := range executions {
		ran[x.Step]++
		if result, ok := c.stored[x.Step]; ok && x.Began.After(result) && !x.Excused {
			tb.Errorf("step %s of %s ran again at %s, its result was stored at %s", x.Step, x.Run, x.Began, result)
		}
	}
	repeated := 0
	for id := range c.stored {
		switch n := ran[id]; {
		case n == 0:
			tb.Errorf("step %s has a result and never ran", id)
		case n > 1:
			repeated++
		}
	}
	tb.Logf("%d step executions for %d results; %d steps ran more than once, before their result was stored", len(executions), len(c.stored), repeated)
}
