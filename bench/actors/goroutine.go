package main

import (
	"context"
	"time"

	"github.com/pando-agents/pando/bench/actors/measure"
)

// capacity is the room of a channel, the same as a mailbox of Pando has.
const capacity = 1024

func goroutineLibrary() measure.Library {
	return measure.Library{Name: "goroutine", Measure: map[string]measure.Measurement{
		measure.TellOutside: goroutineTell,
		measure.TellInside:  goroutineTellInside,
		measure.PingPong:    goroutinePingPong,
		measure.Request:     func(n int) measure.Sample { return goroutineRequest(n, context.WithTimeout) },
		measure.RequestShared: func(n int) measure.Sample {
			ctx, cancel := context.WithTimeout(context.Background(), measure.Timeout)
			defer cancel()
			return goroutineRequest(n, the(ctx))
		},
		measure.Spawn: func(n int) measure.Sample { return measure.Spawned(n, func(handled func()) { goroutines(n, handled) }) },
		measure.Idle: func(n int) measure.Sample {
			return measure.Resting(n, func(handled func()) any { return goroutines(n, handled) })
		},
		measure.PanicToNext: goroutineCrash,
	}}
}

func goroutineTell(n int) measure.Sample {
	mailbox, done := make(chan *measure.Letter, capacity), make(chan struct{})
	go func() {
		for range n {
			<-mailbox
		}
		close(done)
	}()
	m := &measure.Letter{}
	return measure.Timed(n, func() {
		for range n {
			mailbox <- m
		}
		<-done
	})
}

func goroutineTellInside(n int) measure.Sample {
	credit, mailbox, done := make(chan *measure.Letter, 1), make(chan *measure.Letter, capacity), make(chan struct{})
	m := &measure.Letter{}
	rounds := n/measure.Burst + 1
	go func() {
		for range credit {
			for range measure.Burst {
				mailbox <- m
			}
		}
	}()
	go func() {
		for range rounds {
			for range measure.Burst {
				<-mailbox
			}
			credit <- m
		}
		close(done)
	}()
	defer close(credit)
	return measure.Timed(n, func() { credit <- m; <-done })
}

func goroutinePingPong(n int) measure.Sample {
	ping, pong := make(chan *measure.Letter, 1), make(chan *measure.Letter, 1)
	done := make(chan struct{})
	go func() {
		for m := range pong {
			ping <- m
		}
	}()
	go func() {
		defer close(pong)
		for m := range ping {
			if m.N--; m.N == 0 {
				close(done)
				return
			}
			pong <- m
		}
	}()
	return measure.Timed(n, func() { pong <- &measure.Letter{N: n}; <-done })
}

// deadline makes the context of a request.
type deadline func(context.Context, time.Duration) (context.Context, context.CancelFunc)

// the makes no context but that one.
func the(ctx context.Context) deadline {
	return func(context.Context, time.Duration) (context.Context, context.CancelFunc) { return ctx, func() {} }
}

func goroutineRequest(n int, within deadline) measure.Sample {
	mailbox := make(chan *measure.Letter, capacity)
	defer close(mailbox)
	go func() {
		for m := range mailbox {
			m.Reply <- m
		}
	}()
	ask := func() error {
		ctx, cancel := within(context.Background(), measure.Timeout)
		defer cancel()
		m := &measure.Letter{Reply: make(chan *measure.Letter, 1)}
		select {
		case mailbox <- m:
		case <-ctx.Done():
			return ctx.Err()
		}
		select {
		case <-m.Reply:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return measure.Timed(n, func() {
		for range n {
			measure.Must(ask())
		}
	})
}

// goroutines starts n goroutines with a channel each and sends each a message.
// They live as long as the process.
func goroutines(n int, handled func()) []chan *measure.Letter {
	live := make([]chan *measure.Letter, n)
	for i := range live {
		live[i] = make(chan *measure.Letter, 16)
		go func(mailbox <-chan *measure.Letter) {
			for range mailbox {
				handled()
			}
		}(live[i])
		live[i] <- nil
	}
	return live
}

func goroutineCrash(n int) measure.Sample {
	mailbox := make(chan func(), 2)
	defer close(mailbox)
	var live func()
	live = func() {
		defer func() {
			if recover() != nil {
				go live()
			}
		}()
		for f := range mailbox {
			f()
		}
	}
	go live()
	return measure.Crashes(n, func(first, next func()) { mailbox <- first; mailbox <- next })
}
