package patterns

import (
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/pando-agents/pando/actors"
)

// pool is one incarnation of a Pool.
type pool[J, R any] struct {
	Pool[J, R]
	self    actors.Ref[PoolMessage[J, R]]
	ctx     context.Context // of attempts
	workers []*worker[J, R]
	next    int // whose turn it is, of those that have as little to do
	waiting []*job[J, R]
	under   []*job[J, R] // that workers have, the oldest first
	sweeps  bool
	stats   PoolStats
}

// worker is one that the pool knows.
type worker[J, R any] struct {
	Target[J, R]
	pool     *pool[J, R]
	running  int
	away     bool
	trial    bool   // one job at most, until one has been answered
	gone     bool   // has left, or has another address now
	unwatch  func() // nil while nobody watches
	failures int    // since the last answer
	reason   error

	done, failed uint64
}

// job is one that is not answered yet.
type job[J, R any] struct {
	Job[J, R]
	attempts int // that may have begun it
	begun    int
	over     bool
	runs     []*attempt[J, R]
}

// attempt is one worker that has one job.
type attempt[J, R any] struct {
	job    *job[J, R]
	worker *worker[J, R]
	cancel context.CancelFunc
	long   bool // it may be stolen

	unclock func() // keeps it from becoming long; nil without stealing
}

// What the pool tells itself.
type (
	outcome[J, R any] struct {
		attempt *attempt[J, R]
		value   R
		err     error
	}
	isLong[J, R any] struct{ attempt *attempt[J, R] }
	isDown[J, R any] struct {
		worker *worker[J, R]
		reason error
	}
	isBack[J, R any] struct{ worker *worker[J, R] }
	sweep[J, R any]  struct{}
)

func (outcome[J, R]) poolMessage(J, R) {}
func (isLong[J, R]) poolMessage(J, R)  {}
func (isDown[J, R]) poolMessage(J, R)  {}
func (isBack[J, R]) poolMessage(J, R)  {}
func (sweep[J, R]) poolMessage(J, R)   {}

// Start takes the workers in.
func (p *pool[J, R]) Start(c *actors.Context[PoolMessage[J, R]]) error {
	p.self, p.ctx = c.Self(), patient(c)
	for _, t := range p.Workers {
		p.join(t)
	}
	return nil
}

// patient is the context of c for goroutines: they may wait.
func patient[M any](c *actors.Context[M]) context.Context {
	inside := c.Context()
	ctx, cancel := context.WithCancelCause(context.Background())
	context.AfterFunc(inside, func() { cancel(context.Cause(inside)) })
	return ctx
}

// Receive handles one message, and gives out what can be given out after it.
func (p *pool[J, R]) Receive(c *actors.Context[PoolMessage[J, R]], m PoolMessage[J, R]) {
	switch m := m.(type) {
	case Job[J, R]:
		if len(p.waiting) >= p.Waiting {
			m.Fail(actors.ErrMailboxFull)
			return
		}
		p.waiting = append(p.waiting, &job[J, R]{Job: m})
	case outcome[J, R]:
		if m.attempt.worker.pool != p {
			return // of an incarnation that has failed: its askers have been told
		}
		p.ended(c, m)
	case isLong[J, R]:
		m.attempt.long = true
	case isDown[J, R]:
		if m.worker.pool != p || m.worker.gone {
			return
		}
		m.worker.unwatch()
		m.worker.unwatch = nil
		p.fails(c, m.worker, m.reason)
	case isBack[J, R]:
		p.back(m.worker)
	case sweep[J, R]:
		p.sweep()
	case Join[J, R]:
		p.leave(m.Worker.name)
		p.join(m.Worker)
	case Leave[J, R]:
		p.leave(m.Name)
	case PoolStatus[J, R]:
		m.Send(p.status())
		return
	}
	p.giveOut(c)
}

func (p *pool[J, R]) join(t Target[J, R]) {
	w := &worker[J, R]{Target: t, pool: p}
	p.workers = append(p.workers, w)
	p.watch(w)
}

func (p *pool[J, R]) leave(name string) {
	p.workers = slices.DeleteFunc(p.workers, func(w *worker[J, R]) bool {
		if w.name != name {
			return false
		}
		w.gone = true
		if w.unwatch != nil {
			w.unwatch()
		}
		return true
	})
}

func (p *pool[J, R]) watch(w *worker[J, R]) {
	if w.unwatch != nil {
		return
	}
	self := p.self
	w.unwatch = w.Target.watch(p.ctx, func(d actors.Down) {
		_ = self.Control(isDown[J, R]{w, ending(d)}) // a pool that has stopped need not know
	})
}

// ending is why an actor has ended: never nil.
func ending(d actors.Down) error {
	if d.Reason == nil {
		return actors.ErrStopped
	}
	return d.Reason
}

// giveOut gives jobs to workers that may have one more.
func (p *pool[J, R]) giveOut(c *actors.Context[PoolMessage[J, R]]) {
	for len(p.waiting) > 0 {
		j := p.waiting[0]
		if !j.Waits() {
			p.waiting = p.waiting[1:]
			continue
		}
		w := p.free(p.PerWorker)
		if w == nil {
			break
		}
		p.waiting = p.waiting[1:]
		p.begin(c, j, w)
	}
	p.steal(c)
	if !p.sweeps && len(p.under)+len(p.waiting) > 0 {
		p.sweeps = true
		c.After(sweepEvery, sweep[J, R]{})
	}
}

