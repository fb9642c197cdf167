package actors

import "errors"

// Errors of this package. They are returned bare or wrapped; match them with
// errors.Is.
var (
	// ErrMailboxFull says that a bounded mailbox had no room: at once inside
	// an actor, after the context ended outside of one.
	ErrMailboxFull = errors.New("mailbox full")
	// ErrStopped says that the actor has stopped or was never started; the
	// message went to the dead letters.
	ErrStopped = errors.New("actor stopped")
	// ErrFenced says that the caller is an incarnation that has been
	// abandoned: a successor has taken over.
	ErrFenced = errors.New("incarnation is fenced off")
	// ErrNotRun says that a message was lost with the incarnation that was
	// handling it, or with an actor that stopped before its turn came.
	ErrNotRun = errors.New("message was not handled")
	// ErrNoActor says that no actor of that name takes such a message from the
	// caller: it may be unknown, or hidden.
	ErrNoActor = errors.New("no such actor")
	// ErrUnreachable says that the agent of an actor could not be reached:
	// nothing was delivered.
	ErrUnreachable = errors.New("agent cannot be reached")
	// ErrLost says that contact with the agent of an actor was lost: what became
	// of the message, or of the actor, cannot be known.
	ErrLost = errors.New("contact lost")
)

var (
	errNoActor = errors.New("the factory made no actor")
	// errDropped says that the policy of a mailbox has dropped a message that it
	// was given, and told it.
	errDropped = errors.New("message dropped")
)
