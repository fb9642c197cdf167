package main

import (
	"context"

	"github.com/thejerf/suture/v4"

	"github.com/pando-agents/pando/bench/actors/measure"
)

// Suture supervises goroutines, and has no messages: a service here is a
// goroutine with a channel, and to tell it something costs what that costs.
func sutureLibrary() measure.Library {
	return measure.Library{Name: "suture", Measure: map[string]measure.Measurement{
		measure.SpawnChild: func(n int) measure.Sample {
			return measure.Spawned(n, func(handled func()) { sutureServices(n, handled) })
		},
		measure.IdleChild: func(n int) measure.Sample {
			return measure.Resting(n, func(handled func()) any { return sutureServices(n, handled) })
		},
		measure.PanicToNext: sutureCrash,
	}}
}

// sutureRoot serves a supervisor that restarts without end and without delay.
func sutureRoot() (root *suture.Supervisor, stop func()) {
	root = suture.New("bench", suture.Spec{FailureThreshold: 1e12, EventHook: func(suture.Event) {}})
	ctx, cancel := context.WithCancel(context.Background())
	ended := root.ServeBackground(ctx)
	return root, func() { cancel(); <-ended }
}

// sutureService handles one message after the other until it is stopped.
type sutureService[M any] struct {
	mailbox chan M
	receive func(M)
}

func (s *sutureService[M]) Serve(ctx context.Context) error {
	for {
		select {
		case m := <-s.mailbox:
			s.receive(m)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func sutureServices(n int, handled func()) any {
	root, _ := sutureRoot()
	for range n {
		s := &sutureService[*measure.Letter]{make(chan *measure.Letter, 16), func(*measure.Letter) { handled() }}
		root.Add(s)
		s.mailbox <- nil
	}
	return root
}

func sutureCrash(n int) measure.Sample {
	root, stop := sutureRoot()
	defer stop()
	s := &sutureService[func()]{make(chan func(), 2), func(f func()) { f() }}
	root.Add(s)
	return measure.Crashes(n, func(first, next func()) { s.mailbox <- first; s.mailbox <- next })
}
