// Package supervisor runs trees of services that may fail.
//
// A [Supervisor] starts its children in order, watches them, and starts those that fail again, within a budget.
// A child is a [Service], a function with a goroutine of its own, or a [Process], which has none: an actor, of
// which there may be many thousands. A supervisor is a service too, and so is a tree of them.
//
// # A child's life
//
// Each life of a child is an incarnation and has a number, its generation. A start is complete when Process.Start
// has returned, when the Ready channel of a Service that has one is closed, or else when its goroutine runs. An
// incarnation ends by returning, by an error, by a panic (a [PanicError]) or by runtime.Goexit (ErrGoexit); the last
// three are failures. What comes next is said by [Spec.Restart]. A child that has ended for good is removed, and
// its id is free.
//
// A child is asked to stop by its context, whose [context.Cause] is the reason, or by Process.Stop. If it has not
// ended after [Spec.Shutdown] it is abandoned: there is an event, a log entry that shows where it hangs, and an entry
// in [Snapshot.Abandoned] until it ends after all. It is fenced off by its generation: what it reports changes
// nothing any more. But Go cannot stop a goroutine, and what an abandoned incarnation does elsewhere goes on.
//
// # Restarts
//
// The first restart after a quiet period is immediate; later ones wait for a back-off, during which the supervisor
// and the other children go on. A [Budget] counts the failures since the last quiet period. When it is exceeded the
// supervisor stops its children and fails, which is a failure of a child for the supervisor above it; or, if budgets
// are per child, the child alone is removed, and [Options.OnGiveUp] is called.
//
// # Differences from OTP
//
//   - The budget is 3 failures in 5 s by default, not 1, and it is not a sliding window: it counts since the last
//     quiet period, so that failures that come again and again at a slow pace exceed it as well. Time spent in
//     back-off or in a start is not quiet.
//   - There is a back-off. OTP restarts at once, always.
//   - A failed restart of a child is a failure like any other. Only the first start of one of [Options.Children] that
//     fails makes the supervisor fail at once.
//   - A Transient child that ends normally is removed, not kept as a spec without a process.
//   - A start has a time limit (30 s by default), and children added by StartChild start at the same time.
//   - Goroutines cannot be killed: brutal_kill is [Kill], which abandons.
//   - A budget can be per child, so that one supervisor suffices for many children that know nothing of each other.
//
// # Rules for children
//
// A child must not wait for its own stop: Terminate and Restart return ErrWouldDeadlock if their context is the
// child's own, and so does StartChild during the child's start. With another context, a child that waits for its
// own end does so until it is abandoned.
//
// Nothing here polls, and an idle Process costs its record only, some 220 bytes.
package supervisor
