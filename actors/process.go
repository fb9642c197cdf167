package actors

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/pando-agents/pando/supervisor"
)

// Process is an actor as a supervised child: it has no goroutine of its own,
// and an idle one costs memory only. A restart makes a new incarnation behind
// the same mailbox and PID; an abandonment closes both, and the successor gets
// new ones. Refs stay valid in either case.
type Process[M any] struct {
	sys     *System
	spec    Spec[M]
	mailbox atomic.Pointer[mailbox[M]]

	mu    sync.Mutex
	shell *shell[M]
}

var _ supervisor.Process = (*Process[int])(nil)

// New returns a process that a supervisor can start.
func New[M any](sys *System, spec Spec[M]) *Process[M] {
	if spec.Capacity <= 0 {
		spec.Capacity = DefaultCapacity
	}
	return &Process[M]{sys: sys, spec: spec}
}

// Ref returns the address of the actor. Messages sent before the first start
// are refused with ErrStopped.
func (p *Process[M]) Ref() Ref[M] { return Ref[M]{p} }

// Start runs the factory and the Starter of one incarnation inside the shell and
// waits for them. When ctx ends, so does the Context of the incarnation; a
// Starter that goes on all the same is waited for, so that the supervisor does
// not lose sight of it.
func (p *Process[M]) Start(ctx context.Context, inc supervisor.Incarnation) error {
	sh, err := p.ensureShell(ctx)
	if err != nil {
		return err
	}
	cx := &Context[M]{process: p, generation: inc.Generation, exit: inc.Exit}
	m := &startMessage[M]{cx: cx, done: make(chan error, 1)}
	if !sh.mb.pushSystem(m) {
		return ErrStopped
	}
	select {
	case err = <-m.done:
	case <-ctx.Done():
		cx.end(context.Cause(ctx))
		err = <-m.done
	}
	return err
}

// Stop asks incarnation gen to end after the message under way. What is queued
// goes to the dead letters.
func (p *Process[M]) Stop(gen uint64, reason error) {
	p.mu.Lock()
	sh := p.shell
	p.mu.Unlock()
	if sh != nil {
		sh.mb.pushSystem(&stopMessage{gen: gen, reason: reason})
	}
}

// Abandon fences incarnation gen off: its mailbox is closed, its PID removed.
// What it still does outside of its context cannot be stopped.
func (p *Process[M]) Abandon(gen uint64) {
	p.mu.Lock()
	sh := p.shell
	if sh == nil || sh.started.Load() > gen {
		p.mu.Unlock()
		return
	}
	p.shell = nil
	p.mu.Unlock()
	sh.fence()
	sh.mb.pushSystem(returned{}) // its exit is told when it comes back
	sh.close()
}

// Kill fences off the incarnation in charge and reports reason as its end at
// once, for those who find that it hangs: the supervisor decides what comes
// after it. The mailbox of an incarnation that has failed already is closed too:
// that is for an actor that will not be started again.
func (p *Process[M]) Kill(reason error) {
	p.mu.Lock()
	sh := p.shell
	p.shell = nil
	p.mu.Unlock()
	if sh == nil {
		return
	}
	if cx := sh.fence(); cx != nil {
		cx.leave(reason)
	}
	sh.close()
}

// ensureShell returns the shell, spawned anew where there is none.
func (p *Process[M]) ensureShell(ctx context.Context) (*shell[M], error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := context.Cause(ctx); err != nil {
		return nil, err // given up on before it began: there may be a successor
	}
	if p.shell != nil {
		return p.shell, nil
	}
	sh, err := newShell(p)
	if err != nil {
		return nil, err
	}
	p.shell = sh
	p.mailbox.Store(sh.mb)
	return sh, nil
}

// forget drops the shell, so that the next start spawns a new one.
func (p *Process[M]) forget(s *shell[M]) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shell == s {
		p.shell = nil
	}
}

