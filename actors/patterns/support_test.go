package patterns_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pando-agents/pando/actors"
	"github.com/pando-agents/pando/actors/actortest"
	"github.com/pando-agents/pando/actors/patterns"
)

// question is what the workers of these tests are asked.
type question struct {
	actors.Reply[int]
	n int
}

// worker answers in a way of its own.
type worker func(c *actors.Context[question], q question)

func (w worker) Receive(c *actors.Context[question], q question) { w(c, q) }

// double answers with twice the number.
func double(_ *actors.Context[question], q question) { q.Send(2 * q.n) }

// never does not answer.
func never(*actors.Context[question], question) {}

// after answers later.
func after(d time.Duration) worker {
	return func(_ *actors.Context[question], q question) {
		time.AfterFunc(d, func() { q.Send(2 * q.n) })
	}
}

var errOdd = errors.New("odd")

// even refuses odd numbers.
func even(_ *actors.Context[question], q question) {
	if q.n%2 != 0 {
		q.Fail(errOdd)
		return
	}
	q.Send(2 * q.n)
}

func crash(*actors.Context[question], question) { panic(actortest.ErrInjected) }

// start runs a worker and makes a target of it.
func start(t *testing.T, name string, w worker) (patterns.Target[int, int], *actortest.Actor[question]) {
	t.Helper()
	a := actortest.Start(t, actors.Spec[question]{Name: name, New: func() actors.Actor[question] { return w }})
	return target(name, a.Ref), a
}

func target(name string, ref actors.Ref[question]) patterns.Target[int, int] {
	return patterns.To(name, ref, func(n int, r actors.Reply[int]) question { return question{r, n} })
}

// bubble runs f in virtual time.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, f)
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}
