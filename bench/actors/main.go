// Command actors measures what actors and supervision cost: Pando's, a
// goroutine with a channel and nothing else, protoactor-go as it comes, suture
// and hollywood, over and over in turns. See ../README.md.
//
//	go run ./actors
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"

	"github.com/pando-agents/pando/bench/actors/measure"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := dispatch(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "actors:", err)
		stop()
		os.Exit(1)
	}
}

// dispatch compares everything, or is the process of one measurement.
func dispatch(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) > 0 && args[0] == "measure" {
		var own []measure.Library
		for _, l := range libraries() {
			own = append(own, l.Library)
		}
		return measure.Command(own, args[1:], stdout)
	}
	set := flag.NewFlagSet("actors", flag.ContinueOnError)
	set.SetOutput(stderr)
	asJSON := set.Bool("json", false, "print everything as JSON instead of a table")
	rounds := set.Int("rounds", 5, "how often everything is measured")
	scale := set.Float64("scale", 1, "factor for how much is done in one measurement")
	only := set.String("cases", "", "`regular expression` that chooses cases by name")
	check := set.Bool("check", false, "fail when a figure is over 1.5 × its target")
	names := set.String("libraries", "", "comma-separated `names` (default: all)")
	if err := set.Parse(args); err != nil {
		return err
	}
	if set.NArg() > 0 || *rounds < 1 || *scale <= 0 {
		return fmt.Errorf("flags only, --rounds from 1, --scale above 0; got %q", set.Args())
	}
	r, err := newRun(*only, *names)
	if err != nil {
		return err
	}
	r.rounds, r.scale, r.log = *rounds, *scale, stderr
	dir, err := os.MkdirTemp("", "bench-actors-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	out, err := r.all(ctx, programs{dir}.measure)
	if err != nil {
		return err
	}
	if *asJSON {
		err = json.NewEncoder(stdout).Encode(out)
	} else {
		err = out.table(stdout)
	}
	if err != nil || !*check {
		return err
	}
	return out.check()
}

// newRun chooses cases and libraries.
func newRun(only, names string) (*run, error) {
	pattern, err := regexp.Compile(only)
	if err != nil {
		return nil, err
	}
	r := &run{}
	for _, c := range cases() {
		if pattern.MatchString(c.name) {
			r.cases = append(r.cases, c)
		}
	}
	if len(r.cases) == 0 {
		return nil, fmt.Errorf("no case matches %q", only)
	}
	r.libraries = libraries()
	if names == "" {
		return r, nil
	}
	r.libraries = nil
	for name := range strings.SplitSeq(names, ",") {
		l, ok := libraryNamed(name)
		if !ok {
			return nil, fmt.Errorf("no library %q", name)
		}
		r.libraries = append(r.libraries, l)
	}
	return r, nil
}
