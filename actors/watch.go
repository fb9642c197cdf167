package actors

import "github.com/pando-agents/pando/supervisor"

// Down tells of the end of one incarnation of an actor.
type Down struct {
	// Actor is the name in its spec.
	Actor string
	// Generation is the number of the incarnation; 0 if there is none.
	Generation uint64
	// Reason is why it has ended: nil for a normal end, a
	// *supervisor.PanicError with the stack for a panic, the reason of the
	// supervisor for a stop, ErrFenced for an abandonment.
	Reason error
}

type watcher struct{ f func(Down) }

// OnDown calls f once, when the incarnation in charge has ended. If it has
// ended already, f is called before OnDown returns, with the reason if that is
// still known, else with ErrStopped. f is called on any goroutine and must not
// block; a panic in it is logged. unwatch reports whether it has prevented the
// call. Whoever wants to hear of the next incarnation too asks again.
func (r Ref[M]) OnDown(f func(Down)) (unwatch func() bool) {
	if far := r.process.far; far != nil {
		return far.OnDown(f)
	}
	return r.OnDownOf(0, f)
}

// Generation returns the number of the incarnation in charge, 0 if there is
// none, or if the actor lives elsewhere.
func (r Ref[M]) Generation() uint64 {
	p := r.process
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.shell.Load(); s != nil {
		if cx := s.cx.Load(); cx != nil && !cx.over {
			return cx.generation
		}
	}
	return 0
}

// OnDownOf is OnDown for one incarnation: if another one is in charge, f is
// called at once, with ErrStopped. Generation 0 is the one in charge. It is not
// for actors that live elsewhere.
func (r Ref[M]) OnDownOf(generation uint64, f func(Down)) (unwatch func() bool) {
	p := r.process
	var cx *Context[M]
	p.mu.Lock()
	if s := p.shell.Load(); s != nil {
		cx = s.cx.Load()
	}
	if generation != 0 && cx != nil && cx.generation != generation {
		p.mu.Unlock()
		p.tell(f, Down{Actor: p.spec.Name, Generation: generation, Reason: ErrStopped})
		return func() bool { return false }
	}
	if cx == nil || cx.over {
		d := Down{Actor: p.spec.Name, Reason: ErrStopped}
		if cx != nil {
			d.Generation = cx.generation
			if cx.rare != nil && cx.rare.reason != nil {
				d.Reason = cx.rare.reason
			}
		}
		p.mu.Unlock()
		p.tell(f, d)
		return func() bool { return false }
	}
	w := &watcher{f}
	cx.kin().watch(w)
	p.mu.Unlock()
	return func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		if cx.over {
			return false
		}
		_, there := cx.kin().watchers[w]
		delete(cx.kin().watchers, w)
		return there
	}
}

// tell calls a watcher.
func (p *Process[M]) tell(f func(Down), d Down) {
	defer func() {
		if v := recover(); v != nil {
			p.sys.log.Error("watcher panicked", "actor", p.spec.Name, "incarnation", d.Generation,
				"err", supervisor.Recovered(v))
		}
	}()
	f(d)
}

// Watch has the incarnation c told, by a message of its own type, when the
// incarnation of target that is in charge has ended: once, also if it has ended
// already. It comes before the messages that wait. The watch ends with c; a
// message is not sent once unwatch has returned. make is called on any
// goroutine.
func Watch[M, T any](c *Context[M], target Ref[T], make func(Down) M) (unwatch func()) {
	n := &notice[M]{cx: c}
	if c.own(n) {
		n.hold(target.OnDown(func(d Down) {
			n.m = make(d)
			n.send()
		}))
	}
	return n.drop
}
