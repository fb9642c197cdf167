package patterns

import (
	"context"
	"errors"
	"fmt"
	"time"

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

// Ask is actors.Ask, but for one thing: it does not wait for the connection to an
// agent that is lost to come back, but fails with actors.ErrLost some seconds
// after it is known. It blocks until the answer is there or ctx ends.
func (t Target[Q, R]) Ask(ctx context.Context, q Q) (R, error) {
	var none R
	if t.ask == nil {
		return none, errNoTarget
	}
	asking, cancel := context.WithCancel(ctx)
	defer cancel()
	lost := make(chan error, 1)
	timer := time.AfterFunc(lookAfter, func() {
		if why := t.look(asking); why != nil {
			lost <- why
			cancel()
		}
	})
	defer timer.Stop()
	v, err := t.ask(asking, q)
	if err != nil && ctx.Err() == nil && asking.Err() != nil {
		return none, fmt.Errorf("ask %s: %w", t.name, <-lost)
	}
	return v, err
}

// lookAfter is how long an answer may take before somebody looks whether the
// actor can be reached at all: most need no watch.
const lookAfter = time.Second

// look returns why contact is lost, or nil when ctx has ended. Other ends of the
// actor are not what it looks for: the question may wait for the next incarnation.
func (t Target[Q, R]) look(ctx context.Context) error {
	for ctx.Err() == nil {
		down := make(chan error, 1)
		unwatch := t.watch(ctx, func(d actors.Down) { down <- ending(d) })
		select {
		case <-ctx.Done():
		case why := <-down:
			if errors.Is(why, actors.ErrLost) {
				unwatch()
				return why
			}
			pause(ctx, lookAfter)
		}
		unwatch()
	}
	return nil
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
