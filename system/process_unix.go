//go:build unix

package system

import (
	"os/exec"
	"syscall"
)

// apart gives a process a group of its own: Ctrl-C on the terminal is for the
// supervisor to hear, which stops the others in order.
func apart(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// kill ends a process, and those that it has started.
func kill(cmd *exec.Cmd) { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
