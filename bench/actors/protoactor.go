package main

import (
	"log/slog"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/pando-agents/pando/bench/actors/measure"
)

// Protoactor-go as it comes: its own dispatcher, mailboxes and supervision.
func protoLibrary() measure.Library {
	return measure.Library{Name: "protoactor", Measure: map[string]measure.Measurement{
		measure.TellOutside:    func(n int) measure.Sample { return protoTell(n, protoRoot) },
		measure.TellInside:     protoTellInside,
		measure.TellSupervised: func(n int) measure.Sample { return protoTell(n, protoChild) },
		measure.PingPong:       protoPingPong,
		measure.Request:        protoRequest,
		measure.Spawn: func(n int) measure.Sample {
			return measure.Spawned(n, func(handled func()) { protoActors(n, protoRoot, handled) })
		},
		measure.SpawnChild: func(n int) measure.Sample {
			return measure.Spawned(n, func(handled func()) { protoActors(n, protoChild, handled) })
		},
		measure.Idle: func(n int) measure.Sample {
			return measure.Resting(n, func(handled func()) any { return protoActors(n, protoRoot, handled) })
		},
		measure.IdleChild: func(n int) measure.Sample {
			return measure.Resting(n, func(handled func()) any { return protoActors(n, protoChild, handled) })
		},
		measure.PanicToNext: protoCrash,
	}}
}

func protoSystem() *actor.ActorSystem {
	return actor.NewActorSystemWithConfig(actor.Configure(actor.WithLoggerFactory(
		func(*actor.ActorSystem) *slog.Logger { return slog.New(slog.DiscardHandler) })))
}

// protoSpawner returns what spawns actors in a system.
type protoSpawner func(sys *actor.ActorSystem) func(*actor.Props) *actor.PID

func protoRoot(sys *actor.ActorSystem) func(*actor.Props) *actor.PID { return sys.Root.Spawn }

// protoChild spawns children of one actor.
func protoChild(sys *actor.ActorSystem) func(*actor.Props) *actor.PID {
	spawned := make(chan *actor.PID, 1)
	parent := sys.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
		if props, ok := c.Message().(*actor.Props); ok {
			spawned <- c.Spawn(props)
		}
	}, actor.WithSupervisor(protoAlways())))
	return func(props *actor.Props) *actor.PID {
		sys.Root.Send(parent, props)
		return <-spawned
	}
}

// protoAlways restarts without end and without delay.
func protoAlways() actor.SupervisorStrategy {
	return actor.NewOneForOneStrategy(1<<30, time.Hour, func(any) actor.Directive { return actor.RestartDirective })
}

func protoTell(n int, spawner protoSpawner) measure.Sample {
	sys, done, handled := protoSystem(), make(chan struct{}), 0
	defer sys.Shutdown()
	pid := spawner(sys)(actor.PropsFromFunc(func(c actor.Context) {
		if _, ok := c.Message().(*measure.Letter); ok {
			if handled++; handled == n {
				close(done)
			}
		}
	}))
	m := &measure.Letter{}
	return measure.Timed(n, func() {
		for range n {
			sys.Root.Send(pid, m)
		}
		<-done
	})
}

func protoTellInside(n int) measure.Sample {
	sys, done, handled, last := protoSystem(), make(chan struct{}), 0, (n/measure.Burst+1)*measure.Burst
	defer sys.Shutdown()
	var source *actor.PID
	sink := sys.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
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
	}))
	source = sys.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
		if m, ok := c.Message().(*measure.Letter); ok {
			for range measure.Burst {
				c.Send(sink, m)
			}
		}
	}))
	return measure.Timed(n, func() { sys.Root.Send(source, &measure.Letter{}); <-done })
}

func protoPingPong(n int) measure.Sample {
	sys, done := protoSystem(), make(chan struct{})
	defer sys.Shutdown()
	var ping *actor.PID
	pong := sys.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
		if m, ok := c.Message().(*measure.Letter); ok {
			c.Send(ping, m)
		}
	}))
	ping = sys.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
		m, ok := c.Message().(*measure.Letter)
		if !ok {
			return
		}
		if m.N--; m.N == 0 {
			close(done)
			return
		}
		c.Send(pong, m)
	}))
	return measure.Timed(n, func() { sys.Root.Send(pong, &measure.Letter{N: n}); <-done })
}

func protoRequest(n int) measure.Sample {
	sys := protoSystem()
	defer sys.Shutdown()
	pid := sys.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
		if m, ok := c.Message().(*measure.Letter); ok {
			c.Respond(m)
		}
	}))
	return measure.Timed(n, func() {
		for range n {
			_, err := sys.Root.RequestFuture(pid, &measure.Letter{}, measure.Timeout).Result()
			measure.Must(err)
		}
	})
}

func protoActors(n int, spawner protoSpawner, handled func()) any {
	sys := protoSystem()
	start, m := spawner(sys), &measure.Letter{}
	props := actor.PropsFromFunc(func(c actor.Context) {
		if _, ok := c.Message().(*measure.Letter); ok {
			handled()
		}
	})
	for range n {
		sys.Root.Send(start(props), m)
	}
	return sys
}

func protoCrash(n int) measure.Sample {
	sys := protoSystem()
	defer sys.Shutdown()
	pid := sys.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
		if f, ok := c.Message().(func()); ok {
			f()
		}
	}, actor.WithGuardian(protoAlways())))
	return measure.Crashes(n, func(first, next func()) { sys.Root.Send(pid, first); sys.Root.Send(pid, next) })
}
