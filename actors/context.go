package actors

import (
	"context"
	"sync/atomic"

	"github.com/pando-agents/pando/supervisor"
)

// Context is what an incarnation gets to know about itself. It belongs to the
// incarnation: after an abandonment its methods return ErrFenced or do nothing.
type Context[M any] struct {
	shell      *shell[M]
	generation uint64
	life       supervisor.Incarnation
	reason     error
	rare       *rare // guarded by the mutex of the Process
	fenced     atomic.Bool
	left       atomic.Bool
	over       bool // guarded by the mutex of the Process
	stopping   bool
}

// rare is what an incarnation has that has asked for it. Most have none.
type rare struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	reason error // why it has ended

	notices map[dropper]struct{}
	kin     *kin
}

// extra returns the rare part, made when it is needed. It is called with the
// mutex of the Process held.
func (c *Context[M]) extra() *rare {
	if c.rare == nil {
		c.rare = new(rare)
	}
	return c.rare
}

// Self returns the address of the actor, the same for every incarnation.
func (c *Context[M]) Self() Ref[M] { return Ref[M]{c.shell.p} }

// Generation returns the number of this incarnation, counted from 1.
func (c *Context[M]) Generation() uint64 { return c.generation }

// Fenced reports whether a successor has taken over.
func (c *Context[M]) Fenced() bool { return c.fenced.Load() }

// Stop ends this incarnation after the message under way. A nil reason is a
// normal end; the mailbox is closed then. With any other reason the incarnation
// has failed, and the messages that wait are kept for the next one, or not, as
// the spec says. It is for the actor itself, in Start, Receive or Idle, not for
// goroutines that it has started.
func (c *Context[M]) Stop(reason error) {
	c.stopping, c.reason = true, reason
}

// insideActor marks contexts that were handed out inside an actor.
type insideActor struct{}

// Context returns a context that ends with the incarnation. Calls made with it
// never block on a full mailbox: an actor that waits cannot be stopped. Asked for
// by what an incarnation has left behind, it is done already.
func (c *Context[M]) Context() context.Context {
	mu := &c.shell.p.mu
	mu.Lock()
	r := c.extra()
	if r.ctx == nil {
		r.ctx, r.cancel = context.WithCancelCause(c.life.Context(Impatient(context.Background())))
	}
	over := c.over
	mu.Unlock()
	if over {
		r.cancel(ErrStopped)
	}
	return r.ctx
}

// end takes back what the incarnation has been given. Only the first call
// counts. A nil reason is a normal end.
func (c *Context[M]) end(reason error) {
	mu := &c.shell.p.mu
	mu.Lock()
	if c.over {
		mu.Unlock()
		return
	}
	c.over = true
	if reason != nil {
		c.extra().reason = reason
	}
	var left rare
	if c.rare != nil {
		left = *c.rare
		c.rare.notices, c.rare.kin = nil, nil
	}
	mu.Unlock()
	for n := range left.notices {
		n.drop()
	}
	if left.cancel != nil {
		cause := reason
		if cause == nil {
			cause = ErrStopped
		}
		left.cancel(cause)
	}
	if left.kin != nil {
		p := c.shell.p
		left.kin.tell(c, Down{Actor: p.spec.Name, Generation: c.generation, Reason: reason}, p.tell)
	}
}

// leave reports the end of the incarnation to the supervisor, once.
func (c *Context[M]) leave(reason error) {
	if c.left.CompareAndSwap(false, true) {
		c.life.Exit(reason)
	}
}
