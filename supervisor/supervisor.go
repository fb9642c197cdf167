package supervisor

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// A Supervisor starts its children, watches them and starts them again when they fail. It is itself a [Service]
// with a Ready method, so that supervisors make trees. All methods may be called on any goroutine.
type Supervisor struct {
	opts  Options
	epoch time.Time
	place atomic.Pointer[place]
	queue queue
	subs  subscribers
	lost  lostList

	inquests inquests
	fencing  sync.WaitGroup // calls of Abandon
	givingUp callbacks

	mu    sync.Mutex        // held while the core takes a step, and by those who look at it
	core  *core             // nil while not being served
	gens  map[string]uint64 // what the core of the last Serve has left
	ready chan struct{}     // replaced, and closed, by the goroutine of Serve only

	// Set by Serve before the first event, and used by whoever has the turn.
	base  context.Context // what the contexts of children come from; never done
	outer *incarnation
	// unlogged is what is left to be logged, by Serve: nothing waits for that.
	unlogged []logEntry
	over     bool  // no child is left
	result   error // what Serve returns then
	broken   error // why whoever had the turn has failed in it
	now      time.Time
	starts   watch
}

// maxUnlogged is how much may wait to be logged before ends and starts wait for it too.
const maxUnlogged = 64

// place is where the supervisor is in the tree. It is kept after Serve, for the children that were abandoned.
type place struct {
	path   string
	parent *Supervisor
}

// New returns a supervisor. It starts nothing: that is for [Supervisor.Serve], which also checks the child specs.
func New(o Options) *Supervisor {
	s := &Supervisor{opts: o.withDefaults(), ready: make(chan struct{})}
	s.queue.wake = make(chan struct{}, 1)
	s.epoch = s.opts.Now()
	s.place.Store(&place{path: s.opts.Name})
	return s
}

// Ready returns a channel that is closed when all of [Options.Children] are up. It is for one call of Serve, the
// present one or else the next.
func (s *Supervisor) Ready() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ready
}

// Serve starts the children in order and supervises them until ctx is done, then stops them in reverse order, each
// with its own deadline, and returns nil. The context of each child has the values of ctx but is done only when
// its own turn has come, with the cause of ctx.
//
// It stops all children and returns an error earlier if the first start of a child fails (ErrStartFailed) or the
// budget is exceeded (ErrBudgetExceeded), with the child's reason wrapped. It returns ErrInvalidSpec or
// ErrDuplicate before it has started anything if the options are not valid, and ErrRunning if it is running.
//
// After it has returned it may be called again. Children added by StartChild are gone then; the others start with the
// generation after their last one. Only goroutines of
// abandoned children may be left, and the last call of OnGiveUp.
func (s *Supervisor) Serve(ctx context.Context) error {
	if ctx.Err() != nil {
		return nil
	}
	if err := s.begin(ctx); err != nil {
		return err
	}
	stop := ctx.Done()
	for {
		select {
		case <-s.queue.wake:
		case <-stop:
			stop = nil
			s.post(event{kind: evShutdown, err: context.Cause(ctx)})
		}
		if s.work() {
			err := s.result
			s.finish()
			return err
		}
	}
}

