package supervisor

import (
	"context"
	"math"
	"time"
)

// A Service is a child that runs in a goroutine of its own.
//
// Serve works until ctx is done and then returns; its context carries the values of the context that the
// supervisor is served with, and [context.Cause] tells why it has to stop. Returning nil, or the context's
// error after the context is done, is a normal end. Any other error, a panic or [runtime.Goexit] is a failure.
//
// A Service may also have a method
//
//	Ready() <-chan struct{}
//
// It is called before Serve, and its start then counts as complete when that channel is closed, otherwise as
// soon as its goroutine runs.
//
// The same value is served again after a failure, unless [Spec.New] makes a fresh one.
type Service interface {
	Serve(ctx context.Context) error
}

// ServiceFunc is a function as a [Service].
type ServiceFunc func(ctx context.Context) error

// Serve calls f.
func (f ServiceFunc) Serve(ctx context.Context) error { return f(ctx) }

// A Process is a child without a goroutine of its own, an actor for instance: an idle one costs memory only.
//
// One incarnation at a time is asked to live. Start and the Stop that follows it never overlap for the same
// generation. After Abandon(gen) the Process has to keep incarnation gen away from everything it shares with its
// successor, which may be started at once.
//
// A Process that has goroutines of its own to start on may also have a method
//
//	Begin(inc Incarnation, started func(error)) (giveUp func(reason error))
//
// It is called instead of Start whenever no call of Stop or Abandon is under way, on any goroutine, within
// [Incarnation.Exit] for instance. It must not block, nor call [runtime.Goexit], but have the start done elsewhere
// and call started with what Start would return, once; [Spec.StartTimeout] counts all the same. giveUp is called in the place of the end of ctx; it must not block either, and has to do nothing
// when the start is complete. What is given up before it has begun must not begin.
type Process interface {
	// Start brings the incarnation up. It is called on a goroutine made for it and may block until the
	// incarnation is ready, for as long as [Spec.StartTimeout]. ctx ends when Start has returned; its values
	// stay readable. When Start returns an error, or panics, nothing of the incarnation may remain.
	Start(ctx context.Context, inc Incarnation) error
	// Stop asks incarnation gen to end because of reason. It is called on a goroutine made for it and need not
	// wait: the end is told by [Incarnation.Exit]. It has returned before the next incarnation is started, unless
	// this one was abandoned.
	Stop(gen uint64, reason error)
	// Abandon fences incarnation gen off: its deadline has passed. It is called on a goroutine made for it; the
	// next incarnation is started when it has returned. When the incarnation ends after all, Exit is still to be
	// called: until then it is reported as abandoned.
	Abandon(gen uint64)
}

// An Incarnation is one life of a [Process].
type Incarnation struct {
	// Generation is 1 for the first incarnation of a child and grows by one with each further one, also when its
	// supervisor is served again. A child that StartChild has added, and that has been removed, has none left: when it
	// is added again, it begins with 1.
	Generation uint64
	// Exit tells the supervisor that the incarnation has ended: nil for a normal end, otherwise why it failed.
	// Only the first call counts. It never blocks and may be called on any goroutine, from within Stop too. What
	// follows from it may be begun before it returns, so no mutex is to be held that Begin needs.
	Exit func(reason error)

	life *lifetime
}

// Context returns ctx as a context of the incarnation's own: StartChild during its start, and Terminate or Restart of
// itself, return ErrWouldDeadlock when they are called with it.
func (i Incarnation) Context(ctx context.Context) context.Context {
	l := i.life
	if l == nil {
		return ctx
	}
	return &incarnationContext{ctx, &incarnation{s: l.s, c: l.c, gen: l.gen, outer: l.s.outer, process: l}}
}

// Restart says when a child that has ended is started again. The zero value is Permanent.
type Restart uint8

// The kinds of children.
const (
	// Permanent children are always restarted, after a normal end too.
	Permanent Restart = iota
	// Transient children are restarted after a failure, but not after a normal end.
	Transient
	// Temporary children are never restarted: they are removed when they end.
	Temporary
)

// String returns the name that OTP has for r.
func (r Restart) String() string {
	switch r {
	case Permanent:
		return "permanent"
	case Transient:
		return "transient"
	case Temporary:
		return "temporary"
	}
	return "unknown"
}

// Special values of [Spec.Shutdown] and [Spec.StartTimeout].
const (
	// Infinity sets no deadline.
	Infinity time.Duration = math.MaxInt64
	// Kill, as a Shutdown, abandons the child at once. The context of a Service is cancelled all the same.
	Kill time.Duration = -1
)

const (
	defaultShutdown     = 5 * time.Second
	defaultStartTimeout = 30 * time.Second
)

// A Spec describes a child. Exactly one of Service, Process and New is set.
type Spec struct {
	// ID names the child among its siblings. It must not be empty.
	ID string
	// Service is served by every incarnation. One that was abandoned may still be inside Serve when the next
	// incarnation enters it: set New instead where that matters.
	Service Service
	// Process is the child, if it has no goroutine of its own.
	Process Process
	// New makes the Service of each incarnation, so that each has fresh state. It is called on the child's
	// goroutine; a panic in it is a failed start.
	New func() Service
	// Restart says when the child is started again. Default: Permanent.
	Restart Restart
	// Significant children, which are not Permanent, end the supervisor with them: see [Options.AutoShutdown].
	Significant bool
	// Shutdown is how long the child may take to stop before it is abandoned. Default: 5 s; no deadline for a
	// supervisor, whose children have deadlines of their own, and for a Service that serves one with its own
	// context. May be Infinity or Kill.
	Shutdown time.Duration
	// StartTimeout is how long a start may take. Default: 30 s; no limit for a supervisor. May be Infinity.
	StartTimeout time.Duration
}

func (sp *Spec) validate(auto AutoShutdown) error {
	kinds := 0
	if sp.Service != nil {
		kinds++
	}
	if sp.Process != nil {
		kinds++
	}
	if sp.New != nil {
		kinds++
	}
	bad := ""
	switch {
	case sp.ID == "":
		bad = "no id"
	case kinds != 1:
		bad = "needs exactly one of Service, Process and New"
	case sp.Restart > Temporary:
		bad = "unknown restart type"
	case sp.Significant && sp.Restart == Permanent:
		bad = "permanent and significant"
	case sp.Significant && auto == Never:
		bad = "significant without automatic shutdown"
	case sp.Shutdown < 0 && sp.Shutdown != Kill:
		bad = "negative shutdown time"
	case sp.StartTimeout < 0:
		bad = "negative start timeout"
	default:
		return nil
	}
	return &Error{Code: CodeInvalidSpec, Child: sp.ID, Err: invalid(bad)}
}
