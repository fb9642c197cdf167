package main

import (
	"context"
	"errors"
	"strings"

	"github.com/pando-agents/pando/actors"
)

var (
	errBroken    = errors.New("broken on purpose")
	errNotWorked = errors.New("the worker failed")
)

// total is the actor that has the total. A new incarnation begins at 0.
type total struct{ words int }

// tally adds words to the total, which is the answer.
type tally struct {
	actors.Reply[int]
	words  int
	poison bool
}

func (t *total) Receive(_ *actors.Context[tally], m tally) {
	if m.poison {
		panic(errBroken)
	}
	t.words += m.words
	m.Send(t.words)
}

// add adds words to the total and returns it. It fails at once if the
// incarnation that has the tally does.
func (s *service) add(ctx context.Context, words int) (int, error) {
	return actors.Ask(ctx, s.total.Ref(), func(r actors.Reply[int]) tally { return tally{Reply: r, words: words} })
}

// answer is what became of a job: the total after it, or why it was not done.
type answer struct {
	total int
	err   error
}

// job is a text for a worker. Whoever waits for it is answered whatever
// becomes of the worker.
type job struct {
	text   string
	poison bool
	answer chan answer // with room for one; nil if nobody waits
}

// enqueue waits until a worker takes the job.
func (s *service) enqueue(ctx context.Context, j job) error {
	select {
	case s.jobs <- j:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// work is a worker: it does one job after the other.
func (s *service) work(ctx context.Context) error {
	for {
		select {
		case j := <-s.jobs:
			s.do(ctx, j)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *service) do(ctx context.Context, j job) {
	a := answer{err: errNotWorked} // what is left after a panic
	defer func() {
		if j.answer != nil {
			j.answer <- a
		}
	}()
	if j.poison {
		panic(errBroken)
	}
	a.total, a.err = s.add(ctx, len(strings.Fields(j.text)))
}
