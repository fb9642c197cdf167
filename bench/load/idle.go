package load

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pando-agents/pando/bench/internal/proc"
)

// IdleOptions says how channels are held.
type IdleOptions struct {
	// Channels is how many; at least 1.
	Channels int
	// Heartbeat is the time between two heartbeats of one channel. The
	// channels take turns, so that there is no burst.
	Heartbeat time.Duration
	// Rounds is how many heartbeats each channel sends before the server's
	// memory is read: the channels are held for Rounds × Heartbeat.
	Rounds int
	// HeapProfile, if not empty, is a file to write a profile of the server's
	// heap to, once its memory has been read.
	HeapProfile string
}

// IdleReport is what Idle has measured.
type IdleReport struct {
	Channels    int     `json:"channels"`
	OpenSeconds float64 `json:"open_seconds"`
	HoldSeconds float64 `json:"hold_seconds"`
	Sent        uint64  `json:"heartbeats_sent"`
	Answered    uint64  `json:"heartbeats_answered"`
	// Before and After are the server's memory before the first channel was
	// opened and at the end. Zero when its process is not known.
	Before proc.Memory `json:"before"`
	After  proc.Memory `json:"after"`
	// PerChannel is the growth of the resident memory per channel, in bytes.
	PerChannel float64 `json:"bytes_per_channel"`
	// Settled is the same once all garbage has been collected and free memory
	// given back; 0 when the server cannot be told to. Left and Kept are what
	// its Go runtime says before and after that.
	Settled float64 `json:"settled_bytes_per_channel,omitempty"`
	Left    Runtime `json:"runtime_left"`
	Kept    Runtime `json:"runtime_settled"`
	// ServerCPU is the share of one processor the server has used while the
	// channels were held, in per cent.
	ServerCPU  float64 `json:"server_cpu_percent"`
	Errors     uint64  `json:"errors"`
	FirstError string  `json:"first_error,omitempty"`
}

// Err returns an error when not everything went well.
func (r *IdleReport) Err() error {
	if r.Errors > 0 {
		return fmt.Errorf("%d errors, the first: %s", r.Errors, r.FirstError)
	}
	if r.Answered != r.Sent {
		return fmt.Errorf("%d of %d heartbeats were answered", r.Answered, r.Sent)
	}
	return nil
}

// Idle opens the channels, lets each send its heartbeats, waits until all are
// answered, reads the server's memory and closes.
func Idle(ctx context.Context, target Target, opts IdleOptions) (IdleReport, error) {
	report := IdleReport{Channels: opts.Channels}
	if opts.Channels < 1 || opts.Heartbeat <= 0 || opts.Rounds < 1 {
		return report, errors.New("channels, heartbeat and rounds must be above 0")
	}
	_, err := target.memory(ctx, http.MethodPost)
	if err != nil {
		return report, err
	}
	if report.Before, err = resident(target.PID); err != nil {
		return report, err
	}
	begin := time.Now()
	channels, err := openAll(ctx, target, opts.Channels, "", 1<<10)
	if err != nil {
		return report, err
	}
	defer closeAll(channels)
	report.OpenSeconds = time.Since(begin).Seconds()

	run := newIdleRun(channels)
	var readers sync.WaitGroup
	for _, h := range run.holders {
		readers.Go(func() { run.read(h) })
	}
	// The readers stop at a deadline; closeAll sets a new one.
	stop := func() { run.stop(); readers.Wait() }
	defer stop()

	from, errFrom := takeSample(0, target.PID)
	run.beat(ctx, opts)
	run.awaitAnswers(ctx)
	to, errTo := takeSample(0, target.PID)
	errAfter := report.measure(ctx, target)
	if opts.HeapProfile != "" {
		errAfter = errors.Join(errAfter, Fetch(ctx, target.Control+"/debug/pprof/heap", opts.HeapProfile))
	}
	stop()
	if err := errors.Join(errFrom, errTo, errAfter); err != nil {
		return report, err
	}
	report.HoldSeconds = to.at.Sub(from.at).Seconds()
	report.Sent, report.Answered = run.sent, run.answered.Load()
	report.Errors = run.failed
	if run.err != nil {
		report.FirstError = run.err.Error()
	}
	report.ServerCPU = 100 * (to.server - from.server).Seconds() / report.HoldSeconds
	return report, ctx.Err()
}

