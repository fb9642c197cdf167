package actors

import (
	"sync/atomic"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/pando-agents/pando/supervisor"
)

// shell is one mailbox and, in it, the incarnations, one after the other.
type shell[M any] struct {
	p       *Process[M]
	box     mailbox[M]
	started atomic.Uint64 // generation of the latest incarnation
	cx      atomic.Pointer[Context[M]]
	links   *links // guarded by the mutex of the Process
	inst    Actor[M]
	fenced  atomic.Bool
	idles   bool // inst is an Idler. Only the mailbox's task touches the two.
}

func newShell[M any](p *Process[M]) *shell[M] {
	s := &shell[M]{p: p}
	s.box.owner = s
	s.box.suspended = true
	return s
}

// schedule has the mailbox run.
func (s *shell[M]) schedule() { s.p.sys.dispatcher.schedule(&s.box) }

// system handles the messages of the shell itself and of protoactor-go.
func (s *shell[M]) system(v any) {
	switch m := v.(type) {
	case *startMessage[M]:
		s.start(m)
	case *stopMessage:
		if m.gen == s.started.Load() && s.inst != nil {
			s.stop(m.reason)
		}
	case *notice[M]:
		s.notice(m)
	case *severance[M]:
		s.severance(m)
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
		s.unwatch(m.Watcher)
	}
}

// begin has the task make an incarnation.
func (s *shell[M]) begin(inc supervisor.Incarnation, started func(error)) (giveUp func(error)) {
	cx := &Context[M]{shell: s, generation: inc.Generation, life: inc}
	m := &startMessage[M]{cx: cx, started: started}
	if !s.box.pushSystem(m) {
		m.done(ErrStopped)
	}
	return m.giveUp
}

// start makes one incarnation.
func (s *shell[M]) start(m *startMessage[M]) {
	cx := m.cx
	s.started.Store(cx.generation)
	s.cx.Store(cx)
	if s.fenced.Load() { // after the store: whoever fences sees cx, or is seen here
		s.fence(ErrFenced)
	}
	var inst Actor[M]
	guard(func() error {
		if err := m.refused(); err != nil {
			return err
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
		if err == nil {
			err = cx.severed()
		}
		if err != nil {
			cx.left.Store(true) // it never was in charge: Start's error tells its end
			cx.end(err)
			m.done(err)
			return
		}
		s.inst = inst
		_, s.idles = inst.(Idler)
		s.box.resume()
		m.done(nil)
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
		if err != nil {
			reason = err
		}
		cx.end(reason)
		s.p.forget(s)
		s.close()
		cx.leave(err)
	})
}

// close closes the mailbox and takes the PID out of the process registry.
func (s *shell[M]) close() {
	s.box.close()
	s.unregister()
}

// fence keeps the incarnation in charge, if there is one, and those that would
// follow it in this shell from everything that a successor has. It returns it.
func (s *shell[M]) fence(reason error) *Context[M] {
	s.fenced.Store(true)
	cx := s.cx.Load()
	if cx != nil {
		cx.fenced.Store(true)
		cx.end(reason)
	}
	return cx
}

// fail ends an incarnation that cannot go on. The mailbox is kept, suspended,
// for the next one.
func (s *shell[M]) fail(reason error) {
	cx := s.cx.Load()
	s.box.suspend()
	s.clear()
	cx.end(reason)
	cx.leave(reason)
}

func (s *shell[M]) clear() { s.inst, s.idles, s.box.worked = nil, false, false }

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
	if !s.idles {
		return
	}
	done := false
	defer func() {
		if !done {
			s.fail(supervisor.Recovered(recover()))
		}
	}()
	s.inst.(Idler).Idle()
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