func (s *Supervisor) begin(ctx context.Context) error {
	if err := s.opts.validate(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.core != nil {
		return ErrRunning
	}
	s.core = newCore(&s.opts, s.gens)
	s.over, s.result = false, nil
	s.base, s.outer = context.WithoutCancel(ctx), incarnationOf(ctx)
	here := &place{path: s.opts.Name}
	if s.outer != nil {
		here.parent = s.outer.s
		here.path = here.parent.place.Load().path + "/" + s.outer.c.spec.ID
		here.parent.post(event{kind: evNested, c: s.outer.c, gen: s.outer.gen, sub: s})
	}
	s.place.Store(here)
	s.queue.start(event{kind: evBoot})
	return nil
}

// work takes all events that are queued, and logs. It reports whether the last child is gone; it has the turn then,
// so that nobody takes it any more.
func (s *Supervisor) work() (over bool) {
	events, turn := s.queue.take()
	if !turn {
		return false
	}
	if s.broken != nil {
		panic(s.broken)
	}
	for _, ev := range events {
		if s.over {
			s.refuse(ev)
			continue
		}
		s.mu.Lock()
		s.handle(ev)
	}
	s.queue.giveBack(events)
	entries := s.unlogged
	s.unlogged = nil
	if over = s.over; !over {
		s.queue.release(false)
	}
	for _, e := range entries {
		s.log(e.Event, e.level, nil)
	}
	return over
}

// handle has the core take an event, and carries out what it says. It is called with the turn, and with the mutex
// held, which it releases.
func (s *Supervisor) handle(ev event) {
	if ev.kind == evWatch {
		s.overdue(ev.at)
		return
	}
	for _, act := range s.decide(ev) {
		s.perform(act)
	}
}

func (s *Supervisor) decide(ev event) []action {
	defer s.mu.Unlock()
	s.now = s.opts.Now()
	ev.at = s.now.Sub(s.epoch)
	return s.core.step(ev)
}

// hurry handles an event on the goroutine that brings it, so that a restart does not wait for that of Serve. It
// reports false if that is not possible without waiting.
func (s *Supervisor) hurry(ev event) bool {
	if !s.queue.overtake() {
		return false
	}
	if s.over || len(s.unlogged) >= maxUnlogged || !s.mu.TryLock() {
		s.queue.release(false)
		return false
	}
	handled := false
	defer func() {
		if !handled { // a function of the options has failed: that is for Serve
			s.broken = Recovered(recover())
		}
		s.queue.release(!handled || s.over || len(s.unlogged) > 0)
	}()
	s.handle(ev)
	handled = true
	return true
}

func (s *Supervisor) perform(act action) {
	c := act.c
	switch act.kind {
	case actStart:
		s.launch(c, act.gen)
	case actStop:
		s.stop(c, act.gen, act.err)
	case actAbandon:
		s.abandon(c, act)
	case actArm:
		s.arm(c, act)
	case actDisarm:
		s.disarm(c)
	case actNote:
		s.note(Event{Kind: act.note, Child: c.spec.ID, Generation: act.gen, Reason: act.err, Delay: act.delay})
	case actReply:
		act.w.reply <- act.err
	case actGiveUp:
		if s.opts.OnGiveUp != nil {
			s.givingUp.add(s, c.spec.ID, act.err)
		}
	case actReady:
		close(s.ready)
	case actLateStart:
		s.lateStart(c, act.gen, act.err, s.note)
	case actLateExit:
		s.late(c, act.gen, act.err, s.note)
	case actDone:
		s.over, s.result = true, act.err
	}
}

func (s *Supervisor) finish() {
	for _, ev := range s.queue.close() {
		s.refuse(ev)
	}
	s.starts.end()
	s.inquests.done.Wait()
	s.fencing.Wait() // or else it could hit an incarnation of the next Serve
	s.mu.Lock()
	defer s.mu.Unlock()
	s.core, s.gens = nil, s.core.gens
	select {
	case <-s.ready:
		s.ready = make(chan struct{})
	default:
	}
}

// post hands an event over. It never blocks.
func (s *Supervisor) post(ev event) {
	if (ev.kind == evExited || ev.kind == evStarted) && ev.c.spec.Process != nil && s.hurry(ev) {
		return
	}
	if !s.queue.put(ev) {
		s.refuse(ev)
	}
}

// refuse takes an event that comes when the supervisor is not being served.
func (s *Supervisor) refuse(ev event) {
	switch {
	case ev.w != nil:
		ev.w.reply <- ErrNotRunning
	case ev.kind == evStarted:
		s.lateStart(ev.c, ev.gen, ev.err, s.tell)
	case ev.kind == evExited:
		s.late(ev.c, ev.gen, ev.err, s.tell)
	}
}