// sweepEvery is how often the pool looks for jobs that nobody waits for.
const sweepEvery = time.Second

// free returns the worker that has least to do, if it has less than limit.
func (p *pool[J, R]) free(limit int) *worker[J, R] {
	var best *worker[J, R]
	for i := range p.workers {
		w := p.workers[(p.next+i)%len(p.workers)]
		most := limit
		if w.trial {
			most = 1
		}
		if !w.away && w.running < most && (best == nil || w.running < best.running) {
			best = w
		}
	}
	if best != nil {
		p.next = (slices.Index(p.workers, best) + 1) % len(p.workers)
	}
	return best
}

// steal gives those who have nothing to do what others have had for too long.
func (p *pool[J, R]) steal(c *actors.Context[PoolMessage[J, R]]) {
	if p.StealAfter <= 0 {
		return
	}
	for _, j := range p.under {
		if j.Once || len(j.runs) != 1 || !j.runs[0].long || !j.Waits() {
			continue
		}
		w := p.free(1)
		if w == nil {
			return
		}
		p.stats.Stolen++
		p.begin(c, j, w)
	}
}

// begin gives a job to a worker.
func (p *pool[J, R]) begin(c *actors.Context[PoolMessage[J, R]], j *job[J, R], w *worker[J, R]) {
	ctx, cancel := context.WithTimeout(p.ctx, p.Timeout)
	a := &attempt[J, R]{job: j, worker: w, cancel: cancel}
	if j.begun > 0 {
		p.stats.Repeated++
	}
	if len(j.runs) == 0 {
		p.under = append(p.under, j)
	}
	j.begun++
	j.runs = append(j.runs, a)
	w.running++
	if p.StealAfter > 0 {
		a.unclock = c.After(p.StealAfter, isLong[J, R]{a})
	}
	self := p.self
	go guarded(ctx, w.Ask, j.Work, func(v R, err error) {
		cancel()
		_ = self.Control(outcome[J, R]{a, v, err}) // a pool that has stopped has told the asker
	})
}

// ended is called when a worker has answered, or has not.
func (p *pool[J, R]) ended(c *actors.Context[PoolMessage[J, R]], o outcome[J, R]) {
	j, w := o.attempt.job, o.attempt.worker
	w.running--
	j.runs = slices.DeleteFunc(j.runs, func(a *attempt[J, R]) bool { return a == o.attempt })
	if len(j.runs) == 0 {
		p.under = slices.DeleteFunc(p.under, func(other *job[J, R]) bool { return other == j })
	}
	if o.attempt.unclock != nil {
		o.attempt.unclock()
	}
	what := fateOf(o.err)
	if errors.Is(o.err, context.Canceled) && j.over {
		return // another one was first, or nobody wants it any more
	}
	if what == answered {
		w.done++
		w.failures, w.trial = 0, false
		p.finish(j, func() {
			p.stats.Done++
			if o.err != nil {
				j.Fail(o.err)
			} else {
				j.Send(o.value)
			}
		})
		return
	}
	w.failed++
	p.fails(c, w, o.err)
	if what == mayHaveRun {
		j.attempts++
	}
	switch {
	case j.over || len(j.runs) > 0:
	case j.Once && what == mayHaveRun, j.attempts >= p.Attempts:
		p.finish(j, func() {
			p.stats.Failed++
			j.Fail(&Error{Code: ErrGaveUp.Code, Reason: "worker " + w.name, Err: o.err})
		})
	default:
		p.waiting = slices.Insert(p.waiting, 0, j) // it has waited already
	}
}

// finish answers a job, once, and calls off those who still have it.
func (p *pool[J, R]) finish(j *job[J, R], answer func()) {
	if j.over {
		return
	}
	j.over = true
	answer()
	for _, a := range j.runs {
		a.cancel()
	}
}

// fails sends a worker away for a while.
func (p *pool[J, R]) fails(c *actors.Context[PoolMessage[J, R]], w *worker[J, R], reason error) {
	if w.away || w.gone {
		return
	}
	w.away, w.reason = true, reason
	d := min(float64(p.Backoff.Initial)*math.Pow(p.Backoff.Factor, float64(w.failures)), float64(p.Backoff.Max))
	w.failures++
	c.After(time.Duration(d*(1+p.Rand())/2), isBack[J, R]{w})
}

// back takes it back, on trial.
func (p *pool[J, R]) back(w *worker[J, R]) {
	if w.gone {
		return
	}
	w.away, w.trial = false, true
	p.watch(w)
}

// sweep forgets jobs that nobody waits for.
func (p *pool[J, R]) sweep() {
	p.sweeps = false
	p.waiting = slices.DeleteFunc(p.waiting, func(j *job[J, R]) bool { return !j.Waits() })
	for _, j := range p.under {
		if !j.Waits() {
			p.finish(j, func() {})
		}
	}
}

func (p *pool[J, R]) status() PoolStats {
	s := p.stats
	s.Waiting = len(p.waiting)
	s.Workers = make([]WorkerStats, 0, len(p.workers))
	for _, w := range p.workers {
		ws := WorkerStats{Name: w.name, Running: w.running, Away: w.away, Done: w.done, Failed: w.failed}
		if w.away {
			ws.Reason = w.reason.Error()
		}
		s.Running += w.running
		s.Workers = append(s.Workers, ws)
	}
	return s
}
