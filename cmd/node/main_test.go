package main

import (
	"bufio"
	"bytes"
	"context"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestTry(t *testing.T) {
	if got := try("", ""); got != nil {
		t.Errorf("no socket: got %q", got)
	}
	for _, line := range try(defaultURL, "") {
		if strings.Contains(line, "nats://") {
			t.Errorf("default address: %s", line)
		}
	}
	const url = "nats://127.0.0.1:4333"
	for _, line := range try(url, "") {
		if !strings.Contains(line, " --nats "+url+" ") && !strings.Contains(line, " -s "+url+" ") {
			t.Errorf("another address: %s", line)
		}
	}
}

// answers are what the lines that try suggests print, in their order.
var answers = []string{
	`(?m)^1$`,
	`(?m)^2$`,
	`hook_received(.|\n)*call_completed`,
	`(?m)^\{"content":"Hello! .*"\}$`,
	`Hello!`,
	`(?m)^1$`,
	`"stream":\s*"PERDURE_INBOX"`,
}

// TestNode runs the node as its users do, and pastes each line that it suggests into a shell.
func TestNode(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	if got := len(try(defaultURL, "")); got != len(answers) {
		t.Fatalf("try suggests %d lines, this test knows the answers of %d", got, len(answers))
	}
	n := startNode(t)
	for i, line := range n.lines {
		t.Run(line, func(t *testing.T) {
			if strings.HasPrefix(line, natsTool) {
				needNATSTool(t, root)
			}
			out, err := shell(t, root, line)
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if !regexp.MustCompile(answers[i]).MatchString(out) {
				t.Errorf("got %q, want %s", out, answers[i])
			}
		})
	}
	n.leave(t)
}

// node is a running cmd/node.
type node struct {
	cmd    *exec.Cmd
	stderr bytes.Buffer
	lines  []string // to try next
}

// startNode builds cmd/node and runs it on a store and a port of its own, until the test ends or it is told to leave.
func startNode(t *testing.T) *node {
	t.Helper()
	t.Setenv("ANTHROPIC_API_KEY", "") // the scripted model
	program := filepath.Join(t.TempDir(), "node")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	n := &node{cmd: exec.CommandContext(t.Context(), program, "--listen", "127.0.0.1:0", "--store", t.TempDir())}
	n.cmd.Stderr = &n.stderr
	stdout, err := n.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := n.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if n.cmd.ProcessState == nil { // a test that failed before leave
			_ = n.cmd.Process.Kill()
			_ = n.cmd.Wait()
		}
	})
	up := bufio.NewScanner(stdout)
	for len(n.lines) < len(answers) && up.Scan() {
		if line, ok := strings.CutPrefix(up.Text(), "  "); ok {
			n.lines = append(n.lines, line)
		}
	}
	if len(n.lines) < len(answers) {
		_ = n.cmd.Wait()
		t.Fatalf("the node ended: %s", &n.stderr)
	}
	return n
}

// leave ends the node with two signals in a moment, as timeout(1) does. It stands still meanwhile, so that they are
// delivered at once however busy the machine is; two equal ones would merge.
func (n *node) leave(t *testing.T) {
	t.Helper()
	for _, signal := range []syscall.Signal{syscall.SIGSTOP, syscall.SIGTERM, syscall.SIGINT, syscall.SIGCONT} {
		if err := n.cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.cmd.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v\n%s", err, &n.stderr)
	}
}

// needNATSTool skips the test where the tool is not in Go's module cache and cannot be downloaded.
func needNATSTool(t *testing.T, root string) {
	t.Helper()
	if testing.Short() {
		t.Skip("the nats tool takes half a minute to build for the first time")
	}
	if out, err := shell(t, root, natsTool+" --version"); err != nil {
		if strings.Contains(out, "dial tcp") || strings.Contains(out, "module lookup disabled") {
			t.Skipf("the nats tool cannot be downloaded: %s", out)
		}
		t.Fatalf("%s --version: %v\n%s", natsTool, err, out)
	}
}

// shell runs a line as somebody who pastes it, and returns all that it prints.
func shell(t *testing.T, dir, line string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", line)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}
