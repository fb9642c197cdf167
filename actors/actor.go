package actors

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
	// Overflow says what becomes of a message that finds the mailbox full.
	Overflow Overflow
	// OnFailure says what becomes of the messages that wait when an incarnation
	// has failed. The one that it failed on is never run again.
	OnFailure OnFailure
}

// DefaultCapacity is how many user messages a mailbox holds when its spec says
// nothing.
const DefaultCapacity = 1024

// Overflow says what a full mailbox does. The zero value is Block.
type Overflow uint8

const (
	// Block makes Tell wait for room until its context ends, outside of actors:
	// an actor that waits cannot be stopped, and so inside Tell fails at once.
	Block Overflow = iota
	// Fail makes Tell fail at once with ErrMailboxFull.
	Fail
	// DropNewest drops the message that comes: Tell accepts it, and it is a
	// dead letter, told ErrMailboxFull.
	DropNewest
	// DropOldest drops the message that has waited longest, in the same way, to
	// make room. The batch under way counts, so that no more than Capacity wait.
	DropOldest
	// Unbounded mailboxes are never full: Capacity means nothing. Memory is the
	// limit, and nothing tells the senders to slow down.
	Unbounded
)

// OnFailure says what becomes of queued messages, those in the control lane
// included, when an incarnation fails. The zero value is KeepQueued.
type OnFailure uint8

const (
	// KeepQueued leaves them, in their order, to the next incarnation.
	KeepQueued OnFailure = iota
	// DropQueued forgets them: they are counted as dropped, and not told.
	DropQueued
	// DeadLetterQueued makes dead letters of them, told ErrNotRun.
	DeadLetterQueued
)
