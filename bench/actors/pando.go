package main

import (
	"context"
	"log/slog"
	"strconv"
	"time"

	"github.com/pando-agents/pando/actors"
	"github.com/pando-agents/pando/bench/actors/measure"
	"github.com/pando-agents/pando/supervisor"
)

func pandoLibrary() measure.Library {
	return measure.Library{Name: "pando", Measure: map[string]measure.Measurement{
		measure.TellOutside:    func(n int) measure.Sample { return pandoTell(n, pandoBare) },
		measure.TellInside:     pandoTellInside,
		measure.TellSupervised: func(n int) measure.Sample { return pandoTell(n, pandoChild) },
		measure.PingPong:       pandoPingPong,
		measure.Request: func(n int) measure.Sample {
			return pandoRequest(n, func(to actors.Ref[query], request func(actors.Reply[*measure.Letter]) query) error {
				_, err := actors.AskWithin(context.Background(), measure.Timeout, to, request)
				return err
			})
		},
		measure.RequestShared: func(n int) measure.Sample {
			ctx, cancel := context.WithTimeout(context.Background(), measure.Timeout)
			defer cancel()
			return pandoRequest(n, func(to actors.Ref[query], request func(actors.Reply[*measure.Letter]) query) error {
				_, err := actors.Ask(ctx, to, request)
				return err
			})
		},
		measure.Spawn: func(n int) measure.Sample {
			return measure.Spawned(n, func(handled func()) { pandoActors(n, pandoBare, handled) })
		},
		measure.SpawnChild: func(n int) measure.Sample {
			return measure.Spawned(n, func(handled func()) { pandoActors(n, pandoChild, handled) })
		},
		measure.Idle: func(n int) measure.Sample {
			return measure.Resting(n, func(handled func()) any { return pandoActors(n, pandoBare, handled) })
		},
		measure.IdleChild: func(n int) measure.Sample {
			return measure.Resting(n, func(handled func()) any { return pandoActors(n, pandoChild, handled) })
		},
		measure.PanicToNext: pandoCrash,
	}}
}

// bareLibrary is Pando's actors without a supervisor, where what that adds is
// asked for.
func bareLibrary() measure.Library {
	return measure.Library{Name: "bare", Measure: map[string]measure.Measurement{
		measure.TellSupervised: func(n int) measure.Sample { return pandoTell(n, pandoBare) },
	}}
}

// receiver is an actor that is a function.
type receiver[M any] func(c *actors.Context[M], m M)

func (f receiver[M]) Receive(c *actors.Context[M], m M) { f(c, m) }

func pandoSystem() *actors.System {
	return actors.NewSystem(actors.SystemOptions{Logger: slog.New(slog.DiscardHandler)})
}

// pandoStarter returns what starts actors one after the other, and stops them.
type pandoStarter func() (start func(supervisor.Process), stop func())

// pandoBare starts actors that nobody supervises.
func pandoBare() (func(supervisor.Process), func()) {
	var live []supervisor.Process
	start := func(p supervisor.Process) {
		measure.Must(p.Start(context.Background(), supervisor.Incarnation{Generation: 1, Exit: func(error) {}}))
		live = append(live, p)
	}
	return start, func() {
		for _, p := range live {
			p.Stop(1, nil)
		}
	}
}

// pandoChild starts children of one supervisor, which restarts without end and
// without delay.
func pandoChild() (func(supervisor.Process), func()) {
	root := supervisor.New(supervisor.Options{
		Strategy: supervisor.Dynamic, Logger: slog.New(slog.DiscardHandler),
		Budget:  supervisor.Budget{Failures: -1, Within: time.Nanosecond},
		Backoff: supervisor.Backoff{Initial: time.Nanosecond, Max: time.Nanosecond},
	})
	ctx, cancel := context.WithCancel(context.Background())
	served, id := make(chan error, 1), 0
	go func() { served <- root.Serve(ctx) }()
	<-root.Ready()
	start := func(p supervisor.Process) {
		id++
		measure.Must(root.StartChild(ctx, supervisor.Spec{ID: strconv.Itoa(id), Process: p}))
	}
	return start, func() {
		cancel()
		measure.Must(<-served)
	}
}

