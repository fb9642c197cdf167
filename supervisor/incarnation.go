package supervisor

import (
	"context"
	"errors"
	"fmt"
	"runtime/pprof"
	"sync"
	"sync/atomic"
)

// running is what the runtime needs for an incarnation that has a context or a timer.
type running struct {
	cancel func(reason error) // ends the context, or gives the start up
	begun  bool               // by Begin: its deadline is watched together with others
	timer  func() bool        // stops the timer
	label  string             // finds its goroutines in a profile
	busy   <-chan struct{}    // closed when the call of Stop or Abandon has returned; nil when there was none
}

// An incarnation is the goroutine side of one life of a child. For a Process it lives as long as the start.
type incarnation struct {
	s     *Supervisor
	c     *child
	gen   uint64
	outer *incarnation // the incarnation that the supervisor itself is, in the supervisor above
	up    atomic.Bool
	once  sync.Once
	ready <-chan struct{}
	// process is set in contexts that outlive the start of a Process.
	process *lifetime
}

// isUp reports whether the start is complete.
func (inc *incarnation) isUp() bool {
	return inc.up.Load() || inc.process != nil && inc.process.up.Load()
}

// A lifetime is what a Process holds of its supervisor.
type lifetime struct {
	s   *Supervisor
	c   *child
	gen uint64
	up  atomic.Bool
}

func (l *lifetime) exit(reason error) {
	l.s.post(event{kind: evExited, c: l.c, gen: l.gen, err: reason})
}

// incarnationContext carries the incarnation to what is called with it, so that a call which would wait for
// itself can be told from others.
type incarnationContext struct {
	context.Context
	inc *incarnation
}

type incarnationKey struct{}

func (c *incarnationContext) Value(key any) any {
	if key == (incarnationKey{}) {
		return c.inc
	}
	return c.Context.Value(key)
}

func incarnationOf(ctx context.Context) *incarnation {
	inc, _ := ctx.Value(incarnationKey{}).(*incarnation)
	return inc
}

// launch starts the goroutine of an incarnation.
func (s *Supervisor) launch(c *child, gen uint64) {
	var before <-chan struct{}
	if c.run != nil && !c.run.idle() {
		before = c.run.busy
	}
	if b, ok := c.spec.Process.(beginner); ok && before == nil {
		s.beginProcess(c, gen, b)
		return
	}
	inc := &incarnation{s: s, c: c, gen: gen, outer: s.outer}
	ctx, cancel := context.WithCancelCause(&incarnationContext{s.base, inc})
	run := &running{cancel: cancel}
	if c.spec.Process != nil {
		c.run = run
		go inc.startProcess(ctx, cancel, before)
		return
	}
	c.run = run
	run.label = fmt.Sprintf("%s/%s#%d %p", s.place.Load().path, c.spec.ID, gen, inc)
	go inc.serve(pprof.WithLabels(ctx, pprof.Labels(goroutineLabel, run.label)), cancel)
}

// protect calls f, and done with what came of it, also when f panics or calls runtime.Goexit.
func protect(f func() error, done func(error)) {
	var err error
	returned := false
	defer func() {
		if !returned {
			err = Recovered(recover())
		}
		done(err)
	}()
	err = f()
	returned = true
}

// A beginner is a Process whose start needs no goroutine.
type beginner interface {
	Begin(inc Incarnation, started func(error)) (giveUp func(reason error))
}

// beginProcess has a start begun. Nothing was asked of the incarnation before that is not done.
func (s *Supervisor) beginProcess(c *child, gen uint64, b beginner) {
	run := &running{begun: true}
	c.run = run
	var why atomic.Pointer[error]
	own := s.life(c, gen)
	started := func(err error) {
		if reason := why.Load(); reason != nil && tells(err, *reason) {
			err = context.Canceled
		}
		own.life.up.Store(true)
		s.post(event{kind: evStarted, c: c, gen: gen, err: err})
	}
	protect(func() error {
		giveUp := b.Begin(own, started)
		run.cancel = func(reason error) { why.CompareAndSwap(nil, &reason); giveUp(reason) }
		return nil
	}, func(err error) {
		if err != nil {
			started(err)
		}
	})
}

// life returns what a Process gets.
func (s *Supervisor) life(c *child, gen uint64) Incarnation {
	l := &lifetime{s: s, c: c, gen: gen}
	return Incarnation{Generation: gen, Exit: l.exit, life: l}
}

// startProcess calls Start when what was asked of the incarnation before is done.
func (inc *incarnation) startProcess(ctx context.Context, cancel context.CancelCauseFunc, before <-chan struct{}) {
	pprof.SetGoroutineLabels(ctx) // whoever has told an end may have had others
	s, c, gen := inc.s, inc.c, inc.gen
	own := s.life(c, gen)
	protect(func() error {
		if before != nil {
			select {
			case <-before:
			case <-ctx.Done():
			}
		}
		if ctx.Err() != nil { // asked to stop, or abandoned, before it has begun
			return context.Cause(ctx)
		}
		return c.spec.Process.Start(ctx, own)
	}, func(err error) {
		if heeds(ctx, err) {
			err = context.Canceled // the reason of the stop is no failure
		}
		inc.up.Store(true)
		own.life.up.Store(true)
		cancel(nil)
		s.post(event{kind: evStarted, c: c, gen: gen, err: err})
	})
}

