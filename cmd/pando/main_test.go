package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// binary is the program under test, built once.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "pando-test-")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "pando")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		panic(fmt.Sprintf("%v: %s", err, out))
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// patienceOfTests ends what hangs.
const patienceOfTests = 30 * time.Second

// command is the program with nothing of our own environment that matters.
func command(t *testing.T, dir string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patienceOfTests)
	t.Cleanup(cancel)
	c := exec.CommandContext(ctx, binary, args...)
	c.Dir = dir
	c.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + os.TempDir()}
	return c
}

// result is how a process ended.
type result struct {
	code        int
	out, stderr string
}

// runPando runs the program to its end.
func runPando(t *testing.T, dir string, args ...string) result {
	t.Helper()
	return finish(t, command(t, dir, args...))
}

func finish(t *testing.T, c *exec.Cmd) result {
	t.Helper()
	var out, stderr bytes.Buffer
	c.Stdout, c.Stderr = &out, &stderr
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%v: %v", c.Args, err)
	}
	var said strings.Builder
	for l := range strings.Lines(stderr.String()) {
		if !strings.HasPrefix(l, "pando: still waiting") { // on a busy machine
			said.WriteString(l)
		}
	}
	return result{c.ProcessState.ExitCode(), out.String(), said.String()}
}

// must runs the program and expects it to succeed without complaints.
func must(t *testing.T, dir string, args ...string) string {
	t.Helper()
	r := runPando(t, dir, args...)
	if r.code != 0 || r.stderr != "" {
		t.Fatalf("pando %v: code %d\n%s%s", args, r.code, r.out, r.stderr)
	}
	return r.out
}

// fails runs the program and expects one line about why it did not succeed.
func fails(t *testing.T, code int, says, dir string, args ...string) {
	t.Helper()
	r := runPando(t, dir, args...)
	if r.code != code {
		t.Errorf("pando %v: code %d, want %d\n%s%s", args, r.code, code, r.out, r.stderr)
	}
	if strings.Count(r.stderr, "\n") != 1 || !strings.HasPrefix(r.stderr, "pando: ") || !strings.Contains(r.stderr, says) {
		t.Errorf("pando %v: stderr is not one line with %q: %q", args, says, r.stderr)
	}
}

// process is a program that runs until it is told to stop.
type process struct {
	cmd   *exec.Cmd
	lines chan string
	ended chan struct{}

	mu    sync.Mutex
	log   bytes.Buffer
	wrote chan struct{} // closed when more is logged; nil while nobody waits
}

func (s *process) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wakeLocked()
	return s.log.Write(p)
}

func (s *process) wakeLocked() {
	if s.wrote != nil {
		close(s.wrote)
		s.wrote = nil
	}
}

// says waits until the process has logged text.
func (s *process) says(t *testing.T, text string) {
	t.Helper()
	for {
		s.mu.Lock()
		if strings.Contains(s.log.String(), text) {
			s.mu.Unlock()
			return
		}
		if s.wrote == nil {
			s.wrote = make(chan struct{})
		}
		wrote := s.wrote
		s.mu.Unlock()
		select {
		case <-wrote:
		case <-s.ended:
			t.Fatalf("%v ended before it said %q: %s", s.cmd.Args, text, s.logged())
		}
	}
}

func (s *process) logged() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

func start(t *testing.T, dir string, args ...string) *process {
	t.Helper()
	s := &process{cmd: command(t, dir, args...), lines: make(chan string, 100), ended: make(chan struct{})}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.cmd.Stderr = s
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(s.ended)
		sc := bufio.NewScanner(out)
		for sc.Scan() {
			s.lines <- sc.Text()
		}
		close(s.lines)
		_, _ = io.Copy(io.Discard, out)
		_ = s.cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill()
		<-s.ended
	})
	return s
}

// value waits for the line that begins with name and returns the rest of it.
func (s *process) value(t *testing.T, name string) string {
	t.Helper()
	for l := range s.lines {
		if v, ok := strings.CutPrefix(l, name+": "); ok {
			return v
		}
	}
	t.Fatalf("%v ended before it printed %q: %s", s.cmd.Args, name, s.logged())
	return ""
}

// stop asks the server to end and expects it to do so in good order.
func (s *process) stop(t *testing.T, sig syscall.Signal) {
	t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
	<-s.ended
	if code := s.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("%v: code %d after %v: %s", s.cmd.Args, code, sig, s.logged())
	}
}

// world is an identity registry with two agents that permit each other.
type world struct {
	dir            string
	registry       *process
	url, ca        string
	alice, bob     string // ids
	aliceEnv, bobs string // files
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{dir: t.TempDir(), aliceEnv: "alice.env", bobs: "bob.env"}
	w.registry = start(t, w.dir, "identity", "serve", "--addr", "127.0.0.1:0", "--data", "registry", "--tls-dev")
	w.url = w.registry.value(t, "identity registry")
	w.ca = w.registry.value(t, "certificate authority")
	w.alice = w.setup(t, w.aliceEnv, "--key-type", "ed25519") // RSA keys take their time
	w.bob = w.setup(t, w.bobs, "--key-type", "ed25519")
	return w
}

func (w *world) setup(t *testing.T, file string, more ...string) (agent string) {
	t.Helper()
	args := append([]string{"init", "setup", "--registry-url", w.url, "--ca", w.ca, "--env-file", file}, more...)
	for l := range strings.Lines(must(t, w.dir, args...)) {
		if id, ok := strings.CutPrefix(l, "agent: "); ok {
			return strings.TrimSpace(id)
		}
	}
	t.Fatal("init setup tells no agent id")
	return ""
}

func (w *world) allow(t *testing.T) {
	t.Helper()
	must(t, w.dir, "permissions", "grant", w.alice, "--type", "allow_agent", "--target-id", w.bob, "--env-file", w.aliceEnv)
	must(t, w.dir, "permissions", "grant", w.bob, "--type", "allow_agent", "--target-id", w.alice, "--env-file", w.bobs)
}
