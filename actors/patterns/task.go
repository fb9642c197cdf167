package patterns

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/pando-agents/pando/actors"
	"github.com/pando-agents/pando/actors/remote"
)

// Tasks is an actor that is given tasks by others, near or far: work W, on which
// it reports progress P, and that has a result R. Zero fields mean the defaults.
//
// A task is begun at most once, also when the connection was lost meanwhile and
// has come back. It is cancelled when the giver cancels it or is lost; when the
// taker is lost, the giver is told. Tasks are those of an incarnation; when it
// ends, so do they.
type Tasks[W, P, R any] struct {
	// Name is that of the actor; default "tasks".
	Name string
	// Accept says at once, without blocking, whether to take a task. The giver reads
	// the text of its error, with ErrRefused. Without it all are taken.
	Accept func(work W) error
	// Do does one, on a goroutine of its own. Its context ends when nobody wants
	// the result any more; the cause is ErrCancelled or ErrPartnerLost. progress
	// does not wait: of what comes faster than the giver takes it, or Every, the
	// latest counts. The giver gets the error with ErrFailed, if it is near or has
	// a name (remote.Error); else an id that the log has.
	Do func(ctx context.Context, work W, progress func(P)) (R, error)
	// Most is how many may be under way; default 64. One more is refused.
	Most int
	// Every is the least time between two reports of progress; default 100 ms.
	Every time.Duration
	// Total is how long a task may take; default: for ever.
	Total time.Duration
	// Lease is after how long without a sign of life the giver is lost; default
	// DefaultLease. Signs come at least every 5 s over a good connection.
	Lease time.Duration
	// Logger is told of panics in Do; default slog.Default().
	Logger *slog.Logger
}

// report is what the giver hears: progress, or the result.
type report[P, R any] struct {
	Progress *P `json:"progress,omitempty"`
	Result   *R `json:"result,omitempty"`
}

// TaskMessage is what the actor takes from Give.
type TaskMessage[W, P, R any] = exchangeMessage[W, report[P, R]]

// TaskProtocol is the protocol of tasks between agents. The name is how the types
// of its messages begin; errors are those that Do returns (remote.Error).
func TaskProtocol[W, P, R any](name string, errors ...remote.Entry) *remote.Protocol[TaskMessage[W, P, R]] {
	return exchangeProtocol[W, report[P, R]](name, errors)
}

// Spec is how the actor is made.
func (o Tasks[W, P, R]) Spec() actors.Spec[TaskMessage[W, P, R]] {
	orDefault(&o.Name, "tasks")
	orDefault(&o.Most, 64)
	orDefault(&o.Every, 100*time.Millisecond)
	orDefault(&o.Lease, DefaultLease)
	e := exchanges[W, report[P, R]]{name: o.Name, most: o.Most, total: o.Total, lease: o.Lease, log: o.Logger}
	e.accept = func(work *W) error {
		if work == nil {
			return &Error{Code: ErrRefused.Code, Reason: "no work"}
		}
		if o.Accept == nil {
			return nil
		}
		return o.Accept(*work)
	}
	e.serve = func(x *exchange[W, report[P, R]]) error {
		work, err := x.next(x.ctx)
		if err != nil {
			return err
		}
		p := &reporter[P]{every: o.Every, report: func(p P) {
			_ = x.say(x.ctx, report[P, R]{Progress: &p}, func(last report[P, R]) bool { return last.Progress != nil })
		}}
		defer p.stop()
		result, err := o.Do(x.ctx, work, p.progress)
		if err != nil {
			return err
		}
		p.stop()
		return x.say(x.ctx, report[P, R]{Result: &result}, nil)
	}
	return e.spec()
}

// Give has the taker do a task and returns its result. onProgress, which may be
// nil, is called with reports of progress, one after the other, before Give
// returns. When ctx ends, the task is cancelled. Errors: ErrRefused, before the
// task has begun; ErrFailed, ErrPartnerLost, ErrTooLong; those of actors.Ask, and
// the cause of ctx. Give blocks: inside an actor it is for a goroutine that the
// actor starts.
func Give[W, P, R any](ctx context.Context, taker actors.Ref[TaskMessage[W, P, R]], work W, onProgress func(P)) (R, error) {
	var none R
	b, err := beginWith(ctx, taker, DefaultLease, &work, func(last, next report[P, R]) bool {
		return last.Progress != nil && next.Progress != nil
	})
	if err != nil {
		return none, err
	}
	defer b.cancel(ErrEnded)
	for {
		r, err := b.next(context.WithoutCancel(ctx)) // b ends with ctx
		switch {
		case err != nil && ctx.Err() != nil:
			return none, context.Cause(ctx)
		case err != nil:
			return none, err
		case r.Result != nil:
			return *r.Result, nil
		case r.Progress != nil && onProgress != nil:
			onProgress(*r.Progress)
		}
	}
}

// reporter lets no more progress through than it may.
type reporter[P any] struct {
	every  time.Duration
	report func(P)

	mu     sync.Mutex
	latest *P
	timer  *time.Timer // set for as long as there may be no report
	over   bool
}

func (r *reporter[P]) progress(p P) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.latest = &p
	r.next()
}

// next reports the latest, unless it is too early. It is called with the mutex
// held.
func (r *reporter[P]) next() {
	if r.over || r.latest == nil || r.timer != nil {
		return
	}
	r.report(*r.latest)
	r.latest = nil
	r.timer = time.AfterFunc(r.every, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.timer = nil
		r.next()
	})
}

func (r *reporter[P]) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over = true
	if r.timer != nil {
		r.timer.Stop()
	}
}
