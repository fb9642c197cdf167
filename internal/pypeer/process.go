package pypeer

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	// startTimeout is generous: importing the SDK takes a second of CPU time,
	// and a busy machine stretches it.
	startTimeout = 60 * time.Second
	// stopTimeout is how long a child may take for each of the three ways of
	// being ended.
	stopTimeout = 3 * time.Second
)

// greeting is the first line of each script.
type greeting struct {
	Ready    bool              `json:"ready"`
	Port     int               `json:"port"`
	Versions map[string]string `json:"versions"`
}

// process is one running script. Its stdout has one reader, its stdin one user.
type process struct {
	command *exec.Cmd
	stdin   *os.File
	stdout  *bufio.Reader
	hello   greeting
	// done is closed when the process has been reaped.
	done chan struct{}
}

// launch starts a script and waits for its greeting. At the end of the test the
// process is ended and, if the test failed, its stderr is logged.
func launch(t testing.TB, agent Agent, script string, arguments ...string) *process {
	t.Helper()
	where := find(t)
	home := t.TempDir()
	var log tail
	command := exec.Command(where.python, append([]string{"-u", filepath.Join(where.scripts, script)}, arguments...)...)
	command.Dir = home
	command.Env = agent.environment(home)
	command.Stderr = &log
	// A descendant that keeps stderr open must not keep Wait from returning.
	command.WaitDelay = stopTimeout
	stdin, stdout, err := start(command)
	if err != nil {
		t.Fatalf("pypeer: starting %s: %v", script, err)
	}
	p := &process{command: command, stdin: stdin, stdout: bufio.NewReader(stdout), done: make(chan struct{})}
	go func() {
		defer close(p.done)
		_ = command.Wait()
	}()
	t.Cleanup(func() {
		p.stop()
		_ = stdout.Close()
		if t.Failed() {
			t.Logf("%s: %v, stderr:\n%s", script, command.ProcessState, log.String())
		}
	})
	if err := p.greet(stdout); err != nil {
		t.Fatalf("pypeer: %s did not start: %v", script, err)
	}
	return p
}

// start runs the command and returns this end of its stdin and stdout. Both are
// plain pipes, which take deadlines, and Wait does not close them under a reader.
func start(command *exec.Cmd) (stdin, stdout *os.File, err error) {
	childIn, stdin, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	defer childIn.Close()
	stdout, childOut, err := os.Pipe()
	if err != nil {
		_ = stdin.Close()
		return nil, nil, err
	}
	defer childOut.Close()
	command.Stdin, command.Stdout = childIn, childOut
	if err := command.Start(); err != nil {
		_ = stdin.Close()
		_ = stdout.Close()
		return nil, nil, err
	}
	return stdin, stdout, nil
}

// greet reads the first line.
func (p *process) greet(stdout *os.File) error {
	if err := stdout.SetReadDeadline(time.Now().Add(startTimeout)); err != nil {
		return err
	}
	line, err := p.stdout.ReadBytes('\n')
	if err != nil {
		return err
	}
	if err := json.Unmarshal(line, &p.hello); err != nil || !p.hello.Ready {
		return fmt.Errorf("unexpected first line %q", line)
	}
	return stdout.SetReadDeadline(time.Time{})
}

// stop asks the process to leave, then tells it to, then kills it: an SDK agent
// that spins (a message before channel.accept does that) hears only the last two.
// It returns when the process has been reaped.
func (p *process) stop() {
	steps := []func(){
		func() { _ = p.stdin.Close() },
		func() { _ = p.command.Process.Signal(syscall.SIGTERM) },
		func() { _ = p.command.Process.Kill() },
	}
	for _, step := range steps {
		step()
		timer := time.NewTimer(stopTimeout)
		select {
		case <-p.done:
			timer.Stop()
			return
		case <-timer.C:
		}
	}
	<-p.done
}

// kill ends the process without asking it. It returns when the process has been
// reaped.
func (p *process) kill() {
	_ = p.command.Process.Kill()
	<-p.done
}

// tail keeps the last part of what a process writes to stderr. It is safe for
// concurrent use.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const tailSize = 16 << 10

func (l *tail) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	if over := len(l.text) - tailSize; over > 0 {
		l.text = append(l.text[:0], l.text[over:]...)
	}
	return len(p), nil
}

func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(bytes.TrimSpace(l.text))
}
