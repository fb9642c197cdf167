package patterns

import (
	"context"
	"errors"

	"github.com/pando-agents/pando/actors"
)

// Target is an actor of any kind, near or far, that is given a Q and answers
// with an R. It is a small value and safe for concurrent use.
type Target[Q, R any] struct {
	name   string
	ask    func(context.Context, Q) (R, error)
	onDown func(func(actors.Down)) (unwatch func() bool)
}

// To returns the target that ref is when it is asked with the message that
// request makes. The name appears in results, statistics and errors.
func To[M, Q, R any](name string, ref actors.Ref[M], request func(Q, actors.Reply[R]) M) Target[Q, R] {
	return Target[Q, R]{
		name: name,
		ask: func(ctx context.Context, q Q) (R, error) {
			return actors.Ask(ctx, ref, func(r actors.Reply[R]) M { return request(q, r) })
		},
		onDown: ref.OnDown,
	}
}

var errNoTarget = errors.New("target without an actor: use To")

// Name returns its name.
func (t Target[Q, R]) Name() string { return t.name }

// Ask is actors.Ask. It blocks until the answer is there or ctx ends.
func (t Target[Q, R]) Ask(ctx context.Context, q Q) (R, error) {
	if t.ask == nil {
		var none R
		return none, errNoTarget
	}
	return t.ask(ctx, q)
}

// watch calls f when the actor has ended, unless ctx ends before, or unwatch is
// called, which is to be done in any case.
func (t Target[Q, R]) watch(ctx context.Context, f func(actors.Down)) (unwatch func()) {
	if t.onDown == nil {
		return func() {}
	}
	off := t.onDown(f)
	stop := context.AfterFunc(ctx, func() { off() })
	return func() {
		stop()
		off()
	}
}
