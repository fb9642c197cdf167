package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"
)

// slack is how far above its budget a figure may be before a checked run
// fails: shared machines are noisy.
const slack = 1.5

var errOverBudget = errors.New("over budget by more than half")

// outcome is all that a run has found out.
type outcome struct {
	Environment environment `json:"environment"`
	Results     []result    `json:"results"`
}

// environment is what the figures depend on.
type environment struct {
	Date       time.Time `json:"date"`
	Commit     string    `json:"commit"`
	Go         string    `json:"go"`
	Kernel     string    `json:"kernel"`
	CPU        string    `json:"cpu"`
	CPUs       int       `json:"cpus"`
	GOMAXPROCS int       `json:"gomaxprocs"`
	// Load is the load average of the minute before the run.
	Load string `json:"load"`
}

// result is one case on one server.
type result struct {
	Case   string   `json:"case"`
	Server string   `json:"server"`
	Unit   string   `json:"unit"`
	Rounds []figure `json:"rounds"`
	Median float64  `json:"median"`
	// Ratio is the median of the rounds' ratios to the first server's.
	Ratio float64 `json:"ratio,omitempty"`
	// Must is the budget in the terms of Ratio, or of Median if MustUnit is
	// set; 0 when there is none.
	Must     float64 `json:"must,omitempty"`
	MustUnit string  `json:"must_unit,omitempty"`
}

// compared is the number that Must limits.
func (r result) compared() float64 {
	if r.MustUnit != "" {
		return r.Median
	}
	return r.Ratio
}

type runner struct {
	plan     plan
	profiles string // directory; empty for none
	kinds    []kind
	cases    []benchCase
	log      io.Writer
	started  time.Time
}

// suite is one comparison.
type suite struct {
	name   string // of its command
	loaded bool   // by the load commands: there are profiles and idle channels
	plan   func(quick bool) plan
	cases  func(plan) []benchCase
	// usual are the servers that are measured if none are named.
	usual func(plan) []string
}

// serverSuite compares servers of the channel protocol.
func serverSuite() suite {
	return suite{
		name: "run", loaded: true, cases: plan.cases, usual: usualServers,
		plan: func(quick bool) plan {
			if quick {
				return quickPlan()
			}
			return fullPlan()
		},
	}
}

func (s suite) command(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	set := flag.NewFlagSet(s.name, flag.ContinueOnError)
	quick := set.Bool("quick", false, "only what has a budget, in less than a minute")
	asJSON := set.Bool("json", false, "print everything as JSON instead of a table")
	check := set.Bool("check", false, "fail when a figure is more than 1.5 times its budget")
	servers := set.String("servers", "", "comma-separated `names`; the first is what the others are compared with (default: "+strings.Join(s.usual(s.plan(false)), ",")+"; with -quick "+strings.Join(s.usual(s.plan(true)), ",")+")")
	only := set.String("cases", "", "`regular expression` that chooses cases by name")
	rounds := set.Int("rounds", 0, "rounds instead of the plan's")
	profiles, channels := new(string), new(int)
	if s.loaded {
		set.StringVar(profiles, "profile", "", "`directory` for profiles of the servers, taken in extra rounds that are not part of the figures")
		set.IntVar(channels, "channels", 0, "idle channels instead of 9000")
	}
	if err := set.Parse(args); err != nil {
		return err
	}
	p := s.plan(*quick)
	if *rounds > 0 {
		p.rounds, p.idleRounds = *rounds, *rounds
	}
	if *channels > 0 {
		p.idleChannels = *channels
	}
	r, err := s.newRunner(p, *servers, *only, stderr)
	if err != nil {
		return err
	}
	r.profiles = *profiles
	out, err := r.run(ctx)
	if err != nil {
		return err
	}
	if *asJSON {
		err = json.NewEncoder(stdout).Encode(out)
	} else {
		err = out.table(stdout)
	}
	if err == nil && *check {
		err = out.check()
	}
	return err
}

