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
// three are failures. What comes next is said by [Spec.Restart].
//
// A child is asked to stop by its context, whose [context.Cause] is the reason, or by Process.Stop. If it has not
// ended after [Spec.Shutdown] it is abandoned: there is an event, a log entry that shows where it hangs, and an entry
// in [Snapshot.Abandoned] until it ends after all. It is fenced off by its generation: what it reports changes
// nothing any more. But Go cannot stop a goroutine, and what an abandoned incarnation does elsewhere goes on.
//
// A child that has ended for good, or was terminated, is down: its spec is kept for Restart and Delete, until the
// supervisor has stopped. Temporary children, children that exceeded a budget of their own, those whose StartChild
// failed, and all children of a Dynamic supervisor are removed instead.
//
// # Strategies
//
//   - [OneForOne]: the child that has failed is restarted.
//   - [OneForAll]: all children are restarted.
//   - [RestForOne]: the child that has failed and those after it are restarted.
//   - [Dynamic]: as OneForOne, for children that come and go, perhaps from a [Template].
//   - A [Partitioned] divides work by key among children that are alike.
//
// A group is stopped from its last child to the first, each with its own deadline, before any of it is started, in
// order, each when the one before is ready. Temporary children are stopped and not started again. Those that were
// down are started: they belong to the group. An end of a child of the group while the group is being stopped is not
// counted, whatever it is: what one failure has brought down is one failure. Any other failure until all are up
// again, also one of a start, is counted and begins the restart of its group anew; what is to be restarted already
// stays so. A back-off is waited for when all have stopped.
//
// # Restarts
//
// The first restart after a quiet period is immediate; later ones wait for a back-off, during which the supervisor
// and the other children go on. A [Budget] counts the failures since the last quiet period. When it is exceeded the
// supervisor stops its children and fails, which is a failure of a child for the supervisor above it, and in the end
// the error of the topmost Serve; or, if budgets are per child, the child alone is removed, and [Options.OnGiveUp] is
// called. The process is never ended.
//
// # Differences from OTP
//
//   - The budget is 3 failures in 5 s by default, not 1, since the first restart often comes too early to help; and it is
//     not a sliding window: it counts since the last quiet period, so that failures that come again and again
//     at a slow pace exceed it as well. Time spent in back-off, in a start, or in the restart of a group is not quiet.
//   - There is a back-off. OTP restarts at once, always, and so spends a budget in a blink when what a child needs is
//     away for a moment.
//   - Only the first start of one of [Options.Children] before the supervisor is up makes it fail at once. Later ones
//     are failures like any other, as in OTP.
//   - A supervisor never waits: it goes on to take calls, ends and failures during a start, a stop, a back-off, and the
//     restart of a group. So a failure of an earlier child during the restart of the later ones widens that restart,
//     where OTP would finish it first and then do it again.
//   - A start has a time limit (30 s by default), because a goroutine that hangs cannot be found out otherwise. Children
//     added by StartChild to a OneForOne or Dynamic supervisor start at the same time.
//   - Restart works for a child in any state, and restarts a running one; its siblings are left alone.
//   - Goroutines cannot be killed: brutal_kill is [Kill], which abandons. For the same reason a deadline abandons, and
//     the successor of an abandoned incarnation may run beside it; a Process fences it off, a Service has to be made
//     by [Spec.New] to share nothing with it.
//   - A budget can be per child, so that one supervisor suffices for many children that know nothing of each other.
//   - A normal end is returning nil, or the error of the context after it is done. There is no reason like
//     {shutdown, Term}.
//   - A supervisor that has exceeded its budget has failed. In OTP it ends with the reason shutdown, so that a transient
//     one is not restarted and its trouble stays below.
//   - A start cannot be answered with ignore: a child that has nothing to do is Transient and returns.
//   - Children have ids, those of a Dynamic supervisor too, since a goroutine has no pid. Their specs are kept by value
//     and are not replaced while they run: there is no code change.
//   - A child that was restarted keeps its address, so that nobody has to look it up anew; generations tell its
//     incarnations apart.
//   - Supervisors have no deadline for their stop by default, as in OTP, but this is found out when they are served:
//     there is no child type to set.
//
// Of actors (package actors):
//
//   - The mailbox outlives a failure: what waits is for the next incarnation, unless the spec says otherwise. In OTP it
//     is lost with the process, and each sender has to find that out.
//   - Mailboxes are bounded by default and make senders outside of actors wait, because one that grows without end takes
//     all others along. An actor gets its messages one by one, in order, and cannot pick among them: that would need a
//     search of the mailbox each time.
//   - Messages are not copied, because Go shares memory: who has sent one must not touch it any more.
//   - A link (actors.Link) ends the other after its message under way, as nothing in Go can interrupt it. The reason
//     comes wrapped, to tell one's own failure from another's. Links to the same actor are counted, so that parts of
//     an actor that know nothing of each other can use them; in OTP the second is none. Those to an actor in another
//     process of the system have one side.
//   - There is no trap_exit, since it makes every exit signal a message and hides those that nobody expects:
//     actors.Watch does so for one actor. It tells the reason of an actor that has ended already where that is
//     known, not just noproc.
//   - Nobody sends exit signals: an actor ends by its own wish, by its supervisor or owner, or by a link. Children are not
//     linked to their supervisor: it cannot end without having stopped them, or abandoned them and said so.
//   - An Ask that fails is an error for the asker, and does not end it.
//
// # Rules for children
//
// A child must not wait for its own stop: Terminate and Restart return ErrWouldDeadlock if their context is the
// child's own, and so does StartChild during the child's start. With another context, a child that waits for its
// own end does so until it is abandoned.
//
// A panic, or runtime.Goexit, in New, Start, Serve, Stop, Abandon, Stats, OnGiveUp or a Template is a failure of
// that call, and of nothing else. Stop and Abandon that do not return hold up their own child only; but Serve returns
// when Abandon has.
//
// Nothing here polls, and an idle Process costs its record only, some 220 bytes.
package supervisor
