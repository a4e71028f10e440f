package input

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/perdure/perdure/test/harness"
)

// TestDisk_Full fills the disk under a node: what was acknowledged survives, what was not is refused or unknown, and the
// node works again when there is room and it is started again.
func TestDisk_Full(t *testing.T) {
	p := program(t)
	if err := os.MkdirAll(p.Store, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", p.Store, "tmpfs", 0, "size=64m"); err != nil {
		t.Fatalf("this test needs the right to mount a small tmpfs (root, CAP_SYS_ADMIN): %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(p.Store, syscall.MNT_DETACH) })
	node := p.Start(t)
	node.AwaitUp(t, 20*time.Second)
	nc := p.Connect(t)
	harness.Ask(t, nc, "call.tally.a.add", []byte(`{"n":1}`))

	ballast := filepath.Join(p.Store, "ballast")
	fill(t, ballast)
	sum, refused, full := 1, 0, time.Time{}
	text := strings.Repeat("x", 4000)
	for i := 0; refused == 0 && i < 5000; i++ {
		r, err := harness.TryAsk(t.Context(), nc, "call.tally.a.add", fmt.Appendf(nil, `{"n":1,"more":%q}`, text), 10*time.Second, "Perdure-Call-Id", fmt.Sprint("id-", i))
		switch {
		case err != nil || r.Code != 0:
			refused, full = refused+1, time.Now()
			t.Logf("call %d: %d %s %v", i, r.Code, r.Data, err)
		default:
			sum++
			if string(r.Data) != fmt.Sprint(sum) {
				t.Fatalf("call %d: got %s, want %d", i, r.Data, sum)
			}
		}
	}
	if refused == 0 {
		t.Fatal("the disk was never full")
	}
	select {
	case <-node.Ended(): // a stream that had a write error takes nothing more until the server is started again
		lines := strings.Split(strings.TrimSpace(node.Stderr()), "\n")
		code := node.ExitCode(t, time.Second)
		t.Logf("the node ended %s after the disk was full, exit code %d: %s", time.Since(full), code, lines[len(lines)-1])
		if code != 1 || !strings.Contains(lines[len(lines)-1], "no space") {
			t.Errorf("exit code %d, last line %s: want 1 and the cause", code, lines[len(lines)-1])
		}
	case <-time.After(30 * time.Second):
		t.Errorf("the node goes on though its log takes nothing more: %s", node.Stderr())
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	node.Kill()
	node = p.Start(t)
	node.AwaitUp(t, 20*time.Second)
	harness.Eventually(t, 10*time.Second, func() string {
		if !nc.IsConnected() {
			return "not connected"
		}
		return ""
	})
	got := string(harness.Ask(t, nc, "call.tally.a.get", nil).Data)
	if got != fmt.Sprint(sum) && got != fmt.Sprint(sum+1) { // the call that failed may have been applied
		t.Errorf("after the disk was full: %s, acknowledged %d", got, sum)
	}
	if r := harness.Ask(t, nc, "call.tally.a.add", []byte(`{"n":1}`)); r.Code != 0 {
		t.Errorf("a call when there is room again: %v", r.Err)
	}
	logs, _ := harness.Logs(t, nc)
	harness.CheckLogs(t, logs)
}

// fill writes until nothing more fits, and gives a little back.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 64<<10)
	size := int64(0)
	for {
		n, err := f.Write(block)
		size += int64(n)
		if err != nil {
			break
		}
	}
	if err := f.Truncate(max(0, size-256<<10)); err != nil {
		t.Fatal(err)
	}
}