// lost takes a message that nobody will handle.
func (p *Process[M]) lost(m any, err error) {
	p.sys.deadLetters.Add(1)
	u, ok := m.(Unhandled)
	if !ok {
		return
	}
	defer func() {
		if v := recover(); v != nil {
			p.sys.log.Error("message panicked when told that nobody handles it",
				"actor", p.spec.Name, "err", supervisor.Recovered(v))
		}
	}()
	u.NotHandled(err)
}

type startMessage[M any] struct {
	cx   *Context[M]
	done chan error
}

type stopMessage struct {
	gen    uint64
	reason error
}

// returned is what a fenced incarnation finds when it comes back.
type returned struct{}

// shell is what protoactor-go spawns: one mailbox and one PID, and in it the
// incarnations, one after the other.
type shell[M any] struct {
	p       *Process[M]
	mb      *mailbox[M]
	pid     *actor.PID
	started atomic.Uint64 // generation of the latest incarnation
	fenced  atomic.Bool

	cx atomic.Pointer[Context[M]]

	// watchers are protoactor-go actors, gone says that they have been told;
	// both are guarded by p.mu.
	watchers []*actor.PID
	gone     bool

	// Only the mailbox's task touches these.
	inst  Actor[M]
	idler Idler
}

func newShell[M any](p *Process[M]) (*shell[M], error) {
	s := &shell[M]{p: p}
	s.mb = &mailbox[M]{owner: s, capacity: p.spec.Capacity, suspended: true}
	s.mb.runFn = s.mb.run
	// Not through Props: its actor context brings the machinery that the shell
	// replaces, and half a kilobyte for each actor.
	registry := p.sys.protoSystem().ProcessRegistry
	pid, absent := registry.Add(actor.NewActorProcess(s.mb), registry.NextID()+"/"+p.spec.Name)
	if !absent {
		return nil, fmt.Errorf("spawn actor %s: %w", p.spec.Name, actor.ErrNameExists)
	}
	s.pid = pid
	return s, nil
}

// schedule has the mailbox run.
func (s *shell[M]) schedule(run func()) { s.p.sys.dispatcher.Schedule(run) }

// system handles the messages of the shell itself and of protoactor-go.
func (s *shell[M]) system(v any) {
	switch m := v.(type) {
	case *startMessage[M]:
		s.start(m)
	case *stopMessage:
		if m.gen == s.started.Load() && s.inst != nil {
			s.stop(m.reason)
		}
	case returned:
		s.clear()
		if cx := s.cx.Load(); cx != nil {
			cx.leave(ErrFenced)
		}
	case *actor.Stop:
		if s.inst != nil {
			s.stop(ErrStopped)
		}
	case *actor.Watch:
		s.watch(m.Watcher)
	case *actor.Unwatch:
		s.p.mu.Lock()
		s.watchers = slices.DeleteFunc(s.watchers, m.Watcher.Equal)
		s.p.mu.Unlock()
	}
}

// unregister takes the PID out of the process registry and tells the
// protoactor-go actors that watch it.
func (s *shell[M]) unregister() {
	registry := s.p.sys.protoSystem().ProcessRegistry
	registry.Remove(s.pid)
	s.p.mu.Lock()
	watchers := s.watchers
	s.watchers, s.gone = nil, true
	s.p.mu.Unlock()
	for _, w := range watchers {
		s.terminated(w)
	}
}

// watch takes a protoactor-go actor that wants to hear of the end; one that
// comes too late hears of it at once.
func (s *shell[M]) watch(watcher *actor.PID) {
	s.p.mu.Lock()
	gone := s.gone
	if !gone {
		s.watchers = append(s.watchers, watcher)
	}
	s.p.mu.Unlock()
	if gone {
		s.terminated(watcher)
	}
}

func (s *shell[M]) terminated(watcher *actor.PID) {
	if process, ok := s.p.sys.protoSystem().ProcessRegistry.Get(watcher); ok {
		process.SendSystemMessage(watcher, &actor.Terminated{Who: s.pid})
	}
}

