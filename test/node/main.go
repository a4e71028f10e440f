// Command node is the node of the suites that run processes: the test objects, and a journal of step executions in the
// file that STEP_JOURNAL names.
package main

import (
	"os"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/test/objects"
)

func main() {
	journal := objects.NewJournal(os.Getenv("STEP_JOURNAL"))
	perdure.Main(
		objects.Counter, objects.Tallies, objects.Ledgers, objects.Diary, objects.NewWorker(journal), objects.Speaker,
		objects.Sleeper, objects.Slow, objects.Patient, objects.Towers,
	)
}
