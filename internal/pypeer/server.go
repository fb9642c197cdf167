package pypeer

import (
	"fmt"
	"strconv"
	"testing"
	"time"
)

// Server is a Python agent that listens. Its handlers are the SDK's own for
// "request" (echoes data.text) and: "echo" (answers a response with the same data),
// "slow" (the same after data.seconds, 0.2 by default), "task.start" (answers
// "task.done" with the same data), "fail" (raises) and "silent" (answers nothing).
type Server struct {
	// URL is the ws:// address of the channel endpoint.
	URL string
	// Health is the http:// address that answers {"status":"ok","channels":n}
	// with the number of channels open at the moment.
	Health string
	// Versions are those of Python and the packages, by name.
	Versions map[string]string

	agent     Agent
	arguments []string
	process   *process
}

// NewServer starts a listening Python agent on a free loopback port and returns
// when it listens. ping is its WebSocket ping interval, and also how long it waits
// for a pong (20 s at most); 0 means uvicorn's default, 20 s.
func NewServer(t testing.TB, agent Agent, ping time.Duration) *Server {
	t.Helper()
	var arguments []string
	if ping > 0 {
		arguments = []string{"--ping-interval", strconv.FormatFloat(ping.Seconds(), 'f', -1, 64)}
	}
	p := launch(t, agent, "server.py", arguments...)
	address := fmt.Sprintf("127.0.0.1:%d", p.hello.Port)
	return &Server{
		URL:       "ws://" + address + "/ws",
		Health:    "http://" + address + "/health",
		Versions:  p.hello.Versions,
		agent:     agent,
		arguments: append(arguments, "--port", strconv.Itoa(p.hello.Port)),
		process:   p,
	}
}

// Kill ends the process as a crash would (SIGKILL) and returns when it is gone.
func (s *Server) Kill() { s.process.kill() }

// Restart starts the agent anew on the same port, after [Server.Kill].
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.process = launch(t, s.agent, "server.py", s.arguments...)
}
