// Package ask is what the callers of all systems have in common that are compared
// by how fast one process gets answers from another.
package ask

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pando-agents/pando/bench/load"
)

// Text is what is sent, as {"text": …}, and comes back.
type Text struct {
	Text string `json:"text"`
}

// Name is what the actor, or whatever takes its place, with a number is called.
func Name(number int) string { return "echo-" + strconv.Itoa(number) }

// Options says who is asked, and how.
type Options struct {
	// URL is the server, Target its agent id, Credentials the file of the agent
	// that asks.
	URL, Target, Credentials string
	// Actors is how many there are. With more than one, a call asks each of them
	// at the same time, and ends when the last one has answered.
	Actors int
	// Payload is the length of the text in bytes.
	Payload int
	load.CallOptions
}

// Parse reads the flags of a command that asks.
func Parse(command string, args []string) (Options, error) {
	set := flag.NewFlagSet(command, flag.ContinueOnError)
	var o Options
	set.StringVar(&o.URL, "url", "", "`address` of the server")
	set.StringVar(&o.Credentials, "credentials", "", "`.env file` of the agent that asks")
	set.StringVar(&o.Target, "target", "", "agent `id` of the server")
	set.IntVar(&o.Actors, "actors", 1, "actors that a call asks, all at once")
	set.IntVar(&o.Payload, "payload", 128, "`bytes` of text per request")
	set.IntVar(&o.InFlight, "in-flight", 1, "calls under way")
	set.DurationVar(&o.Warmup, "warmup", time.Second, "calls before the measured window")
	set.DurationVar(&o.Window, "window", 5*time.Second, "measured window")
	set.Func("pids", "comma-separated `processes` whose processor time counts too", func(list string) error {
		for _, s := range strings.Split(list, ",") {
			pid, err := strconv.Atoi(s)
			if err != nil {
				return err
			}
			o.PIDs = append(o.PIDs, pid)
		}
		return nil
	})
	if err := set.Parse(args); err != nil {
		return o, err
	}
	if o.Actors < 1 || o.Payload < 0 || set.NArg() > 0 {
		return o, fmt.Errorf("%s: %d actors, %d bytes, %d arguments more", command, o.Actors, o.Payload, set.NArg())
	}
	return o, nil
}

// Call asks the actor with a number and returns what it answers.
type Call func(ctx context.Context, number int, text string) (string, error)

var errOther = errors.New("the answer is not what was asked")

// Run asks as the options say and prints the report. All calls have one deadline,
// as in a handler that asks others: a timer for each is not what is measured.
func Run(ctx context.Context, o Options, stdout io.Writer, call Call) error {
	ctx, cancel := context.WithTimeout(ctx, o.Warmup+o.Window+time.Minute)
	defer cancel()
	text := strings.Repeat("The quick brown fox jumps over the lazy dog. ", o.Payload/45+1)[:o.Payload]
	one := func(ctx context.Context, number int) error {
		got, err := call(ctx, number, text)
		if err == nil && got != text {
			err = errOther
		}
		return err
	}
	all := func(ctx context.Context) error { return one(ctx, 0) }
	if o.Actors > 1 {
		all = func(ctx context.Context) error { return everyone(ctx, o.Actors, one) }
	}
	report, err := load.Calls(ctx, o.CallOptions, all)
	report.PayloadBytes = o.Payload
	if err != nil {
		return err
	}
	if err := json.NewEncoder(stdout).Encode(report); err != nil {
		return err
	}
	return report.Err()
}

// everyone asks n actors at once.
func everyone(ctx context.Context, n int, one func(context.Context, int) error) error {
	errs := make([]error, n)
	var running sync.WaitGroup
	for i := range n {
		running.Go(func() { errs[i] = one(ctx, i) })
	}
	running.Wait()
	for _, err := range errs {
		if err != nil {
			return err // they tend to be all alike
		}
	}
	return nil
}
