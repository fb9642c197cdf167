package actors

import (
	"sync/atomic"
	"time"
)

// notice is a message that an incarnation gets from a timer or a watch of its
// own. It comes before all others, and never to another incarnation.
type notice[M any] struct {
	cx     *Context[M]
	m      M
	every  time.Duration // of a timer that repeats
	off    atomic.Bool
	cancel func() bool // guarded by the mutex of the Process
}

// After sends m to the incarnation itself after d, before the messages that
// wait. It is not sent to a later incarnation, nor once stop has returned. stop
// may be called more than once.
func (c *Context[M]) After(d time.Duration, m M) (stop func()) {
	return c.timer(&notice[M]{cx: c, m: m}, d)
}

// Every sends m to the incarnation itself after d and again and again, each
// time d after the one before was handled: they never pile up. It ends with the
// incarnation, or with stop.
func (c *Context[M]) Every(d time.Duration, m M) (stop func()) {
	return c.timer(&notice[M]{cx: c, m: m, every: d}, d)
}

func (c *Context[M]) timer(n *notice[M], d time.Duration) (stop func()) {
	if c.own(n) {
		n.arm(d)
	}
	return n.drop
}

func (n *notice[M]) arm(d time.Duration) {
	if !n.off.Load() {
		n.hold(n.cx.shell.p.sys.afterFunc(d, n.send))
	}
}

func (n *notice[M]) send() { n.cx.shell.box.pushSystem(n) }

// own makes the end of the incarnation the end of n. It reports false when that
// has come already.
func (c *Context[M]) own(n *notice[M]) bool {
	mu := &c.shell.p.mu
	mu.Lock()
	defer mu.Unlock()
	if c.over {
		n.off.Store(true)
		return false
	}
	r := c.extra()
	if r.notices == nil {
		r.notices = make(map[dropper]struct{})
	}
	r.notices[n] = struct{}{}
	return true
}

// dropper is a notice of any type.
type dropper interface{ drop() }

// hold keeps what cancels n. It may have been dropped in the meantime.
func (n *notice[M]) hold(cancel func() bool) {
	mu := &n.cx.shell.p.mu
	mu.Lock()
	n.cancel = cancel
	mu.Unlock()
	if n.off.Load() {
		cancel()
	}
}

func (n *notice[M]) drop() {
	n.off.Store(true)
	mu := &n.cx.shell.p.mu
	mu.Lock()
	cancel := n.cancel
	if r := n.cx.rare; r != nil {
		delete(r.notices, n)
	}
	mu.Unlock()
	if cancel != nil {
		cancel()
	}
}

// notice handles one, if it is for the incarnation in charge and still wanted.
func (s *shell[M]) notice(n *notice[M]) {
	if s.inst == nil || n.cx != s.cx.Load() || n.off.Load() {
		return
	}
	if n.every == 0 {
		n.drop()
	}
	s.box.worked = true
	s.handle(n.m)
	if n.every > 0 {
		n.arm(n.every)
	}
}