// heeds reports whether err says that ctx is done, or why.
func heeds(ctx context.Context, err error) bool {
	return ctx.Err() != nil && (tells(err, ctx.Err()) || tells(err, context.Cause(ctx)))
}

// tells reports whether err is reason, which is no failure then, and not a panic with it. There may be a panic inside
// reason: that of a sibling.
func tells(err, reason error) bool {
	_, panicked := err.(*PanicError)
	return errors.Is(err, reason) && !panicked
}

func (inc *incarnation) serve(ctx context.Context, cancel context.CancelCauseFunc) {
	pprof.SetGoroutineLabels(ctx)
	protect(func() error {
		err := inc.run(ctx)
		if heeds(ctx, err) {
			return nil
		}
		return err
	}, func(err error) {
		select {
		case <-inc.ready: // it became ready and ended at once: the start has to be told first
			inc.started()
		default:
		}
		cancel(ErrEnded) // for what it has left running
		inc.s.post(event{kind: evExited, c: inc.c, gen: inc.gen, err: err})
	})
}

func (inc *incarnation) run(ctx context.Context) error {
	if ctx.Err() != nil { // asked to stop, or abandoned, before it has begun
		return nil
	}
	service := inc.c.spec.Service
	if service == nil {
		if service = inc.c.spec.New(); service == nil {
			return invalid("New returned no service")
		}
		if load, ok := service.(loaded); ok {
			inc.s.post(event{kind: evLoaded, c: inc.c, gen: inc.gen, load: load})
		}
	}
	if r, ok := service.(interface{ Ready() <-chan struct{} }); ok {
		inc.ready = r.Ready()
		go inc.awaitReady(ctx, inc.ready)
	} else {
		inc.started()
	}
	return service.Serve(ctx)
}

func (inc *incarnation) awaitReady(ctx context.Context, ready <-chan struct{}) {
	select {
	case <-ready:
		inc.started()
	case <-ctx.Done():
	}
}

// started may be called twice; whoever returns from it knows that the event is queued.
func (inc *incarnation) started() {
	inc.once.Do(func() {
		inc.up.Store(true)
		inc.s.post(event{kind: evStarted, c: inc.c, gen: inc.gen})
	})
}

// giveUp ends the context of a Service. For a Process that is the context of its start.
func (r *running) giveUp(c *child, reason error) {
	if r != nil && r.cancel != nil && (c.spec.Process == nil || !c.up) {
		r.cancel(reason)
	}
}

// stop asks the present incarnation of c to end.
func (s *Supervisor) stop(c *child, gen uint64, reason error) {
	c.run.giveUp(c, reason)
	if c.spec.Process != nil && c.up {
		s.call(c, gen, "Stop", func() { c.spec.Process.Stop(gen, reason) })
	}
}

// call calls Stop or Abandon for the present incarnation of c. The next one has to wait for it, the supervisor not.
func (s *Supervisor) call(c *child, gen uint64, method string, f func()) <-chan struct{} {
	done := make(chan struct{})
	if c.run == nil {
		c.run = new(running)
	}
	c.run.busy = done
	go func() {
		defer close(done)
		s.attempt(c, gen, method, f)
	}()
	return done
}

// attempt calls a method of a Process that has no way to report a failure. One that panics has not done what it was
// asked for: that shows when the deadline passes.
func (s *Supervisor) attempt(c *child, gen uint64, method string, f func()) {
	protect(func() error { f(); return nil }, func(err error) {
		if err != nil {
			s.opts.Logger.Error("process method failed", "supervisor", s.place.Load().path, "actor", c.spec.ID,
				"incarnation", gen, "method", method, "err", err)
		}
	})
}

// arm sets the one timer that a child has.
func (s *Supervisor) arm(c *child, act action) {
	if c.run == nil {
		c.run = new(running)
	}
	if act.timer == timerStart && c.run.begun {
		s.watch(s.now.Sub(s.epoch) + act.delay)
		return
	}
	gen, kind := act.gen, act.timer
	c.run.timer = s.opts.AfterFunc(act.delay, func() {
		s.post(event{kind: evTimer, timer: kind, c: c, gen: gen})
	})
}

func (s *Supervisor) disarm(c *child) {
	if c.run == nil {
		return
	}
	if c.run.timer != nil {
		c.run.timer()
		c.run.timer = nil
	}
	if c.spec.Process == nil || !c.up {
		return
	}
	if c.run.idle() {
		c.run = nil // an idle one is to cost no more than its record
	}
}

// idle reports whether no call of Stop or Abandon is under way.
func (r *running) idle() bool {
	select {
	case <-r.busy:
		return true
	default:
		return r.busy == nil
	}
}
