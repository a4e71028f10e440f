package harness

import (
	"os/exec"
	"syscall"
)

// dieWithParent has the kernel kill the process when the test that started it is gone, also one that is stopped.
func dieWithParent(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
