// Command hollywood makes one measurement of the library hollywood: its
// parameters are what measure.Command says. It is a program of its own because
// hollywood cannot be linked together with protoactor-go.
package main

import (
	"fmt"
	"math"
	"os"

	"github.com/anthdm/hollywood/actor"

	"github.com/pando-agents/pando/bench/actors/measure"
)

func main() {
	if err := measure.Command([]measure.Library{hollywood()}, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "hollywood:", err)
		os.Exit(1)
	}
}

// Hollywood as it comes, except that restarts have no end and no delay: by
// default there are three, after half a second each. Each actor has an inbox
// of 1,024 messages from the start, which is 24 KiB.
func hollywood() measure.Library {
	return measure.Library{
		Name: "hollywood",
		Measure: map[string]measure.Measurement{
			measure.TellOutside:    func(n int) measure.Sample { return tell(n, inRoot) },
			measure.TellInside:     tellInside,
			measure.TellSupervised: func(n int) measure.Sample { return tell(n, asChild) },
			measure.PingPong:       pingPong,
			measure.Request:        request,
			measure.Spawn: func(n int) measure.Sample {
				return measure.Spawned(n, func(handled func()) { start(n, inRoot, handled) })
			},
			measure.SpawnChild: func(n int) measure.Sample {
				return measure.Spawned(n, func(handled func()) { start(n, asChild, handled) })
			},
			measure.Idle: func(n int) measure.Sample {
				return measure.Resting(n, func(handled func()) any { return start(n, inRoot, handled) })
			},
			measure.IdleChild: func(n int) measure.Sample {
				return measure.Resting(n, func(handled func()) any { return start(n, asChild, handled) })
			},
			measure.PanicToNext: crash,
		},
	}
}

func newEngine() *actor.Engine {
	e, err := actor.NewEngine(actor.NewEngineConfig())
	measure.Must(err)
	return e
}

// A spawner returns what spawns actors on an engine.
type spawner func(e *actor.Engine) func(receive func(*actor.Context)) *actor.PID

func inRoot(e *actor.Engine) func(func(*actor.Context)) *actor.PID {
	return func(receive func(*actor.Context)) *actor.PID { return e.SpawnFunc(receive, "bench") }
}

// asChild spawns children of one actor.
func asChild(e *actor.Engine) func(func(*actor.Context)) *actor.PID {
	spawned := make(chan *actor.PID, 1)
	parent := e.SpawnFunc(func(c *actor.Context) {
		if receive, ok := c.Message().(func(*actor.Context)); ok {
			spawned <- c.SpawnChildFunc(receive, "bench")
		}
	}, "parent")
	return func(receive func(*actor.Context)) *actor.PID {
		e.Send(parent, receive)
		return <-spawned
	}
}

func tell(n int, place spawner) measure.Sample {
	e, done, handled := newEngine(), make(chan struct{}), 0
	pid := place(e)(func(c *actor.Context) {
		if _, ok := c.Message().(*measure.Letter); ok {
			if handled++; handled == n {
				close(done)
			}
		}
	})
	m := &measure.Letter{}
	return measure.Timed(n, func() {
		for range n {
			e.Send(pid, m)
		}
		<-done
	})
}

func tellInside(n int) measure.Sample {
	e, done, handled, last := newEngine(), make(chan struct{}), 0, (n/measure.Burst+1)*measure.Burst
	var source *actor.PID
	sink := e.SpawnFunc(func(c *actor.Context) {
		m, ok := c.Message().(*measure.Letter)
		if !ok {
			return
		}
		switch handled++; {
		case handled == last:
			close(done)
		case handled%measure.Burst == 0:
			c.Send(source, m)
		}
	}, "sink")
	source = e.SpawnFunc(func(c *actor.Context) {
		if m, ok := c.Message().(*measure.Letter); ok {
			for range measure.Burst {
				c.Send(sink, m)
			}
		}
	}, "source")
	return measure.Timed(n, func() { e.Send(source, &measure.Letter{}); <-done })
}

func pingPong(n int) measure.Sample {
	e, done := newEngine(), make(chan struct{})
	var ping *actor.PID
	pong := e.SpawnFunc(func(c *actor.Context) {
		if m, ok := c.Message().(*measure.Letter); ok {
			c.Send(ping, m)
		}
	}, "pong")
	ping = e.SpawnFunc(func(c *actor.Context) {
		m, ok := c.Message().(*measure.Letter)
		if !ok {
			return
		}
		if m.N--; m.N == 0 {
			close(done)
			return
		}
		c.Send(pong, m)
	}, "ping")
	return measure.Timed(n, func() { e.Send(pong, &measure.Letter{N: n}); <-done })
}

func request(n int) measure.Sample {
	e := newEngine()
	pid := e.SpawnFunc(func(c *actor.Context) {
		if m, ok := c.Message().(*measure.Letter); ok {
			c.Respond(m)
		}
	}, "server")
	return measure.Timed(n, func() {
		for range n {
			_, err := e.Request(pid, &measure.Letter{}, measure.Timeout).Result()
			measure.Must(err)
		}
	})
}

func start(n int, place spawner, handled func()) any {
	e := newEngine()
	spawn, m := place(e), &measure.Letter{}
	receive := func(c *actor.Context) {
		if _, ok := c.Message().(*measure.Letter); ok {
			handled()
		}
	}
	for range n {
		e.Send(spawn(receive), m)
	}
	return e
}

func crash(n int) measure.Sample {
	e := newEngine()
	pid := e.SpawnFunc(func(c *actor.Context) {
		if f, ok := c.Message().(func()); ok {
			f()
		}
	}, "bench", actor.WithMaxRestarts(math.MaxInt32), actor.WithRestartDelay(0))
	return measure.Crashes(n, func(first, next func()) { e.Send(pid, first); e.Send(pid, next) })
}