// start makes one incarnation.
func (s *shell[M]) start(m *startMessage[M]) {
	cx := m.cx
	s.started.Store(cx.generation)
	s.cx.Store(cx)
	if s.fenced.Load() { // after the store: whoever fences sees cx, or is seen here
		s.fence()
	}
	var inst Actor[M]
	guard(func() error {
		if cx.Fenced() {
			return ErrFenced
		}
		if inst = s.p.spec.New(); inst == nil {
			return errNoActor
		}
		if st, ok := inst.(Starter[M]); ok {
			return st.Start(cx)
		}
		return nil
	}, func(err error) {
		if err == nil && cx.Fenced() {
			err = ErrFenced
		}
		if err != nil {
			cx.left.Store(true) // it never was in charge: Start's error tells its end
			cx.end(err)
			m.done <- err
			return
		}
		s.inst = inst
		s.idler, _ = inst.(Idler)
		s.mb.resume()
		m.done <- nil
		if cx.stopping {
			s.leave(cx)
		}
	})
}

// stop ends the incarnation in an orderly way and closes the mailbox.
func (s *shell[M]) stop(reason error) {
	inst, cx := s.inst, s.cx.Load()
	s.clear()
	guard(func() error {
		if st, ok := inst.(Stopper); ok {
			st.Stop(reason)
		}
		return nil
	}, func(err error) {
		cx.end(reason)
		s.p.forget(s)
		s.close()
		cx.leave(err)
	})
}

// close closes the mailbox and takes the PID out of the process registry.
func (s *shell[M]) close() {
	s.mb.close()
	s.unregister()
}

// fence keeps the incarnation in charge, if there is one, and those that would
// follow it in this shell from everything that a successor has. It returns it.
func (s *shell[M]) fence() *Context[M] {
	s.fenced.Store(true)
	cx := s.cx.Load()
	if cx != nil {
		cx.fenced.Store(true)
		cx.end(ErrFenced)
	}
	return cx
}

// fail ends an incarnation that cannot go on. The mailbox is kept, suspended,
// for the next one.
func (s *shell[M]) fail(reason error) {
	cx := s.cx.Load()
	s.mb.suspend()
	s.clear()
	cx.end(reason)
	cx.leave(reason)
}

func (s *shell[M]) clear() { s.inst, s.idler = nil, nil }

// handle runs one message.
func (s *shell[M]) handle(m M) {
	cx := s.cx.Load()
	done := false
	defer func() {
		if !done {
			defer s.fail(supervisor.Recovered(recover()))
			s.p.lost(m, ErrNotRun)
		}
	}()
	s.inst.Receive(cx, m)
	done = true
	if cx.stopping {
		s.leave(cx)
	}
}

// leave ends the incarnation at its own wish. One that is fenced off has nothing
// left to end: what it finds next in its mailbox is that it was told so.
func (s *shell[M]) leave(cx *Context[M]) {
	if cx.Fenced() {
		return
	}
	if cx.reason == nil {
		s.stop(nil)
		return
	}
	s.fail(cx.reason)
}

// idle runs the Idler of the incarnation.
func (s *shell[M]) idle() {
	if s.idler == nil {
		return
	}
	done := false
	defer func() {
		if !done {
			s.fail(supervisor.Recovered(recover()))
		}
	}()
	s.idler.Idle()
	done = true
	if cx := s.cx.Load(); cx.stopping {
		s.leave(cx)
	}
}

// guard runs user code and tells then how it went: a panic is an error, and so
// is runtime.Goexit, during which then runs while the goroutine unwinds.
func guard(f func() error, then func(error)) {
	done := false
	var err error
	defer func() {
		if !done {
			err = supervisor.Recovered(recover())
		}
		then(err)
	}()
	err = f()
	done = true
}
