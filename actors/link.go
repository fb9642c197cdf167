package actors

import (
	"fmt"
	"sync/atomic"
)

// LinkError is why an incarnation has ended that was linked to another one. It
// is passed on from link to link as it is, and so tells of the one that was the
// first to end.
type LinkError struct {
	// Actor is the name in its spec.
	Actor string
	// Generation is the number of the incarnation; 0 if there never was one.
	Generation uint64
	// Reason is why it has ended: as in Down, but never nil, and ErrStopped if
	// it had ended before the link was made.
	Reason error
}

// Error names the actor and its reason.
func (e *LinkError) Error() string {
	return fmt.Sprintf("linked to %s#%d, which ended: %v", e.Actor, e.Generation, e.Reason)
}

// Unwrap returns the reason.
func (e *LinkError) Unwrap() error { return e.Reason }

// Link ties the incarnation c and that of target which is in charge: when one of
// them ends, but for a nil reason, the other fails with a *LinkError after the
// message under way, before those that wait. A stop that a supervisor asks for
// is no normal end, as in OTP, because it gives a reason. If target has ended
// already, or was never started, c fails in the same way, with ErrStopped
// inside; during its Start, the start fails.
//
// Both sides of a link are alike. It ends with either incarnation, so that one
// that is to be linked again links in its Start, or with unlink, which may be
// called more than once; an end that came before it counts. Links to the same
// actor are counted, and a link of an actor to itself is none. An actor that
// lives elsewhere (Far) is not told of the end of c: such a link has one side.
// Safe for concurrent use; it never blocks.
//
// Where both are supervised, both have failed: each spends the budget of its own
// supervisor. Whoever wants to hear of an end and live on (trap_exit) uses Watch.
func Link[M, T any](c *Context[M], target Ref[T]) (unlink func()) {
	p := target.process
	if any(p) == any(c.shell.p) {
		return func() {}
	}
	if p.far != nil {
		return linkFar(c, p.far)
	}
	l := &tie{from: c}
	if generation, ok := p.tie(l); !ok {
		c.sever(&LinkError{Actor: p.spec.Name, Generation: generation, Reason: ErrStopped})
		return func() {}
	}
	if !c.bind(l) {
		l.undo() // c has ended, perhaps before it was seen to be linked
	}
	return l.undo
}

// linkFar makes c fail when an actor has ended that lives elsewhere.
func linkFar[M, T any](c *Context[M], far Far[T]) (unlink func()) {
	if l, ok := far.(Local[T]); ok {
		target, err := l.Local()
		if err == nil {
			return Link(c, target)
		}
		c.sever(&LinkError{Actor: far.Name(), Reason: err})
		return func() {}
	}
	n := &notice[M]{cx: c} // ends with c
	if c.own(n) {
		n.hold(far.OnDown(func(d Down) {
			if !n.off.Swap(true) && d.Reason != nil {
				c.sever(&LinkError{Actor: d.Actor, Generation: d.Generation, Reason: d.Reason})
			}
		}))
	}
	return n.drop
}

// tie is a link of two incarnations. Whoever cuts it decides what it means:
// nobody else does then.
type tie struct {
	from, to tied
	cut      atomic.Bool
}

// tied is an incarnation of any type. Its methods take the mutex of its
// Process, and so are never called with that of another.
type tied interface {
	unbind(l *tie)
	sever(e *LinkError)
}

func (l *tie) undo() {
	if l.cut.CompareAndSwap(false, true) {
		l.from.unbind(l)
		l.to.unbind(l)
	}
}

// tie makes the incarnation in charge one end of l. It reports false when there
// is none, with the number of the last one.
func (p *Process[M]) tie(l *tie) (generation uint64, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.shell.Load()
	if s == nil {
		return 0, false
	}
	cx := s.cx.Load()
	if cx == nil {
		return 0, false
	}
	if cx.over {
		return cx.generation, false
	}
	l.to = cx
	cx.kin().tie(l)
	return cx.generation, true
}

// bind makes c the end of l that is seen last, unless l has been cut since. It
// reports false when c has ended.
func (c *Context[M]) bind(l *tie) bool {
	mu := &c.shell.p.mu
	mu.Lock()
	defer mu.Unlock()
	if !c.over && !l.cut.Load() {
		c.kin().tie(l)
	}
	return !c.over
}

func (c *Context[M]) unbind(l *tie) {
	mu := &c.shell.p.mu
	mu.Lock()
	defer mu.Unlock()
	if !c.over {
		delete(c.kin().ties, l)
	}
}

// sever makes c end because of e. Only the first call counts.
func (c *Context[M]) sever(e *LinkError) {
	mu := &c.shell.p.mu
	mu.Lock()
	if c.over || c.kin().severed != nil {
		mu.Unlock()
		return
	}
	c.kin().severed = e
	mu.Unlock()
	c.shell.box.pushSystem(&severance[M]{c, e})
}

// severed returns why c has to end, if it has to.
func (c *Context[M]) severed() error {
	mu := &c.shell.p.mu
	mu.Lock()
	defer mu.Unlock()
	if c.rare == nil || c.rare.kin == nil || c.rare.kin.severed == nil {
		return nil
	}
	return c.rare.kin.severed
}

// severance tells an incarnation that it has to end.
type severance[M any] struct {
	cx  *Context[M]
	why *LinkError
}

// severance ends the incarnation that it is for. One that is being started, or
// is fenced off, ends otherwise.
func (s *shell[M]) severance(m *severance[M]) {
	if s.inst != nil && m.cx == s.cx.Load() && !m.cx.Fenced() {
		s.fail(m.why)
	}
}
