package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pando-agents/pando/bench/actors/measure"
)

// run is what is measured, and how often.
type run struct {
	cases     []benchCase
	libraries []library
	rounds    int
	scale     float64
	log       io.Writer
}

// outcome is all that a run has found out.
type outcome struct {
	Environment environment `json:"environment"`
	Results     []result    `json:"results"`
}

// environment is what the figures depend on.
type environment struct {
	Date       time.Time `json:"date"`
	Go         string    `json:"go"`
	CPUs       int       `json:"cpus"`
	GOMAXPROCS int       `json:"gomaxprocs"`
	// Load is the load average of the minute before the run, and of its last.
	Load [2]string `json:"load"`
}

// result is one case in one library.
type result struct {
	Case    string           `json:"case"`
	Library string           `json:"library"`
	Unit    string           `json:"unit"`
	N       int              `json:"n"`
	Rounds  []measure.Sample `json:"rounds"`
	Median  float64          `json:"median"`
	Best    float64          `json:"best"`
	// Ratio is the median of the rounds' ratios to the first library that has
	// the case.
	Ratio  float64 `json:"ratio"`
	P99    float64 `json:"p99,omitempty"`
	CPU    float64 `json:"cpu_ns,omitempty"`
	Allocs float64 `json:"allocs"`
	// Targets are Pando's only.
	Targets []verdict `json:"targets,omitempty"`
}

// verdict is what became of a target.
type verdict struct {
	target
	Reached float64 `json:"reached"`
	Met     bool    `json:"met"`
	// Best is whether at least the best round met it.
	Best bool `json:"best"`
}

// single makes one measurement.
type single func(ctx context.Context, c benchCase, l library, n int) (measure.Sample, error)

// programs makes measurements in processes of their own, so that nothing that
// was measured before is in the way.
type programs struct {
	dir string // for the programs that are built
}

func (p programs) measure(ctx context.Context, c benchCase, l library, n int) (measure.Sample, error) {
	args := []string{"--library", l.Name, "--case", c.name, "--n", strconv.Itoa(n), "--cold=" + strconv.FormatBool(c.cold)}
	program, err := os.Executable()
	if l.elsewhere == "" {
		args = append([]string{"measure"}, args...)
	} else {
		program, err = p.build(ctx, l)
	}
	if err != nil {
		return measure.Sample{}, err
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return measure.Sample{}, fmt.Errorf("%w: %s", err, bytes.TrimSpace(stderr.Bytes()))
	}
	var s measure.Sample
	return s, json.Unmarshal(stdout.Bytes(), &s)
}

// build builds the program of a library unless that is done.
func (p programs) build(ctx context.Context, l library) (string, error) {
	program := filepath.Join(p.dir, l.Name)
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", program, l.elsewhere).CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w: %s", l.elsewhere, err, bytes.TrimSpace(out))
	}
	return program, nil
}

// all measures each case in all libraries. They take turns within a round,
// so that what else the machine does hits all of them.
func (r *run) all(ctx context.Context, one single) (outcome, error) {
	out := outcome{Environment: environment{
		Date: time.Now().UTC(), Go: runtime.Version(), CPUs: runtime.NumCPU(), GOMAXPROCS: runtime.GOMAXPROCS(0),
		Load: [2]string{loadAverage()},
	}}
	for _, c := range r.cases {
		var results []result
		for _, l := range r.libraries {
			if l.has(c.name) {
				results = append(results, result{Case: c.name, Library: l.Name, Unit: c.unit, N: r.times(c, l)})
			}
		}
		for round := range r.rounds {
			for i := range results {
				l, _ := libraryNamed(results[i].Library)
				s, err := one(ctx, c, l, results[i].N)
				if err != nil {
					return out, fmt.Errorf("%s, %s: %w", c.name, l.Name, err)
				}
				results[i].Rounds = append(results[i].Rounds, s)
				fmt.Fprintf(r.log, "%-28s %d/%d  %-10s %10.0f %s\n", c.name, round+1, r.rounds, l.Name, s.Value, c.unit)
			}
		}
		summarise(c, results)
		out.Results = append(out.Results, results...)
	}
	out.Environment.Load[1] = loadAverage()
	return out, nil
}

// times is how often the library does what the case measures.
func (r *run) times(c benchCase, l library) int {
	n := max(1, int(float64(c.n)*r.scale))
	if most := l.most[c.name]; most > 0 {
		n = min(n, most)
	}
	return n
}

// summarise fills in what follows from the rounds of one case.
func summarise(c benchCase, results []result) {
	for i := range results {
		r := &results[i]
		ratios := make([]float64, len(r.Rounds))
		for round, s := range r.Rounds {
			ratios[round] = s.Value / results[0].Rounds[round].Value
		}
		r.Ratio = median(ratios)
		r.Median = median(r.figures(func(s measure.Sample) float64 { return s.Value }))
		r.Best = slices.Min(r.figures(func(s measure.Sample) float64 { return s.Value }))
		r.P99 = median(r.figures(func(s measure.Sample) float64 { return s.P99 }))
		r.CPU = median(r.figures(func(s measure.Sample) float64 { return s.CPU }))
		r.Allocs = median(r.figures(func(s measure.Sample) float64 { return s.Allocs }))
	}
	for i := range results {
		if results[i].Library == "pando" {
			results[i].judge(c.targets, results)
		}
	}
}

// judge compares with the targets. One that is a ratio to a library that was
// not measured is left out.
func (r *result) judge(targets []target, results []result) {
	for _, t := range targets {
		v := verdict{target: t, Reached: r.Median}
		switch t.Of {
		case "":
			v.Best = r.Best <= t.Limit
		case "allocations":
			v.Reached = r.Allocs
		default:
			i := slices.IndexFunc(results, func(other result) bool { return other.Library == t.Of })
			if i < 0 {
				continue
			}
			ratios := make([]float64, len(r.Rounds))
			for round, s := range r.Rounds {
				ratios[round] = s.Value / results[i].Rounds[round].Value
				if t.CPU {
					ratios[round] = s.CPU / results[i].Rounds[round].CPU
				}
			}
			v.Reached = median(ratios)
		}
		v.Met = v.Reached <= t.Limit
		v.Best = v.Best || v.Met
		r.Targets = append(r.Targets, v)
	}
}

// slack is how far over its target a figure may be for check.
const slack = 1.5

// check returns an error when a figure is more than slack times its target.
// What else the machine does can only add to a time: the best round counts.
func (o outcome) check() error {
	for _, r := range o.Results {
		for _, v := range r.Targets {
			reached := v.Reached
			if v.Of == "" {
				reached = r.Best
			}
			if reached > slack*v.Limit {
				return fmt.Errorf("%s: %.2f, must be at most %g × %g %s", r.Case, reached, slack, v.Limit, cmp.Or(v.Of, r.Unit))
			}
		}
	}
	return nil
}

func (r *result) figures(of func(measure.Sample) float64) []float64 {
	v := make([]float64, len(r.Rounds))
	for i, s := range r.Rounds {
		v[i] = of(s)
	}
	return v
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

// loadAverage is for the reader only; empty where the system does not say it.
func loadAverage() string {
	b, _ := os.ReadFile("/proc/loadavg")
	load, _, _ := strings.Cut(string(b), " ")
	return load
}
