package system

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/pando-agents/pando/supervisor"
)

// process is an agent in a process of its own. It may be served again and again.
type process struct {
	world *world
	agent string
	argv  []string
	env   []string // beside that of this process
	dir   string   // where it runs; empty: here
	// probe is the address of a process that does not tell itself when it takes
	// channels.
	probe string

	mu      sync.Mutex
	running *exec.Cmd
}

// stopGrace is how long a process may take to end after SIGTERM; then it is
// killed. Agents drain for up to 10 s.
const stopGrace = 12 * time.Second

// Serve runs the process once. Its end is a failure unless ctx has ended.
func (p *process) Serve(ctx context.Context) error {
	cmd := exec.Command(p.argv[0], p.argv[1:]...)
	cmd.Dir, cmd.Env = p.dir, append(os.Environ(), p.env...)
	out, complaints := &lines{each: p.line}, &lines{each: p.line}
	cmd.Stdout, cmd.Stderr = out, complaints
	cmd.WaitDelay = time.Second // for what it has left behind with its stdout
	apart(cmd)
	stdin, err := cmd.StdinPipe() // ends when this process does, however that ends
	if err != nil {
		return err
	}
	defer func() { _ = stdin.Close() }()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	p.set(cmd)
	p.world.tell(Event{Kind: EventUp, Agent: p.agent, PID: cmd.Process.Pid, Text: "starts"})
	var probing sync.WaitGroup
	defer probing.Wait()
	over, stop := context.WithCancel(ctx)
	defer stop()
	if p.probe != "" {
		probing.Go(func() { p.watch(over) })
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err = <-ended:
	case <-ctx.Done():
		_ = cmd.Process.Signal(syscall.SIGTERM)
		t := time.AfterFunc(stopGrace, func() { kill(cmd) })
		err = <-ended
		t.Stop()
	}
	p.set(nil)
	kill(cmd) // what it has started
	out.flush()
	complaints.flush()
	switch {
	case ctx.Err() != nil:
		return nil
	case err == nil:
		return errors.New("the process has ended")
	}
	return err
}

// watch tells when somebody listens where the process is to.
func (p *process) watch(ctx context.Context) {
	var d net.Dialer
	for pauseFor(ctx, 50*time.Millisecond) {
		if conn, err := d.DialContext(ctx, "tcp", p.probe); err == nil {
			_ = conn.Close()
			p.world.tell(Event{Kind: EventUp, Agent: p.agent, Text: "runs"})
			return
		}
	}
}

func (p *process) set(cmd *exec.Cmd) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running = cmd
}

// killNow ends the process with SIGKILL.
func (p *process) killNow() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running != nil {
		kill(p.running)
	}
}

// line passes on what the process has written: what is an event as it is.
func (p *process) line(text []byte) {
	var e Event
	if len(text) > 0 && text[0] == '{' && json.Unmarshal(text, &e) == nil && e.Kind != "" {
		e.Agent = p.agent
		p.world.tell(e)
		return
	}
	p.world.tell(Event{Kind: EventOutput, Agent: p.agent, Text: string(bytes.ToValidUTF8(text, []byte("?")))})
}

// processChild supervises a process.
func processChild(p *process) supervisor.Spec {
	return supervisor.Spec{ID: p.agent, Shutdown: shutdown, Service: p}
}

// maxLine is how much of a line is kept.
const maxLine = 64 << 10

// lines splits what is written into lines. It has one writer at a time.
type lines struct {
	each func([]byte)
	rest []byte
}

func (l *lines) Write(p []byte) (int, error) {
	n := len(p)
	for {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			break
		}
		l.add(p[:i])
		l.flush()
		p = p[i+1:]
	}
	l.add(p)
	return n, nil
}

func (l *lines) add(p []byte) { l.rest = append(l.rest, p[:min(len(p), maxLine-len(l.rest))]...) }

func (l *lines) flush() {
	if text := bytes.TrimRight(l.rest, "\r"); len(text) > 0 {
		l.each(text)
	}
	l.rest = l.rest[:0]
}