// measure reads the server's memory: first as it is, then settled.
func (r *IdleReport) measure(ctx context.Context, target Target) (err error) {
	if r.After, err = resident(target.PID); err != nil {
		return err
	}
	r.PerChannel = float64(r.After.RSS-r.Before.RSS) / float64(r.Channels)
	if target.Control == "" {
		return nil
	}
	if r.Left, err = target.memory(ctx, http.MethodGet); err != nil {
		return err
	}
	if r.Kept, err = target.memory(ctx, http.MethodPost); err != nil {
		return err
	}
	settled, err := resident(target.PID)
	r.Settled = float64(settled.RSS-r.Before.RSS) / float64(r.Channels)
	return err
}

func resident(pid int) (proc.Memory, error) {
	if pid == 0 {
		return proc.Memory{}, nil
	}
	return proc.Resident(pid)
}

// holder is one idle channel. Its lock is for the output, which the beating
// goroutine and the reader (for pongs) both write.
type holder struct {
	*channel
	mu sync.Mutex
}

type idleRun struct {
	holders  []*holder
	sent     uint64
	answered atomic.Uint64
	progress chan struct{} // capacity 1; something was answered or failed

	mu      sync.Mutex
	stopped bool
	failed  uint64
	err     error // the first
}

func newIdleRun(channels []*channel) *idleRun {
	r := &idleRun{progress: make(chan struct{}, 1)}
	for _, c := range channels {
		r.holders = append(r.holders, &holder{channel: c})
	}
	return r
}

// beat sends the heartbeats; each channel's first one comes after its share
// of the first interval.
func (r *idleRun) beat(ctx context.Context, opts IdleOptions) {
	n := len(r.holders)
	begin := time.Now()
	for i := range opts.Rounds * n {
		due := time.Duration(float64(opts.Heartbeat) * float64(i+1) / float64(n))
		// Sleeping for less than this would cost more than the writes do.
		if wait := due - time.Since(begin); wait > 5*time.Millisecond || i == opts.Rounds*n-1 {
			pause(ctx, nil, wait)
		}
		if ctx.Err() != nil {
			return
		}
		if err := r.holders[i%n].heartbeat(); err != nil {
			r.fail(err)
			continue
		}
		r.sent++
	}
}

func (h *holder) heartbeat() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.push(0, contentHeartbeat)
	return h.flush()
}

// read counts the answers to heartbeats until the channel fails or is stopped.
func (r *idleRun) read(h *holder) {
	for {
		if err := r.readOnce(h); err != nil {
			r.fail(err)
			return
		}
	}
}

func (r *idleRun) readOnce(h *holder) error {
	if err := h.fill(); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		payload, err := h.next()
		if err != nil {
			return err
		}
		if payload == nil {
			return h.flush()
		}
		if _, _, err := h.replyTo(payload); err != nil || !hasType(payload, "channel.heartbeat") {
			return fmt.Errorf("not the answer to a heartbeat: %.200s", payload)
		}
		r.answered.Add(1)
		r.signal()
	}
}

// awaitAnswers returns when all heartbeats are answered or drainTimeout is over.
func (r *idleRun) awaitAnswers(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	for r.answered.Load() < r.sent && ctx.Err() == nil {
		select {
		case <-r.progress:
		case <-ctx.Done():
		}
	}
}

func (r *idleRun) signal() {
	select {
	case r.progress <- struct{}{}:
	default:
	}
}

func (r *idleRun) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped {
		return
	}
	r.failed++
	if r.err == nil {
		r.err = err
	}
}

// stop wakes the readers; what fails from now on is no failure.
func (r *idleRun) stop() {
	r.mu.Lock()
	r.stopped = true
	r.mu.Unlock()
	for _, h := range r.holders {
		_ = h.conn.SetReadDeadline(time.Now())
	}
}
