package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"github.com/pando-agents/pando/bench/load"
)

// summarise makes one result for each server. figures has the rounds of each.
func summarise(c benchCase, kinds []kind, figures [][]figure) []result {
	results := make([]result, len(kinds))
	for i, k := range kinds {
		r := result{Case: c.name, Server: k.name, Unit: c.unit, Rounds: figures[i]}
		r.Median = median(values(figures[i]))
		if i > 0 {
			ratios := values(figures[i])
			for round, base := range values(figures[0]) {
				ratios[round] /= base
			}
			r.Ratio = median(ratios)
		}
		// Budgets are Pando's only.
		if k.name == "pando" {
			r.Must = c.mustRatio
			if c.must > 0 {
				r.Must, r.MustUnit = c.must, c.unit
			}
		}
		results[i] = r
	}
	return results
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
	rounds := slices.SortedFunc(slices.Values(r.Rounds), func(a, b figure) int { return cmp.Compare(a.Value, b.Value) })
	report, ok := rounds[len(rounds)/2].Report.(load.Report)
	if !ok {
		return "\t\t\t"
	}
	return fmt.Sprintf("%.0f\t%.0f\t%.0f\t%.1f", report.PerSecond, report.P50, report.P99, report.ClientCPU)
}
