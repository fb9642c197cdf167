package actors

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/pando-agents/pando/supervisor"
)

// Process is an actor as a supervised child: it has no goroutine of its own,
// and an idle one costs memory only. A restart makes a new incarnation behind
// the same mailbox; an abandonment closes it, and the successor gets a new one.
// Refs stay valid in either case.
type Process[M any] struct {
	sys  *System
	spec Spec[M]
	far  Far[M] // set when the actor lives elsewhere: there is nothing else then

	mu    sync.Mutex // what its shells and incarnations share with others, too
	shell atomic.Pointer[shell[M]]
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
	done := make(chan error, 1)
	giveUp := sh.begin(inc, func(err error) { done <- err })
	select {
	case err = <-done:
	case <-ctx.Done():
		giveUp(context.Cause(ctx))
		err = <-done
	}
	return err
}

// Begin is Start that does not wait: started is called when Start would return,
// giveUp is the end of its context. The start is done by the dispatcher; after a
// failure, by the worker that has told it.
func (p *Process[M]) Begin(inc supervisor.Incarnation, started func(error)) (giveUp func(error)) {
	sh, _ := p.ensureShell(context.Background())
	return sh.begin(inc, started)
}

// Stop asks incarnation gen to end after the message under way. What is queued
// goes to the dead letters.
func (p *Process[M]) Stop(gen uint64, reason error) {
	if sh := p.shell.Load(); sh != nil {
		sh.box.pushSystem(&stopMessage{gen: gen, reason: reason})
	}
}

// Abandon fences incarnation gen off: its mailbox is closed, its PID removed.
// What it still does outside of its context cannot be stopped.
func (p *Process[M]) Abandon(gen uint64) {
	sh := p.shell.Load()
	if sh == nil || sh.started.Load() > gen || !p.forget(sh) {
		return
	}
	sh.fence(ErrFenced)
	sh.box.pushSystem(returned{}) // its exit is told when it comes back
	sh.close()
}

// Kill fences off the incarnation in charge and reports reason as its end at
// once, for those who find that it hangs: the supervisor decides what comes
// after it. The mailbox of an incarnation that has failed already is closed too:
// that is for an actor that will not be started again.
func (p *Process[M]) Kill(reason error) {
	p.mu.Lock()
	sh := p.shell.Swap(nil)
	p.mu.Unlock()
	if sh == nil {
		return
	}
	if cx := sh.fence(reason); cx != nil {
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
	if sh := p.shell.Load(); sh != nil {
		return sh, nil
	}
	sh := newShell(p)
	p.shell.Store(sh)
	return sh, nil
}

// forget drops the shell, so that the next start makes a new one. It reports
// whether s was the present one.
func (p *Process[M]) forget(s *shell[M]) bool {
	p.mu.Lock() // not between two steps of Ref.PID
	defer p.mu.Unlock()
	return p.shell.CompareAndSwap(s, nil)
}

// Stats returns how many user messages wait in the present mailbox, the most
// that ever did, and how many its policies have dropped. It is what a snapshot
// of the supervisor shows.
func (p *Process[M]) Stats() supervisor.Stats {
	sh := p.shell.Load()
	if sh == nil {
		return supervisor.Stats{}
	}
	waiting, highWater, dropped := sh.box.load()
	return supervisor.Stats{Queue: waiting, HighWater: highWater, Dropped: dropped}
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
	cx       *Context[M]
	started  func(error)
	complete atomic.Bool
	givenUp  atomic.Pointer[error]
}

// giveUp ends the context of an incarnation whose start is not complete. One
// that has not begun will not begin. What watches it is called elsewhere: the
// supervisor does not wait.
func (m *startMessage[M]) giveUp(reason error) {
	if !m.complete.Load() && m.givenUp.CompareAndSwap(nil, &reason) {
		go m.cx.end(reason)
	}
}

func (m *startMessage[M]) done(err error) {
	m.complete.Store(true)
	m.started(err)
}

// refused returns why the start is not to begin.
func (m *startMessage[M]) refused() error {
	if m.cx.Fenced() {
		return ErrFenced
	}
	if reason := m.givenUp.Load(); reason != nil {
		return *reason
	}
	return nil
}

type stopMessage struct {
	gen    uint64
	reason error
}

// returned is what a fenced incarnation finds when it comes back.
type returned struct{}
