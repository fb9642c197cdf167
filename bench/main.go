// Command bench measures Pando side by side with other servers of the Authed
// channel protocol 1.0 on one machine: the same load, one server after the
// other, over and over. See README.md.
//
//	go run . run --quick
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/pando-agents/pando/bench/load"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := dispatch(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

// dispatch runs one command.
func dispatch(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	commands := map[string]func(context.Context, []string, io.Writer) error{
		"load": loadCommand,
		"open": openCommand,
		"idle": idleCommand,
		"run": func(ctx context.Context, args []string, stdout io.Writer) error {
			return runCommand(ctx, args, stdout, stderr)
		},
	}
	names := "run, load, open, idle"
	for _, k := range kinds() {
		if k.serve != nil {
			commands["serve-"+k.name] = k.serveCommand
			names += ", serve-" + k.name
		}
	}
	if len(args) == 0 || commands[args[0]] == nil {
		return fmt.Errorf("say which command: %s (and -h for its flags)", names)
	}
	return commands[args[0]](ctx, args[1:], stdout)
}

// targetFlags are what all load commands have in common.
type targetFlags struct {
	url, tokens string
	pid         int
}

func (f *targetFlags) define(set *flag.FlagSet) {
	set.StringVar(&f.url, "url", "", "server `address`, ws://host:port/path")
	set.StringVar(&f.tokens, "token-file", "", "`file` with one bearer token per line, used in turn")
	set.IntVar(&f.pid, "pid", 0, "server `process` whose processor time and memory are measured")
}

func (f *targetFlags) target() (load.Target, error) {
	tokens, err := load.ReadTokens(f.tokens)
	return load.Target{URL: f.url, Tokens: tokens, PID: f.pid}, err
}

// parse parses a load command's flags and returns the target they name.
func parse(set *flag.FlagSet, args []string) (load.Target, error) {
	var f targetFlags
	f.define(set)
	if err := set.Parse(args); err != nil {
		return load.Target{}, err
	}
	if set.NArg() > 0 {
		return load.Target{}, fmt.Errorf("%s: unexpected %s", set.Name(), strings.Join(set.Args(), " "))
	}
	return f.target()
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
