package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"
)

// startTimeout is how long a server may take until it listens, stopTimeout
// how long until it has ended after SIGTERM.
const (
	startTimeout = 30 * time.Second
	stopTimeout  = 10 * time.Second
)

// server is a running server process.
type server struct {
	kind   kind
	cmd    *exec.Cmd
	stdin  io.Closer // held open: some servers leave when it is closed
	ready  readiness
	tokens string // file; empty for none
	temp   string // file to remove; empty for none
}

// startServer starts a server, with some more in its environment, and waits
// until it listens.
func startServer(ctx context.Context, k kind, environment ...string) (*server, error) {
	cmd, err := k.process()
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", k.name, err)
	}
	if cmd.Stderr == nil {
		cmd.Stderr = os.Stderr
	}
	if len(environment) > 0 {
		cmd.Env = append(cmd.Environ(), environment...)
	}
	stdin, errIn := cmd.StdinPipe()
	stdout, errOut := cmd.StdoutPipe()
	if err := errors.Join(errIn, errOut); err != nil {
		return nil, fmt.Errorf("starting %s: %w", k.name, err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", k.name, err)
	}
	s := &server{kind: k, cmd: cmd, stdin: stdin}
	if err := s.awaitReady(ctx, stdout); err != nil {
		s.stop()
		return nil, fmt.Errorf("starting %s: %w", k.name, err)
	}
	return s, nil
}

// awaitReady reads the line of readiness, and drops what is written later.
func (s *server) awaitReady(ctx context.Context, stdout io.Reader) error {
	lines := make(chan string, 1)
	go func() {
		r := bufio.NewReader(stdout)
		line, _ := r.ReadString('\n')
		lines <- line
		_, _ = io.Copy(io.Discard, r)
	}()
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	select {
	case line := <-lines:
		if err := json.Unmarshal([]byte(line), &s.ready); err != nil {
			return fmt.Errorf("reading its readiness %q: %w", line, err)
		}
	case <-ctx.Done():
		return fmt.Errorf("waiting for its readiness: %w", ctx.Err())
	}
	if s.ready.URL == "" && s.ready.Port > 0 {
		s.ready.URL = "ws://127.0.0.1:" + strconv.Itoa(s.ready.Port) + "/ws"
	}
	if s.ready.URL == "" {
		return errors.New("it did not say where it listens")
	}
	s.tokens = s.ready.TokenFile
	if s.ready.Token == "" {
		return nil
	}
	return s.keepToken(s.ready.Token)
}

// keepToken puts the token where only the load process looks: arguments and
// environments can be seen by others.
func (s *server) keepToken(token string) error {
	f, err := os.CreateTemp("", "bench-token-*") // mode 0600
	if err != nil {
		return err
	}
	s.temp, s.tokens = f.Name(), f.Name()
	_, err = f.WriteString(token + "\n")
	return errors.Join(err, f.Close())
}

// stop ends the process, gently at first.
func (s *server) stop() {
	if s.temp != "" {
		_ = os.Remove(s.temp)
	}
	_ = s.stdin.Close()
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	kill := time.AfterFunc(stopTimeout, func() { _ = s.cmd.Process.Kill() })
	defer kill.Stop()
	_ = s.cmd.Wait()
}

// runLoad runs one of the load commands against the server in a process of
// its own, and decodes its report.
func (s *server) runLoad(ctx context.Context, report any, command string, args ...string) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	args = append([]string{command, "--url", s.ready.URL}, args...)
	if command != "cut" {
		args = append(args, "--pid", strconv.Itoa(s.cmd.Process.Pid), "--token-file", s.tokens, "--control", s.ready.Control)
	}
	cmd := exec.CommandContext(ctx, exe, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("%s against %s: %w", command, s.kind.name, err)
	}
	if err := json.Unmarshal(out, report); err != nil {
		return fmt.Errorf("%s against %s: reading the report: %w", command, s.kind.name, err)
	}
	return nil
}

// raiseDescriptorLimit makes room for so many connections in this process and
// in those it starts.
func raiseDescriptorLimit(connections int) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("reading the limit of descriptors: %w", err)
	}
	// Some are needed for files, pipes and the poller.
	if need := uint64(connections) + 100; limit.Max < need {
		return fmt.Errorf("%d connections need %d descriptors, the hard limit is %d", connections, need, limit.Max)
	}
	limit.Cur = limit.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("raising the limit of descriptors: %w", err)
	}
	return nil
}
