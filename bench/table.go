package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"github.com/pando-agents/pando/bench/cut"
	"github.com/pando-agents/pando/bench/load"
)

// summarise makes one result for each server. figures has the rounds of each.
func summarise(c benchCase, servers []*server, figures [][]figure) []result {
	results := make([]result, len(servers))
	for i, s := range servers {
		r := result{Case: c.name, Server: s.kind.name, Unit: c.unit, Rounds: figures[i]}
		r.Median = median(values(figures[i]))
		if i > 0 {
			ratios := values(figures[i])
			for round, base := range values(figures[0]) {
				ratios[round] /= base
			}
			r.Ratio = median(ratios)
		}
		// Budgets are Pando's only, and ratios have one to the base only.
		if s.kind.name == cmp.Or(c.subject, "pando") {
			if c.must > 0 {
				r.Must, r.MustUnit = c.must, c.unit
			} else if i > 0 && servers[0].kind.name == cmp.Or(c.base, "floor") {
				r.Must = c.mustRatio
			}
		}
		results[i] = r
	}
	return results
}

// derive makes the results of the case's second figure.
func (c benchCase) derive(servers []*server, figures [][]figure) []result {
	if c.derived == nil {
		return nil
	}
	var having []*server
	var derived [][]figure
	for i, s := range servers {
		var second []figure
		for _, f := range figures[i] {
			if v := c.derived.value(f.Report); v > 0 {
				second = append(second, figure{Value: v, Report: f.Report})
			}
		}
		if len(second) == len(figures[i]) {
			having, derived = append(having, s), append(derived, second)
		}
	}
	return summarise(benchCase{
		name: c.derived.name, unit: cmp.Or(c.derived.unit, c.unit), base: c.base, subject: c.subject,
		must: c.derived.must, mustRatio: c.derived.mustRatio,
	}, having, derived)
}

func values(figures []figure) []float64 {
	v := make([]float64, len(figures))
	for i, f := range figures {
		v[i] = f.Value
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

// check returns an error when a figure is more than slack times its budget.
func (o outcome) check() error {
	for _, r := range o.Results {
		if r.Must > 0 && r.compared() > slack*r.Must {
			return fmt.Errorf("%s, %s: %.2f, must be at most %.2f %s: %w",
				r.Server, r.Case, r.compared(), r.Must, r.MustUnit, errOverBudget)
		}
	}
	return nil
}

// table writes the medians for people to read.
func (o outcome) table(w io.Writer) error {
	e := o.Environment
	fmt.Fprintf(w, "commit %s, %s, GOMAXPROCS %d, %d × %s, Linux %s, load %s\n\n",
		e.Commit, e.Go, e.GOMAXPROCS, e.CPUs, e.CPU, e.Kernel, e.Load)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "case\tserver\tfigure\t \tbest\tspread\tratio\tmust\t1.5×must\t\treq/s\tp50 µs\tp99 µs\tclient µs\t")
	last := ""
	for _, r := range o.Results {
		name := r.Case
		if name == last {
			name = ""
		}
		last = r.Case
		fmt.Fprintf(t, "%s\t%s\t%.2f\t%s\t%.2f\t±%.0f %%\t%s\t%s\t\n",
			name, r.Server, r.Median, r.Unit, slices.Min(values(r.Rounds)), r.spread(), r.budget(), r.rates())
	}
	if err := t.Flush(); err != nil {
		return err
	}
	return o.memoryTable(w)
}

// memoryTable says what the Go runtimes of the servers say about their memory
// with idle channels.
func (o outcome) memoryTable(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, r := range o.Results {
		if r.Case != idleSettled {
			continue
		}
		if r.Ratio == 0 { // the first
			fmt.Fprintln(t, "\nidle, KiB per channel\t\theap\tin use\tstacks\truntime\tgoroutines\t")
		}
		report := r.middle().Report.(load.IdleReport)
		row := func(server, when string, m load.Runtime) {
			per := func(bytes uint64) float64 { return float64(bytes) / 1024 / float64(report.Channels) }
			fmt.Fprintf(t, "%s\t%s\t%.2f\t%.2f\t%.2f\t%.2f\t%d\t\n", server, when,
				per(m.Heap), per(m.HeapInUse), per(m.Stacks), per(m.Other), m.Goroutines)
		}
		row(r.Server, "as left", report.Left)
		row("", "settled", report.Kept)
	}
	return t.Flush()
}

// spread is half of the range of the rounds in per cent of their median.
func (r result) spread() float64 {
	v := values(r.Rounds)
	return 50 * (slices.Max(v) - slices.Min(v)) / r.Median
}

// budget is the columns ratio, must, 1.5×must and verdict.
func (r result) budget() string {
	ratio := "1"
	if r.Ratio > 0 {
		ratio = fmt.Sprintf("%.2f", r.Ratio)
	}
	if r.Must == 0 {
		return ratio + "\t\t\t"
	}
	verdict := "met"
	switch v := r.compared(); {
	case v > slack*r.Must:
		verdict = "OVER"
	case v > r.Must:
		verdict = "near"
	}
	return fmt.Sprintf("%s\t%.2f\t%.2f\t%s", ratio, r.Must, slack*r.Must, verdict)
}

// rates is the columns that say how fast the round with the median was.
func (r result) rates() string {
	switch report := r.middle().Report.(type) {
	case load.Report:
		return fmt.Sprintf("%.0f\t%.0f\t%.0f\t%.1f", report.PerSecond, report.P50, report.P99, report.ClientCPU)
	case cut.Report:
		return fmt.Sprintf("\t%.0f\t%.0f\t", 1000*report.P50, 1000*report.P99)
	default:
		return "\t\t\t"
	}
}

// middle is the round with the median.
func (r result) middle() figure {
	rounds := slices.SortedFunc(slices.Values(r.Rounds), func(a, b figure) int { return cmp.Compare(a.Value, b.Value) })
	return rounds[len(rounds)/2]
}
