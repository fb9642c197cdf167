// Package measure is what the programs that measure actors have in common: the
// names of the cases, and how time, memory and allocations are taken.
package measure

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"slices"
	"syscall"
	"time"
)

// Sample is what one measurement has found, per operation.
type Sample struct {
	// Value is nanoseconds or bytes, as the case says. Where single times are
	// measured it is their median.
	Value float64 `json:"value"`
	// P99 is set where single times are measured.
	P99 float64 `json:"p99,omitempty"`
	// CPU is processor time of the whole process, in nanoseconds.
	CPU float64 `json:"cpu_ns,omitempty"`
	// Allocs is the number of allocations.
	Allocs float64 `json:"allocs"`
}

// Command is the process of one measurement, told by args. It is left as it
// stands when there is an answer, with whatever actors it has.
func Command(libraries []Library, args []string, stdout io.Writer) error {
	set := flag.NewFlagSet("measure", flag.ContinueOnError)
	name := set.String("library", "", "`name` of the library")
	what := set.String("case", "", "`name` of the case")
	n := set.Int("n", 0, "how often")
	cold := set.Bool("cold", false, "no warm-up")
	if err := set.Parse(args); err != nil {
		return err
	}
	// Two of the libraries log restarts to the default logger.
	slog.SetDefault(slog.New(slog.DiscardHandler))
	i := slices.IndexFunc(libraries, func(l Library) bool { return l.Name == *name })
	if i < 0 || libraries[i].Measure[*what] == nil || *n < 1 {
		return fmt.Errorf("nothing to measure: %q, %q, %d times", *name, *what, *n)
	}
	measure := libraries[i].Measure[*what]
	if !*cold {
		measure(max(1, *n/10))
	}
	return json.NewEncoder(stdout).Encode(measure(*n))
}

// Must ends the process, and so the measurement, which cannot go on.
func Must(err error) {
	if err != nil {
		panic(err)
	}
}

// Timed measures do, which does something n times.
func Timed(n int, do func()) Sample {
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	cpu, start := processorTime(), time.Now()
	do()
	wall, spent := time.Since(start), processorTime()-cpu
	runtime.ReadMemStats(&after)
	per := func(v float64) float64 { return v / float64(n) }
	return Sample{
		Value:  per(float64(wall.Nanoseconds())),
		CPU:    per(float64(spent.Nanoseconds())),
		Allocs: per(float64(after.Mallocs - before.Mallocs)),
	}
}

// Crashes has n pairs of a function that panics and the next one sent, and
// measures the time between the two.
func Crashes(n int, send func(first, next func())) Sample {
	times := make([]float64, 0, n)
	next := make(chan time.Duration, 1)
	s := Timed(n, func() {
		for range n {
			var at time.Time
			send(func() { at = time.Now(); panic("as told") }, func() { next <- time.Since(at) })
			times = append(times, float64((<-next).Nanoseconds()))
		}
	})
	slices.Sort(times)
	s.Value, s.P99 = times[n/2], times[n*99/100]
	return s
}

// Spawned measures the time until n actors have been started and have handled
// one message each.
func Spawned(n int, start func(handled func())) Sample {
	done := make(chan struct{}, n)
	return Timed(n, func() {
		start(func() { done <- struct{}{} })
		drain(done, n)
	})
}

// Resting measures the memory that n actors hold after each has handled one
// message. Start returns whatever keeps them.
func Resting(n int, start func(handled func()) any) Sample {
	done := make(chan struct{}, n)
	before := inUse()
	live := start(func() { done <- struct{}{} })
	drain(done, n)
	bytes := float64(inUse()-before) / float64(n)
	runtime.KeepAlive(live)
	runtime.KeepAlive(done)
	return Sample{Value: bytes}
}

func drain(done <-chan struct{}, n int) {
	for range n {
		<-done
	}
}

// inUse returns the bytes of heap spans and stacks in use. It collects twice:
// pools keep things for one collection more.
func inUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}

func processorTime() time.Duration {
	var u syscall.Rusage
	Must(syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
