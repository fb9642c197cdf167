package load

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// CallOptions says how calls are made.
type CallOptions struct {
	// InFlight is how many goroutines call, each one call after the other.
	InFlight int
	// Warmup and Window are as in SteadyOptions.
	Warmup, Window time.Duration
	// PIDs are the other processes that have a part in a call.
	PIDs []int
}

// calling is one goroutine that calls.
type calling struct {
	latency histogram
	err     error
	done    atomic.Uint64
	_       [64]byte // far from what another one writes
}

// Calls makes calls until the window is over, and measures how long each takes and
// what all processes spend on it. A failed call ends its goroutine, and is in the
// report.
func Calls(ctx context.Context, opts CallOptions, call func(context.Context) error) (Report, error) {
	report := Report{Channels: 1, InFlight: opts.InFlight}
	if opts.InFlight < 1 || opts.Window <= 0 {
		return report, fmt.Errorf("%d calls under way for %v are not possible", opts.InFlight, opts.Window)
	}
	all := make([]calling, opts.InFlight)
	var recording, stopping atomic.Bool
	var running sync.WaitGroup
	for i := range all {
		c := &all[i]
		running.Go(func() {
			for !stopping.Load() {
				start := time.Now()
				if c.err = call(ctx); c.err != nil {
					return
				}
				c.done.Add(1)
				if recording.Load() {
					c.latency.add(time.Since(start))
				}
			}
		})
	}
	sampled := func() (sample, error) {
		var n uint64
		for i := range all {
			n += all[i].done.Load()
		}
		return takeSample(n, opts.PIDs...)
	}
	done := make(chan struct{})
	go func() { running.Wait(); close(done) }()
	pause(ctx, done, opts.Warmup)
	from, errFrom := sampled()
	recording.Store(true)
	pause(ctx, done, opts.Window)
	recording.Store(false)
	to, errTo := sampled()
	stopping.Store(true)
	<-done
	var latency histogram
	for i := range all {
		latency.merge(&all[i].latency)
		if all[i].err != nil {
			report.addErrors(1, all[i].err)
		}
	}
	report.fillWindow(from, to, &latency)
	return report, errors.Join(errFrom, errTo, ctx.Err())
}
