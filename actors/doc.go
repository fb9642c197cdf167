// Package actors runs typed actors inside a shell of our own.
//
// An actor is a value that receives one message at a time. Its Process gives
// it a mailbox, an address that survives restarts (Ref) and the face of a
// supervised child (supervisor.Process): every panic and runtime.Goexit in
// user code ends the incarnation, is reported to the supervisor with its
// stack, and leaves the messages behind it in the mailbox for the next
// incarnation, which the factory makes anew.
//
// Tell sends, Ask sends and waits for a typed Reply, Watch tells of the end of
// another actor, Link shares it, Context.After and Context.Every are timers, and
// Behave makes an actor of state functions. The spec says what a full mailbox does and what
// becomes of queued messages after a failure. Package actortest tests actors; a
// Seeded system repeats the order in which they ran.
//
// Code of protoactor-go reaches an actor by Ref.PID, and its actors run as
// supervised children in a Raw: the process registry and the Context, Mailbox and
// Dispatcher interfaces are protoactor-go's. Its restart, suspend, child and watch
// machinery is not used: it stops the children of a parent that panics, waits
// for them without a deadline and resurrects actors that panic while stopping.
package actors
