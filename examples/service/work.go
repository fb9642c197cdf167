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

// tally adds words to the total and is answered with it, or with why not.
type tally struct {
	words  int
	poison bool
	answer chan answer // with room for one; nil if nobody waits
}

type answer struct {
	total int
	err   error
}

func (t *total) Receive(_ *actors.Context[tally], m tally) {
	if m.poison {
		panic(errBroken)
	}
	t.words += m.words
	m.answer <- answer{total: t.words}
}

// NotHandled answers a tally that an incarnation took down with it.
func (m tally) NotHandled(err error) {
	if m.answer != nil {
		m.answer <- answer{err: err}
	}
}

// add adds words to the total and returns it.
func (s *service) add(ctx context.Context, words int) (int, error) {
	m := tally{words: words, answer: make(chan answer, 1)}
	if err := s.total.Ref().Tell(ctx, m); err != nil {
		return 0, err
	}
	select {
	case a := <-m.answer:
		return a.total, a.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
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
