package load

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// SteadyOptions says how the requests are made.
type SteadyOptions struct {
	// Channels is how many channels are open, InFlight how many requests each
	// of them has under way at any time: a reply is followed by the next
	// request. Both at least 1; InFlight at most 4096.
	Channels, InFlight int
	// Payload is the length of the text in each request, in bytes.
	Payload int
	// Requests ends the run after so many requests; all of it is measured.
	Requests uint64
	// Warmup and Window are used when Requests is 0: the load runs for
	// Warmup, then is measured for Window.
	Warmup, Window time.Duration
	// WriteEach writes each request with a system call of its own. Otherwise
	// the requests that follow replies read together are written together.
	WriteEach bool
}

func (o SteadyOptions) validate() error {
	if o.Channels < 1 || o.InFlight < 1 || o.InFlight > maxSlots || o.Payload < 0 {
		return fmt.Errorf("%d channels with %d requests of %d bytes are not possible", o.Channels, o.InFlight, o.Payload)
	}
	if o.Requests == 0 && o.Window <= 0 {
		return errors.New("neither a number of requests nor a window is given")
	}
	return nil
}

// drainTimeout bounds the wait for the last replies.
const drainTimeout = 10 * time.Second

// Steady keeps requests under way until ctx is done or the options say stop.
// Failures while it runs are in the report; the error says that it could not
// be started, or that ctx ended it.
func Steady(ctx context.Context, target Target, opts SteadyOptions) (Report, error) {
	report := Report{Channels: opts.Channels, InFlight: opts.InFlight, PayloadBytes: opts.Payload}
	if err := opts.validate(); err != nil {
		return report, err
	}
	// Room for one round of replies, so that one read can take them all.
	buffer := min(max(opts.InFlight*(opts.Payload+640), 4<<10), 256<<10)
	text := phrase(opts.Payload)
	channels, err := openAll(ctx, target, opts.Channels, text, buffer)
	if err != nil {
		return report, err
	}
	defer closeAll(channels)
	run := &steadyRun{target: target, opts: opts}
	for i, c := range channels {
		run.workers = append(run.workers, newWorker(run, c, text, i))
	}
	defer context.AfterFunc(ctx, func() { run.hurry(0) })()
	from, to, err := run.measure(ctx)
	if err != nil {
		return report, err
	}
	var latency histogram
	for _, w := range run.workers {
		latency.merge(&w.latency)
		report.addErrors(w.failed, w.err)
	}
	report.fillWindow(from, to, &latency)
	return report, ctx.Err()
}

// steadyRun is what the workers of one run share.
type steadyRun struct {
	target    Target
	opts      SteadyOptions
	workers   []*worker
	recording atomic.Bool
	stopping  atomic.Bool
}

// measure runs the workers to their end and returns the samples at the edges
// of the measured window.
func (r *steadyRun) measure(ctx context.Context) (from, to sample, err error) {
	r.recording.Store(r.opts.Requests > 0)
	if from, err = r.sample(); err != nil {
		return from, to, err
	}
	var wg sync.WaitGroup
	for _, w := range r.workers {
		wg.Go(w.run)
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
	if ctx.Err() == nil {
		r.hurry(drainTimeout)
	}
	<-done
	return from, to, errors.Join(errFrom, errTo)
}

func (r *steadyRun) sample() (sample, error) {
	var n uint64
	for _, w := range r.workers {
		n += w.answered.Load()
	}
	return takeSample(n, r.target.PID)
}

// hurry gives all channels a deadline, for a server that does not answer.
func (r *steadyRun) hurry(d time.Duration) {
	for _, w := range r.workers {
		_ = w.conn.SetDeadline(time.Now().Add(d))
	}
}

// pause waits for d, unless ctx or done ends it.
func pause(ctx context.Context, done <-chan struct{}, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-done:
	case <-ctx.Done():
	}
}
