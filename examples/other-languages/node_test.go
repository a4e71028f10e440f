// Package otherlanguages has no Go code but this test, which runs main.js against a node.
package otherlanguages

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/examples/counter"
)

func TestMainJS(t *testing.T) {
	install(t)
	node, err := perdure.Start(t.Context(), perdure.Config{Listen: "127.0.0.1:0", Store: t.TempDir()}, counter.Counter)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := node.Stop(); err != nil {
			t.Error(err)
		}
	})
	for _, key := range []string{"alice", "a key. with 100% – everything*>"} {
		t.Run(key, func(t *testing.T) {
			answers, events := lines(run(t, "node", "main.js", node.URL(), key))
			want := []string{
				"get: 0",
				"call increment 2: 2",
				"send increment: accepted",
				"get: 3",
			}
			if len(answers) != len(want)+1 {
				t.Fatalf("got %q, want %q and an error", answers, want)
			}
			if diff := cmp.Diff(want, answers[:len(want)]); diff != "" {
				t.Errorf("answers (-want +got):\n%s", diff)
			}
			if failure := answers[len(want)]; !regexp.MustCompile(`^call multiply: 400 from runtime: .*type`).MatchString(failure) {
				t.Errorf("failure: got %q", failure)
			}
			// Who else writes into the log between them, such as run_claimed, is not this example's concern.
			wantEvents := []string{
				"event run_created",
				`event hook_received action {"type":"get","amount":1}`,
				"event call_completed action 0",
				`event hook_received action {"type":"increment","amount":2}`,
				"event step_completed recordState 2",
				"event call_completed action 2",
				`event hook_received action {"type":"increment","amount":1}`,
				"event step_completed recordState 3",
				"event call_completed action 3",
				`event step_completed emitValue {"count":3}`,
				"event call_completed action 3",
			}
			if missing := missingInOrder(events, wantEvents); missing != "" {
				t.Errorf("the log lacks %q in its place: %s", missing, strings.Join(events, "\n"))
			}
			// The second get may arrive while the step of the send before it is still running.
			secondGet := []string{
				`event hook_received action {"type":"increment","amount":1}`,
				`event hook_received action {"type":"get","amount":1}`,
				`event step_completed emitValue {"count":3}`,
			}
			if missing := missingInOrder(events, secondGet); missing != "" {
				t.Errorf("the log lacks %q in its place: %s", missing, strings.Join(events, "\n"))
			}
		})
	}
}

// install makes node_modules as package-lock.json pins it, once.
func install(t *testing.T) {
	t.Helper()
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("this example needs Node.js 20 with npm: %v", err)
		}
	}
	if _, err := os.Stat("node_modules/.package-lock.json"); errors.Is(err, fs.ErrNotExist) {
		run(t, "npm", "ci", "--no-audit", "--no-fund")
	}
}

// run runs a program in this folder and returns what it prints.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s%s", strings.Join(cmd.Args, " "), err, &stdout, &stderr)
	}
	return stdout.String()
}

// lines parts what main.js prints into what it was answered and what it read of the log.
func lines(output string) (answers, events []string) {
	for line := range strings.Lines(output) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "event ") {
			events = append(events, line)
		} else {
			answers = append(answers, line)
		}
	}
	return answers, events
}

// missingInOrder returns the first of want that is not in got after the ones before it.
func missingInOrder(got, want []string) string {
	for _, line := range got {
		if len(want) > 0 && line == want[0] {
			want = want[1:]
		}
	}
	if len(want) == 0 {
		return ""
	}
	return want[0]
}