// pandoActor starts one actor.
func pandoActor[M any](sys *actors.System, start func(supervisor.Process), receive func(*actors.Context[M], M)) actors.Ref[M] {
	p := actors.New(sys, actors.Spec[M]{Name: "bench", New: func() actors.Actor[M] { return receiver[M](receive) }})
	start(p)
	return p.Ref()
}

func pandoTell(n int, starter pandoStarter) measure.Sample {
	sys, done, handled := pandoSystem(), make(chan struct{}), 0
	defer sys.Close()
	start, stop := starter()
	defer stop()
	ref := pandoActor(sys, start, func(*actors.Context[*measure.Letter], *measure.Letter) {
		if handled++; handled == n {
			close(done)
		}
	})
	m, ctx := &measure.Letter{}, context.Background()
	return measure.Timed(n, func() {
		for range n {
			measure.Must(ref.Tell(ctx, m))
		}
		<-done
	})
}

func pandoTellInside(n int) measure.Sample {
	sys, done, handled, last := pandoSystem(), make(chan struct{}), 0, (n/measure.Burst+1)*measure.Burst
	defer sys.Close()
	start, stop := pandoBare()
	defer stop()
	var source actors.Ref[*measure.Letter]
	sink := pandoActor(sys, start, func(c *actors.Context[*measure.Letter], m *measure.Letter) {
		switch handled++; {
		case handled == last:
			close(done)
		case handled%measure.Burst == 0:
			measure.Must(source.Tell(c.Context(), m))
		}
	})
	source = pandoActor(sys, start, func(c *actors.Context[*measure.Letter], m *measure.Letter) {
		for range measure.Burst {
			measure.Must(sink.Tell(c.Context(), m))
		}
	})
	return measure.Timed(n, func() { measure.Must(source.Offer(&measure.Letter{})); <-done })
}

func pandoPingPong(n int) measure.Sample {
	sys, done := pandoSystem(), make(chan struct{})
	defer sys.Close()
	start, stop := pandoBare()
	defer stop()
	var ping actors.Ref[*measure.Letter]
	pong := pandoActor(sys, start, func(c *actors.Context[*measure.Letter], m *measure.Letter) { measure.Must(ping.Tell(c.Context(), m)) })
	ping = pandoActor(sys, start, func(c *actors.Context[*measure.Letter], m *measure.Letter) {
		if m.N--; m.N == 0 {
			close(done)
			return
		}
		measure.Must(pong.Tell(c.Context(), m))
	})
	return measure.Timed(n, func() { measure.Must(pong.Offer(&measure.Letter{N: n})); <-done })
}

// query is a request: it is answered by the letter in it.
type query struct {
	actors.Reply[*measure.Letter]
	letter *measure.Letter
}

func pandoRequest(n int, ask func(actors.Ref[query], func(actors.Reply[*measure.Letter]) query) error) measure.Sample {
	sys := pandoSystem()
	defer sys.Close()
	start, stop := pandoChild()
	defer stop()
	server := pandoActor(sys, start, func(_ *actors.Context[query], m query) { m.Send(m.letter) })
	return measure.Timed(n, func() {
		for range n {
			measure.Must(ask(server, func(r actors.Reply[*measure.Letter]) query { return query{r, &measure.Letter{}} }))
		}
	})
}

func pandoActors(n int, starter pandoStarter, handled func()) any {
	sys := pandoSystem()
	start, stop := starter()
	m := &measure.Letter{}
	spec := actors.Spec[*measure.Letter]{Name: "bench", New: func() actors.Actor[*measure.Letter] {
		return receiver[*measure.Letter](func(*actors.Context[*measure.Letter], *measure.Letter) { handled() })
	}}
	for range n {
		p := actors.New(sys, spec)
		start(p)
		measure.Must(p.Ref().Offer(m))
	}
	return stop
}

func pandoCrash(n int) measure.Sample {
	sys := pandoSystem()
	defer sys.Close()
	start, stop := pandoChild()
	defer stop()
	ref := pandoActor(sys, start, func(_ *actors.Context[func()], f func()) { f() })
	return measure.Crashes(n, func(first, next func()) { measure.Must(ref.Offer(first)); measure.Must(ref.Offer(next)) })
}