func (s suite) newRunner(p plan, servers, only string, log io.Writer) (*runner, error) {
	pattern, err := regexp.Compile(only)
	if err != nil {
		return nil, err
	}
	r := &runner{plan: p, log: log, started: time.Now()}
	names := s.usual(p)
	if servers != "" {
		names = strings.Split(servers, ",")
	}
	if r.kinds, err = selectKinds(names); err != nil {
		return nil, err
	}
	for _, c := range s.cases(p) {
		if pattern.MatchString(c.name) {
			r.cases = append(r.cases, c)
		}
	}
	if len(r.cases) == 0 {
		return nil, fmt.Errorf("no case matches %q", only)
	}
	return r, raiseDescriptorLimit(p.idleChannels)
}

// run measures all cases on all servers.
func (r *runner) run(ctx context.Context) (outcome, error) {
	out := outcome{Environment: describe()}
	// The servers stay up for all cases that do not ask for fresh ones; the
	// one that is not measured has nothing to do.
	running := make([]*server, len(r.kinds))
	defer func() {
		for _, s := range running {
			if s != nil {
				s.stop()
			}
		}
	}()
	for i, k := range r.kinds {
		var err error
		if running[i], err = startServer(ctx, k); err != nil {
			return out, err
		}
	}
	for _, c := range r.cases {
		measured := c.chosen(running)
		if len(measured) == 0 {
			continue
		}
		figures, err := r.runCase(ctx, c, measured)
		if err != nil {
			return out, err
		}
		out.Results = append(out.Results, summarise(c, measured, figures)...)
		out.Results = append(out.Results, c.derive(measured, figures)...)
		if r.profiles == "" {
			continue
		}
		for _, s := range measured {
			if err := r.profile(ctx, c, s); err != nil {
				return out, err
			}
		}
	}
	return out, nil
}

// chosen returns the servers that the case is for.
func (c benchCase) chosen(running []*server) []*server {
	if len(c.servers) == 0 {
		return running
	}
	var chosen []*server
	for _, s := range running {
		if slices.Contains(c.servers, s.kind.name) {
			chosen = append(chosen, s)
		}
	}
	return chosen
}

// runCase returns the figures of each server. The servers take turns within a
// round, so that what else the machine does hits all of them.
func (r *runner) runCase(ctx context.Context, c benchCase, running []*server) ([][]figure, error) {
	rounds := r.plan.rounds
	switch {
	case c.once:
		rounds = 1
	case c.fresh:
		rounds = r.plan.idleRounds
	}
	figures := make([][]figure, len(running))
	for round := range rounds {
		for i, s := range running {
			f, err := r.runOnce(ctx, c, s)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
			figures[i] = append(figures[i], f)
			fmt.Fprintf(r.log, "%4.0fs  %-20s %d/%d  %-10s %8.2f %s\n",
				time.Since(r.started).Seconds(), c.name, round+1, rounds, s.kind.name, f.Value, c.unit)
		}
	}
	return figures, nil
}

func (r *runner) runOnce(ctx context.Context, c benchCase, s *server) (figure, error) {
	if c.fresh {
		var err error
		if s, err = startServer(ctx, s.kind); err != nil {
			return figure{}, err
		}
		defer s.stop()
	}
	return c.measure(ctx, s, r.plan)
}

func describe() environment {
	load, _, _ := strings.Cut(firstLine("/proc/loadavg", ""), " ")
	_, cpu, _ := strings.Cut(firstLine("/proc/cpuinfo", "model name"), ": ")
	return environment{
		Date: time.Now().UTC(), Commit: commit(), Go: runtime.Version(),
		Kernel: firstLine("/proc/sys/kernel/osrelease", ""), CPU: cpu,
		CPUs: runtime.NumCPU(), GOMAXPROCS: runtime.GOMAXPROCS(0), Load: load,
	}
}

// firstLine returns the first line of a file that starts with prefix; empty
// when there is none: the environment is for the reader only.
func firstLine(path, prefix string) string {
	b, _ := os.ReadFile(path)
	for line := range strings.Lines(string(b)) {
		if strings.HasPrefix(line, prefix) {
			return strings.TrimSpace(line)
		}
	}
	return ""
}

// commit names the commit of the checkout and says when files differ from it.
func commit() string {
	b, err := exec.Command("git", "describe", "--always", "--dirty", "--abbrev=12").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(b))
}
