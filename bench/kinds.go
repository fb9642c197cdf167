package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"github.com/pando-agents/pando"
	"github.com/pando-agents/pando/bench/ask"
	"github.com/pando-agents/pando/bench/floor"
)

// kind is a kind of server that can be measured. One of serve, command
// and build is set. A new kind needs one file with its function and one line in kinds.
type kind struct {
	name string
	// serve runs the server in this program, which is started for it with the
	// command serve-NAME. It listens on addr (host:port, port 0 for any), calls
	// ready once, and returns when ctx is done.
	serve func(ctx context.Context, addr string, ready func(readiness) error) error
	// command starts a server that is another program. It must write a
	// readiness as one line of JSON to its standard output.
	command func() (*exec.Cmd, error)
	// build is the package of a program like this one, which knows the same
	// commands for this kind, and is built first.
	build string
	// call, if set, is the command call-NAME, which asks a server of this kind.
	call func(ctx context.Context, o ask.Options, stdout io.Writer) error
}

// readiness is what a server says about itself once it listens.
type readiness struct {
	// URL is where channels are opened. Port may stand for it: then it is
	// ws://127.0.0.1:PORT/ws.
	URL  string `json:"url,omitempty"`
	Port int    `json:"port,omitempty"`
	// Token is the bearer token for all channels. TokenFile names a file with
	// one per line instead. Neither: the server takes any.
	Token     string `json:"token,omitempty"`
	TokenFile string `json:"token_file,omitempty"`
	// Target is the server's agent id, and Callers names .env files with the
	// credentials of agents that it lets in, by kind of key. A server that
	// verifies nothing has neither.
	Target  string            `json:"target,omitempty"`
	Callers map[string]string `json:"callers,omitempty"`
	// Control is where servers of this program can be looked into.
	Control string `json:"control,omitempty"`
	// PIDs are processes that belong to the server and are not its own.
	PIDs []int `json:"pids,omitempty"`
}

// kinds is the table of servers.
func kinds() []kind {
	return []kind{
		{name: "floor", serve: serveFloor},
		{name: "pando", serve: pandoServer(func(*pando.Agent) error { return nil })},
		{name: "pando-json", serve: pandoServer(echoValues)},
		{name: "python", command: pythonServer, call: callPython},
		{name: "nats", build: "./nats"},
		{name: "pando-remote", serve: pandoServer(exposeActors, manyAtOnce), call: callRemote},
		{name: "gws-rpc", serve: serveRPC, call: callRPC},
		{name: "pando-local", serve: serveNothing, call: callLocal},
	}
}

// serveCommand is the command serve-NAME.
func (k kind) serveCommand(ctx context.Context, args []string, stdout io.Writer) error {
	set := flag.NewFlagSet("serve-"+k.name, flag.ContinueOnError)
	addr := set.String("addr", "127.0.0.1:0", "`host:port` to listen on")
	if err := set.Parse(args); err != nil {
		return err
	}
	control, stop, err := serveControl()
	if err != nil {
		return err
	}
	defer stop()
	return k.serve(ctx, *addr, func(r readiness) error {
		r.Control = control
		return json.NewEncoder(stdout).Encode(r)
	})
}

// callCommand is the command call-NAME.
func (k kind) callCommand(ctx context.Context, args []string, stdout io.Writer) error {
	o, err := ask.Parse("call-"+k.name, args)
	if err != nil {
		return err
	}
	return k.call(ctx, o, stdout)
}

func serveFloor(ctx context.Context, addr string, ready func(readiness) error) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	if err := ready(readiness{URL: "ws://" + ln.Addr().String() + "/ws"}); err != nil {
		return err
	}
	return floor.Serve(ctx, ln)
}

// process makes the command that starts a server of this kind.
func (k kind) process() (*exec.Cmd, error) {
	if k.command != nil {
		return k.command()
	}
	exe, err := k.program()
	if err != nil {
		return nil, err
	}
	return exec.Command(exe, "serve-"+k.name, "--addr", "127.0.0.1:0"), nil
}

// program is this one, or the one that is built for the kind.
func (k kind) program() (string, error) {
	if k.build == "" {
		return os.Executable()
	}
	program, err := filepath.Abs("../bin/bench-" + k.name)
	if err != nil {
		return "", err
	}
	if out, err := exec.Command("go", "build", "-o", program, k.build).CombinedOutput(); err != nil {
		return "", fmt.Errorf("building %s: %w: %s", k.build, err, out)
	}
	return program, nil
}

// selectKinds returns the kinds that are named.
func selectKinds(names []string) ([]kind, error) {
	var chosen []kind
	all := kinds()
	for _, name := range names {
		i := slices.IndexFunc(all, func(k kind) bool { return k.name == name })
		if i < 0 {
			return nil, fmt.Errorf("no server is called %q", name)
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

// usualServers are those that are measured if none are named: with a quick
// plan only those with a budget and the one they are compared with, otherwise
// all that can be started.
func usualServers(p plan) []string {
	if !p.all {
		return []string{"floor", "pando"}
	}
	names := []string{"floor", "pando", "pando-json"}
	if _, err := pythonInterpreter(); err == nil {
		names = append(names, "python")
	}
	return names
}
