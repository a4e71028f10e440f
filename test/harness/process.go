package harness

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// Program is a node program, built once, with what it is started with.
type Program struct {
	Binary string
	Store  string   // empty: --store is not given
	Listen string   // HOST:PORT, the same after each start; empty: --listen is not given
	Args   []string // beside --store and --listen
	Env    []string
}

// Build compiles the package into a temporary folder and returns the binary's path.
func Build(tb testing.TB, pkg string) string {
	tb.Helper()
	return BuildIn(tb, tb.TempDir(), pkg)
}

// BuildIn is [Build] into this folder.
func BuildIn(tb testing.TB, dir, pkg string) string {
	tb.Helper()
	binary := filepath.Join(dir, filepath.Base(pkg))
	out, err := exec.CommandContext(tb.Context(), "go", "build", "-o", binary, pkg).CombinedOutput()
	if err != nil {
		tb.Fatalf("build %s: %v\n%s", pkg, err, out)
	}
	return binary
}

// Process is a running node program.
type Process struct {
	cmd    *exec.Cmd
	up     chan struct{} // closed when it says that it is up
	ended  chan struct{} // closed when it has exited
	stderr *tail
	err    error
	wg     sync.WaitGroup // who follows its output
}

// Start starts the program and returns at once. The process ends with the test.
func (p Program) Start(tb testing.TB) *Process {
	tb.Helper()
	var args []string
	if p.Store != "" {
		args = append(args, "--store", p.Store)
	}
	if p.Listen != "" {
		args = append(args, "--listen", p.Listen)
	}
	args = append(args, p.Args...)
	proc := &Process{
		cmd: exec.Command(p.Binary, args...), up: make(chan struct{}), ended: make(chan struct{}), stderr: &tail{}, //nolint:noctx // killed by the test, not by a context
	}
	proc.cmd.Env = append(os.Environ(), p.Env...)
	proc.cmd.Stderr = proc.stderr
	dieWithParent(proc.cmd)
	stdout, err := proc.cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := proc.cmd.Start(); err != nil {
		tb.Fatalf("start %s: %v", p.Binary, err)
	}
	proc.wg.Go(func() { proc.follow(stdout) })
	tb.Cleanup(proc.Kill)
	return proc
}

func (p *Process) follow(stdout io.Reader) {
	lines := bufio.NewScanner(stdout)
	for up := false; lines.Scan(); {
		if !up && strings.Contains(lines.Text(), " is up") {
			close(p.up)
			up = true
		}
	}
	p.err = p.cmd.Wait()
	close(p.ended)
}

// AwaitUp waits until the node says that it is up, or fails the test with what it says instead.
func (p *Process) AwaitUp(tb testing.TB, within time.Duration) {
	tb.Helper()
	select {
	case <-p.up:
	case <-p.ended:
		tb.Fatalf("the node ended: %v\n%s", p.err, p.stderr)
	case <-time.After(within):
		tb.Fatalf("the node is not up within %s\n%s", within, p.stderr)
	}
}

// Up is closed when the node has said that it is up; Ended when it has exited.
func (p *Process) Up() <-chan struct{} { return p.up }

// Ended is closed when the process has exited.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Kill ends the process by SIGKILL and waits until it is gone.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
	p.wg.Wait()
}

// Signal sends the process a signal.
func (p *Process) Signal(s os.Signal) error { return p.cmd.Process.Signal(s) }

// ExitCode waits for the end and returns the exit code.
func (p *Process) ExitCode(tb testing.TB, within time.Duration) int {
	tb.Helper()
	select {
	case <-p.ended:
	case <-time.After(within):
		tb.Fatalf("the process has not ended within %s\n%s", within, p.stderr)
	}
	return p.cmd.ProcessState.ExitCode()
}

// Stderr returns the last of what the process wrote to its standard error.
func (p *Process) Stderr() string { return p.stderr.String() }

// Mark returns where the standard error is now, for [Process.Said].
func (p *Process) Mark() int { return p.stderr.written() }

// Said reports whether the process has written this to its standard error since the mark, and not too much after it.
func (p *Process) Said(text string, mark int) bool {
	return strings.Contains(p.stderr.since(mark), text)
}

// Since returns what the process has written to its standard error since the mark, as far as it is kept.
func (p *Process) Since(mark int) string { return p.stderr.since(mark) }

// tail keeps the last of what is written.
type tail struct {
	mu  sync.Mutex
	n   int // bytes written
	buf bytes.Buffer
}

const tailLen = 64 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf.Write(b)
	t.n += len(b)
	if over := t.buf.Len() - tailLen; over > 0 {
		t.buf.Next(over)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buf.String()
}

func (t *tail) written() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.n
}

func (t *tail) since(mark int) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.buf.Bytes()[max(t.buf.Len()-(t.n-mark), 0):])
}

// Connect connects to the program's server and stays connected over restarts.
func (p Program) Connect(tb testing.TB, opts ...nats.Option) *nats.Conn {
	tb.Helper()
	return Connect(tb, fmt.Sprintf("nats://%s", p.Listen), opts...)
}

// Connect connects to servers, which may come later, and stays connected over their restarts.
func Connect(tb testing.TB, urls string, opts ...nats.Option) *nats.Conn {
	tb.Helper()
	opts = append([]nats.Option{
		nats.MaxReconnects(-1), nats.ReconnectWait(20 * time.Millisecond), nats.RetryOnFailedConnect(true),
		nats.Timeout(2 * time.Second), nats.Name("test " + tb.Name()),
	}, opts...)
	nc, err := nats.Connect(urls, opts...)
	if err != nil {
		tb.Fatalf("connect: %v", err)
	}
	tb.Cleanup(nc.Close)
	return nc
}
