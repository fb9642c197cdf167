package load

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// OpenOptions says how channels are opened and closed.
type OpenOptions struct {
	// Concurrency is how many are being opened at any time; at least 1.
	Concurrency int
	// Requests ends the run after so many channels; all of it is measured.
	Requests uint64
	// Warmup and Window are used when Requests is 0.
	Warmup, Window time.Duration
}

// Open opens channels, as fast as the server lets it, and closes each as soon
// as it has been accepted. Each takes the next of the target's tokens, so with
// as many tokens as channels each comes with a fresh one. The latency is from
// dialling to channel.accept and includes the making of the proof, if there is
// one; the closing handshake is part of the costs.
func Open(ctx context.Context, target Target, opts OpenOptions) (Report, error) {
	report := Report{Channels: opts.Concurrency}
	if opts.Concurrency < 1 || opts.Requests == 0 && opts.Window <= 0 {
		return report, errors.New("neither a number of channels nor a window is given, or the concurrency is below 1")
	}
	address, err := target.address()
	if err != nil {
		return report, err
	}
	run := &openRun{target: target, opts: opts, address: address}
	run.openers = make([]opener, opts.Concurrency)
	from, to, err := run.measure(ctx)
	if err != nil {
		return report, err
	}
	var latency histogram
	for i := range run.openers {
		latency.merge(&run.openers[i].latency)
		report.addErrors(run.openers[i].failed, run.openers[i].err)
	}
	report.fillWindow(from, to, &latency)
	return report, ctx.Err()
}

// openRun is what the openers of one run share.
type openRun struct {
	target    Target
	opts      OpenOptions
	address   *url.URL
	openers   []opener
	started   atomic.Uint64
	opened    atomic.Uint64
	recording atomic.Bool
	stopping  atomic.Bool
}

type opener struct {
	latency histogram
	failed  uint64
	err     error // the first
}

func (r *openRun) measure(ctx context.Context) (from, to sample, err error) {
	r.recording.Store(r.opts.Requests > 0)
	if from, err = r.sample(); err != nil {
		return from, to, err
	}
	var wg sync.WaitGroup
	for i := range r.openers {
		wg.Go(func() { r.loop(ctx, &r.openers[i]) })
	}
	if r.opts.Requests > 0 {
		wg.Wait()
		to, err = r.sample()
		return from, to, err
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	pause(ctx, done, r.opts.Warmup)
	from, errFrom := r.sample()
	r.recording.Store(true)
	pause(ctx, done, r.opts.Window)
	r.recording.Store(false)
	to, errTo := r.sample()
	r.stopping.Store(true)
	<-done
	return from, to, errors.Join(errFrom, errTo)
}

func (r *openRun) sample() (sample, error) {
	return takeSample(r.opened.Load(), r.target.PID)
}

// loop gives up at the first failure: a server that refuses is not measured.
func (r *openRun) loop(ctx context.Context, o *opener) {
	for !r.stopping.Load() && ctx.Err() == nil {
		n := r.started.Add(1)
		if r.opts.Requests > 0 && n > r.opts.Requests {
			return
		}
		if err := r.once(ctx, n, o); err != nil {
			o.failed++
			o.err = err
			return
		}
	}
}

func (r *openRun) once(ctx context.Context, n uint64, o *opener) error {
	begin := time.Now()
	c, err := r.target.open(ctx, r.address, int(n), "", 4<<10)
	if err != nil {
		return err
	}
	if r.recording.Load() {
		o.latency.add(time.Since(begin))
	}
	r.opened.Add(1)
	if err := c.close(time.Now().Add(closeTimeout)); err != nil {
		return fmt.Errorf("closing a channel: %w", err)
	}
	return nil
}
