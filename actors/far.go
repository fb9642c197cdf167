package actors

import (
	"context"
	"fmt"
)

// Far is an actor that lives elsewhere: another package knows the way. A Ref
// made of it with NewRef is used like any other.
type Far[M any] interface {
	// Name is what its errors and Downs call the actor.
	Name() string
	// Tell sends m. It must not wait when MayWait(ctx) is false.
	Tell(ctx context.Context, m M) error
	// Ask sends m, a message with a Reply, and waits for the answer, until ctx
	// ends. What it gives to answer counts; else the error that it returns.
	Ask(ctx context.Context, m M, answer Answer) error
	// OnDown is that of Ref.
	OnDown(f func(Down)) (unwatch func() bool)
}

// Local may be implemented by a Far that turns out to be an actor of this
// system: an actor that is looked up by its name each time.
type Local[M any] interface {
	Local() (Ref[M], error)
}

// Answer takes what has come from afar for one Reply. The first call counts;
// each reports whether the asker still waited.
type Answer interface {
	// Resolve answers with the value that decode makes, given a pointer to one
	// of the type that the Reply takes. An error of decode is the answer too.
	Resolve(decode func(v any) error) bool
	// Fail answers with an error, which must not be nil.
	Fail(err error) bool
}

// NewRef returns a Ref to an actor that lives elsewhere.
func NewRef[M any](far Far[M]) Ref[M] {
	return Ref[M]{&Process[M]{far: far, spec: Spec[M]{Name: far.Name()}}}
}

// MayWait reports whether a call with ctx may wait: not if ctx comes from the
// Context of an actor.
func MayWait(ctx context.Context) bool { return ctx.Value(insideActor{}) == nil }

// Impatient returns a context like ctx under which MayWait is false.
func Impatient(ctx context.Context) context.Context {
	return context.WithValue(ctx, insideActor{}, true)
}

// beyond is where a message goes that finds no mailbox here.
func (p *Process[M]) beyond(ctx context.Context, m M) error {
	if p.far == nil {
		return ErrStopped
	}
	return p.far.Tell(ctx, m)
}

// askFar is Ask of an actor that lives elsewhere.
func askFar[M, R any](ctx context.Context, far Far[M], request func(Reply[R]) M) (R, error) {
	var none R
	if far == nil {
		return none, ErrStopped
	}
	if l, ok := far.(Local[M]); ok {
		to, err := l.Local()
		if err != nil {
			return none, err
		}
		return Ask(ctx, to, request)
	}
	c := new(call[R])
	c.park(make(chan struct{}, 1))
	err := far.Ask(ctx, request(Reply[R]{c}), c)
	if c.leave() {
		if err == nil {
			err = fmt.Errorf("ask actor %s: %w", far.Name(), ErrNotRun)
		}
		return none, err
	}
	<-c.done
	return c.value, c.err
}

// Resolve implements Answer.
func (c *call[R]) Resolve(decode func(v any) error) bool {
	if c.state.Load()&callTaken != 0 {
		return false
	}
	var v R
	err := decode(&v)
	return Reply[R]{c}.answer(v, err)
}

// Fail implements Answer.
func (c *call[R]) Fail(err error) bool { return Reply[R]{c}.Fail(err) }

// replier is a message that embeds a Reply.
type replier interface{ pending() Answer }

func (r Reply[R]) pending() Answer {
	if r.call == nil {
		return nil
	}
	return r.call
}

// Pending returns what takes the answer to m, if m embeds a Reply that somebody
// waits for.
func Pending(m any) (Answer, bool) {
	if r, ok := m.(replier); ok {
		a := r.pending()
		return a, a != nil
	}
	return nil, false
}

// binder is a pointer to a message that embeds a Reply.
type binder interface{ bind(*asked) Answer }

func (r *Reply[R]) bind(a *asked) Answer {
	r.call = &call[R]{asked: a}
	return r.call
}

// TakesReply reports whether m, a pointer to a message, embeds a Reply.
func TakesReply(m any) bool {
	_, ok := m.(binder)
	return ok
}
