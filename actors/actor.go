package actors

import (
	"context"
	"sync/atomic"
)

// Actor is one incarnation of an actor: state, and what it does with a
// message. Receive is called with one message at a time, never concurrently.
// It must not block: what waits belongs in a goroutine that reports by
// message. A panic ends the incarnation.
//
// An Actor may also implement Starter, Stopper and Idler.
type Actor[M any] interface {
	Receive(c *Context[M], m M)
}

// Starter is called before the first message of an incarnation. An error, or a
// panic, means that the incarnation did not start.
type Starter[M any] interface {
	Start(c *Context[M]) error
}

// Stopper is called when an incarnation ends in an orderly way: it was asked
// to stop, or asked for its own end with Context.Stop. It is not called after
// a panic: the state cannot be trusted.
type Stopper interface {
	Stop(reason error)
}

// Idler is called each time the mailbox has run empty after work: the place to
// flush what several messages have collected.
type Idler interface {
	Idle()
}

// Unhandled may be implemented by a message to learn that nobody will handle
// it: the incarnation that had it failed, or the actor stopped before its turn
// came. It is called once, from any goroutine, and must neither block nor call
// runtime.Goexit; a panic is logged.
type Unhandled interface {
	NotHandled(err error)
}

// Spec says how to make and run an actor.
type Spec[M any] struct {
	// Name appears in logs and in the PID; it need not be unique.
	Name string
	// New makes the state of one incarnation. It runs inside the shell: a
	// panic there is a failed start, and so is nil.
	New func() Actor[M]
	// Capacity is how many user messages wait in the mailbox, beside the batch
	// that the actor has taken and is working through; 0 means DefaultCapacity.
	Capacity int
}

// Context is what an incarnation gets to know about itself. It belongs to the
// incarnation: after an abandonment its methods return ErrFenced or do nothing.
type Context[M any] struct {
	process    *Process[M]
	generation uint64
	fenced     atomic.Bool
	ended      atomic.Bool
	stopping   bool
	reason     error
	scope      atomic.Pointer[scope]
	exit       func(error)
	left       atomic.Bool
}

// scope is the context of an incarnation, made when it is first asked for.
type scope struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
}

// Self returns the address of the actor, the same for every incarnation.
func (c *Context[M]) Self() Ref[M] { return Ref[M]{c.process} }

// Generation returns the number of this incarnation, counted from 1.
func (c *Context[M]) Generation() uint64 { return c.generation }

// Fenced reports whether a successor has taken over.
func (c *Context[M]) Fenced() bool { return c.fenced.Load() }

// Stop ends this incarnation after the message under way. A nil reason is a
// normal end; the mailbox is closed then. With any other reason the messages
// that wait are kept for the next incarnation. It is for the actor itself, in
// Start, Receive or Idle, not for goroutines that it has started.
func (c *Context[M]) Stop(reason error) {
	c.stopping, c.reason = true, reason
}

// insideActor marks contexts that were handed out inside an actor.
type insideActor struct{}

// Context returns a context that ends with the incarnation. Calls made with it
// never block on a full mailbox: an actor that waits cannot be stopped. Asked for
// by what an incarnation has left behind, it is done already.
func (c *Context[M]) Context() context.Context {
	sc := c.scope.Load()
	if sc == nil {
		ctx, cancel := context.WithCancelCause(context.WithValue(context.Background(), insideActor{}, true))
		sc = &scope{ctx, cancel}
		if !c.scope.CompareAndSwap(nil, sc) {
			cancel(ErrFenced)
			sc = c.scope.Load()
		}
		if c.ended.Load() {
			sc.cancel(ErrStopped)
		}
	}
	return sc.ctx
}

// end cancels what was derived from the incarnation.
func (c *Context[M]) end(reason error) {
	c.ended.Store(true) // for those who ask for the scope later
	if sc := c.scope.Load(); sc != nil {
		if reason == nil {
			reason = ErrStopped
		}
		sc.cancel(reason)
	}
}

// leave reports the end of the incarnation to the supervisor, once.
func (c *Context[M]) leave(reason error) {
	if c.left.CompareAndSwap(false, true) {
		c.exit(reason)
	}
}

// Ref is the address of an actor that takes messages of type M. It is a small
// value, stays valid over restarts, and is safe for concurrent use.
type Ref[M any] struct{ process *Process[M] }

// Tell puts m in the mailbox. When that is full it waits for room until ctx
// ends; with a context of Context.Context it fails at once instead. Errors:
// ErrMailboxFull, ErrStopped.
func (r Ref[M]) Tell(ctx context.Context, m M) error {
	mb := r.process.mailbox.Load()
	if mb == nil {
		return ErrStopped
	}
	err := mb.push(m)
	if err != ErrMailboxFull || ctx.Value(insideActor{}) != nil {
		return err
	}
	return mb.pushWait(ctx, m)
}

// Offer is Tell that never waits.
func (r Ref[M]) Offer(m M) error {
	mb := r.process.mailbox.Load()
	if mb == nil {
		return ErrStopped
	}
	return mb.push(m)
}

// Control puts m in the control lane, before all user messages. The lane is
// not bounded; it is for the owner of the actor, not for what strangers can
// cause.
func (r Ref[M]) Control(m M) error {
	mb := r.process.mailbox.Load()
	if mb == nil {
		return ErrStopped
	}
	return mb.pushControl(m)
}

// Mailbox returns how many user messages wait and the most that ever waited.
func (r Ref[M]) Mailbox() (depth, highWater int) {
	mb := r.process.mailbox.Load()
	if mb == nil {
		return 0, 0
	}
	return mb.stats()
}
