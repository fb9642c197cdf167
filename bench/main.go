// Command bench measures Pando side by side with other servers of the Authed
// channel protocol 1.0, and with other ways to ask a process for an answer, on one
// machine: the same load, one server after the other, over and over. See README.md.
//
//	go run . run --quick
//	go run . ask --quick
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/pando-agents/pando/bench/cut"
	"github.com/pando-agents/pando/bench/load"
	"github.com/pando-agents/pando/identity"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := dispatch(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

// dispatch runs one command.
func dispatch(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	commands := map[string]func(context.Context, []string, io.Writer) error{
		"load":           loadCommand,
		"open":           openCommand,
		"idle":           idleCommand,
		"cut":            cutCommand,
		"serve-registry": registryCommand,
	}
	names := "run, ask, load, open, idle, cut, serve-registry"
	for _, s := range []suite{serverSuite(), askSuite()} {
		commands[s.name] = func(ctx context.Context, args []string, stdout io.Writer) error {
			return s.command(ctx, args, stdout, stderr)
		}
	}
	for _, k := range kinds() {
		if k.serve != nil {
			commands["serve-"+k.name] = k.serveCommand
			names += ", serve-" + k.name
		}
		if k.call != nil {
			commands["call-"+k.name] = k.callCommand
			names += ", call-" + k.name
		}
	}
	if len(args) == 0 || commands[args[0]] == nil {
		return fmt.Errorf("say which command: %s (and -h for its flags)", names)
	}
	return commands[args[0]](ctx, args[1:], stdout)
}

// targetFlags are what all load commands have in common.
type targetFlags struct {
	url, tokens, control string
	pid                  int
	dialler
}

// dialler is an agent that dials: its credentials and whom it calls.
type dialler struct{ credentials, target string }

func (f *targetFlags) define(set *flag.FlagSet) {
	set.StringVar(&f.url, "url", "", "server `address`, ws://host:port/path")
	set.StringVar(&f.tokens, "token-file", "", "`file` with one bearer token per line, used in turn")
	set.IntVar(&f.pid, "pid", 0, "server `process` whose processor time and memory are measured")
	set.StringVar(&f.control, "control", "", "`address` of the server's control listener, http://host:port")
	f.dialler.define(set)
}

func (d *dialler) define(set *flag.FlagSet) {
	set.StringVar(&d.credentials, "credentials", "", "`.env file` of the agent that dials, to prove its key at each handshake")
	set.StringVar(&d.target, "target", "", "agent `id` of the server")
}

func (f *targetFlags) targeting() (load.Target, error) {
	tokens, err := load.ReadTokens(f.tokens)
	t := load.Target{URL: f.url, Tokens: tokens, PID: f.pid, Control: f.control}
	if err != nil || f.credentials == "" {
		return t, err
	}
	credentials, err := identity.FromFile(f.credentials)
	if err != nil {
		return t, err
	}
	client, err := identity.NewClient(identity.ClientOptions{Credentials: credentials, Logger: quiet()})
	if err != nil {
		return t, err
	}
	// The client lives as long as the process.
	t.Header = func(ctx context.Context) (http.Header, error) {
		header, _, err := client.DialHeader(ctx, f.target, f.url)
		return header, err
	}
	return t, nil
}

// parse parses a load command's flags and returns the target they name.
func parse(set *flag.FlagSet, args []string) (load.Target, error) {
	var f targetFlags
	f.define(set)
	if err := parseAll(set, args); err != nil {
		return load.Target{}, err
	}
	return f.targeting()
}

func parseAll(set *flag.FlagSet, args []string) error {
	if err := set.Parse(args); err != nil {
		return err
	}
	if set.NArg() > 0 {
		return fmt.Errorf("%s: unexpected %s", set.Name(), strings.Join(set.Args(), " "))
	}
	return nil
}

func loadCommand(ctx context.Context, args []string, stdout io.Writer) error {
	set := flag.NewFlagSet("load", flag.ContinueOnError)
	var o load.SteadyOptions
	set.IntVar(&o.Channels, "channels", 64, "channels")
	set.IntVar(&o.InFlight, "in-flight", 1, "requests under way per channel")
	set.IntVar(&o.Payload, "payload", 128, "`bytes` of text per request")
	set.Uint64Var(&o.Requests, "requests", 0, "stop after so many requests instead of after the window")
	set.DurationVar(&o.Warmup, "warmup", time.Second, "load before the measured window")
	set.DurationVar(&o.Window, "window", 5*time.Second, "measured window")
	set.BoolVar(&o.WriteEach, "write-each", false, "write each request on its own")
	target, err := parse(set, args)
	if err != nil {
		return err
	}
	report, err := load.Steady(ctx, target, o)
	return finish(stdout, &report, err)
}

func openCommand(ctx context.Context, args []string, stdout io.Writer) error {
	set := flag.NewFlagSet("open", flag.ContinueOnError)
	var o load.OpenOptions
	set.IntVar(&o.Concurrency, "concurrency", 16, "channels being opened at a time")
	set.Uint64Var(&o.Requests, "requests", 0, "stop after so many channels instead of after the window")
	set.DurationVar(&o.Warmup, "warmup", time.Second, "load before the measured window")
	set.DurationVar(&o.Window, "window", 5*time.Second, "measured window")
	target, err := parse(set, args)
	if err != nil {
		return err
	}
	report, err := load.Open(ctx, target, o)
	return finish(stdout, &report, err)
}

func idleCommand(ctx context.Context, args []string, stdout io.Writer) error {
	set := flag.NewFlagSet("idle", flag.ContinueOnError)
	var o load.IdleOptions
	set.IntVar(&o.Channels, "channels", 9000, "channels")
	set.DurationVar(&o.Heartbeat, "heartbeat", 30*time.Second, "time between two heartbeats of a channel")
	set.IntVar(&o.Rounds, "rounds", 1, "heartbeats of each channel before memory is read")
	set.StringVar(&o.HeapProfile, "heap", "", "`file` for a profile of the server's heap")
	target, err := parse(set, args)
	if err != nil {
		return err
	}
	if err := raiseDescriptorLimit(o.Channels); err != nil {
		return err
	}
	report, err := load.Idle(ctx, target, o)
	return finish(stdout, &report, err)
}

func cutCommand(ctx context.Context, args []string, stdout io.Writer) error {
	set := flag.NewFlagSet("cut", flag.ContinueOnError)
	var d dialler
	d.define(set)
	var o cut.Options
	set.StringVar(&o.URL, "url", "", "server `address`, ws://host:port/path")
	set.IntVar(&o.Cuts, "cuts", 60, "how often the connection is cut")
	if err := parseAll(set, args); err != nil {
		return err
	}
	o.Target, o.Logger = d.target, quiet()
	var err error
	if o.Credentials, err = identity.FromFile(d.credentials); err != nil {
		return err
	}
	report, err := cut.Run(ctx, o)
	return finish(stdout, &report, err)
}

// finish prints a report and makes the command fail when the report says so.
func finish(stdout io.Writer, report interface{ Err() error }, err error) error {
	if err != nil {
		return err
	}
	if err := json.NewEncoder(stdout).Encode(report); err != nil {
		return err
	}
	return report.Err()
}
