package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// table writes the medians for people to read.
func (o outcome) table(w io.Writer) error {
	e := o.Environment
	fmt.Fprintf(w, "%s, %d processors, GOMAXPROCS %d, load %s to %s\n\n", e.Go, e.CPUs, e.GOMAXPROCS, e.Load[0], e.Load[1])
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "case\tlibrary\tmedian\t \tbest\tratio\tp99\tprocessor ns\tallocations\ttargets\t")
	last := ""
	for _, r := range o.Results {
		name := r.Case
		if name == last {
			name = ""
		}
		last = r.Case
		cpu, allocs, p99 := "", "", ""
		if r.CPU > 0 {
			cpu, allocs = fmt.Sprintf("%.0f", r.CPU), fmt.Sprintf("%.2f", r.Allocs)
		}
		if r.P99 > 0 {
			p99 = fmt.Sprintf("%.0f", r.P99)
		}
		fmt.Fprintf(t, "%s\t%s\t%.0f\t%s\t%.0f\t%.2f\t%s\t%s\t%s\t%s\t\n",
			name, r.Library, r.Median, r.Unit, r.Best, r.Ratio, p99, cpu, allocs, r.verdicts())
	}
	return t.Flush()
}

func (r *result) verdicts() string {
	said := make([]string, len(r.Targets))
	for i, v := range r.Targets {
		outcome := "missed"
		if v.Best {
			outcome = "met in the best round"
		}
		if v.Met {
			outcome = "met"
		}
		switch v.Of {
		case "":
			said[i] = fmt.Sprintf("≤ %.0f %s: %s", v.Limit, r.Unit, outcome)
		case "allocations":
			said[i] = fmt.Sprintf("≤ %.2f allocations: %s", v.Limit, outcome)
		default:
			of := v.Of
			if v.CPU {
				of += ", processor"
			}
			said[i] = fmt.Sprintf("≤ %.1f × %s: %s (%.2f)", v.Limit, of, outcome, v.Reached)
		}
	}
	return strings.Join(said, ", ")
}
