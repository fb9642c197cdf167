package actors

import (
	"context"
	"log/slog"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/pando-agents/pando/supervisor"
)

// Each benchmark measures three ways to do the same: our actors, a goroutine
// with a channel and nothing else, and protoactor-go as it comes.

// spawn starts an actor whose restarts are asked for as fast as a supervisor
// can.
func spawn[M any](b *testing.B, sys *System, name string, receive func(M)) Ref[M] {
	p := New(sys, Spec[M]{Name: name, New: func() Actor[M] { return receiver[M](receive) }})
	var start func(generation uint64)
	start = func(generation uint64) {
		err := p.Start(context.Background(), supervisor.Incarnation{
			Generation: generation, Exit: func(reason error) {
				if reason != nil {
					go start(generation + 1)
				}
			},
		})
		if err != nil {
			b.Error(err)
		}
	}
	start(1)
	b.Cleanup(func() { p.Kill(nil) })
	return p.Ref()
}

type receiver[M any] func(M)

func (f receiver[M]) Receive(_ *Context[M], m M) { f(m) }

func benchSystem(b *testing.B) *System {
	sys := NewSystem(SystemOptions{Logger: slog.New(slog.DiscardHandler)})
	b.Cleanup(sys.Close)
	return sys
}

func protoSystem(b *testing.B) *actor.ActorSystem {
	sys := actor.NewActorSystemWithConfig(actor.Configure(actor.WithLoggerFactory(
		func(*actor.ActorSystem) *slog.Logger { return slog.New(slog.DiscardHandler) })))
	b.Cleanup(func() { sys.Shutdown() })
	return sys
}

// protoActor spawns receive as an actor of protoactor-go.
func protoActor[M any](b *testing.B, sys *actor.ActorSystem, receive func(actor.Context, M), opts ...actor.PropsOption) *actor.PID {
	pid := sys.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
		if m, ok := c.Message().(M); ok {
			receive(c, m)
		}
	}, opts...))
	b.Cleanup(func() { sys.Root.Stop(pid) })
	return pid
}

func BenchmarkTell(b *testing.B) {
	b.Run("pando", func(b *testing.B) {
		done := make(chan struct{})
		ref := spawn(b, benchSystem(b), "sink", func(last bool) {
			if last {
				close(done)
			}
		})
		ctx := context.Background()
		b.ReportAllocs()
		for b.Loop() {
			_ = ref.Tell(ctx, false)
		}
		_ = ref.Tell(ctx, true)
		<-done
	})
	b.Run("goroutine", func(b *testing.B) {
		mailbox, done := make(chan bool, DefaultCapacity), make(chan struct{})
		go func() {
			for last := range mailbox {
				if last {
					close(done)
				}
			}
		}()
		b.ReportAllocs()
		for b.Loop() {
			mailbox <- false
		}
		mailbox <- true
		<-done
		close(mailbox)
	})
	b.Run("protoactor", func(b *testing.B) {
		sys, done := protoSystem(b), make(chan struct{})
		pid := protoActor(b, sys, func(_ actor.Context, last bool) {
			if last {
				close(done)
			}
		})
		b.ReportAllocs()
		for b.Loop() {
			sys.Root.Send(pid, false)
		}
		sys.Root.Send(pid, true)
		<-done
	})
}

// ball is what two players send back and forth.
type ball struct{ n int }

func BenchmarkPingPong(b *testing.B) {
	b.Run("pando", func(b *testing.B) {
		sys, done := benchSystem(b), make(chan struct{})
		var ping Ref[*ball]
		pong := spawn(b, sys, "pong", func(m *ball) { _ = ping.Offer(m) })
		ping = spawn(b, sys, "ping", func(m *ball) {
			if m.n--; m.n == 0 {
				close(done)
				return
			}
			_ = pong.Offer(m)
		})
		b.ReportAllocs()
		b.ResetTimer()
		_ = pong.Offer(&ball{b.N})
		<-done
	})
	b.Run("goroutine", func(b *testing.B) {
		ping, pong, done := make(chan *ball, 1), make(chan *ball, 1), make(chan struct{})
		go func() {
			for m := range pong {
				ping <- m
			}
		}()
		go func() {
			defer close(pong)
			for m := range ping {
				if m.n--; m.n == 0 {
					close(done)
					return
				}
				pong <- m
			}
		}()
		b.ReportAllocs()
		b.ResetTimer()
		pong <- &ball{b.N}
		<-done
	})
	b.Run("protoactor", func(b *testing.B) {
		sys, done := protoSystem(b), make(chan struct{})
		var ping *actor.PID
		pong := protoActor(b, sys, func(c actor.Context, m *ball) { c.Send(ping, m) })
		ping = protoActor(b, sys, func(c actor.Context, m *ball) {
			if m.n--; m.n == 0 {
				close(done)
				return
			}
			c.Send(pong, m)
		})
		b.ReportAllocs()
		b.ResetTimer()
		sys.Root.Send(pong, &ball{b.N})
		<-done
	})
}

// reportMedian sends n pairs of a failure and a next message, and reports the
// time from the panic to the next message.
func reportMedian(b *testing.B, send func(first, next func())) {
	var times []time.Duration
	next := make(chan time.Duration, 1)
	for b.Loop() {
		var at time.Time
		send(func() { at = time.Now(); panic("as told") }, func() { next <- time.Since(at) })
		times = append(times, <-next)
	}
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)/2].Nanoseconds()), "p50-ns")
	b.ReportMetric(float64(times[len(times)*99/100].Nanoseconds()), "p99-ns")
}

func BenchmarkPanicToNext(b *testing.B) {
	b.Run("pando", func(b *testing.B) {
		ref := spawn(b, benchSystem(b), "fails", func(f func()) { f() })
		reportMedian(b, func(first, next func()) {
			_ = ref.Offer(first)
			_ = ref.Offer(next)
		})
	})
	b.Run("pando-supervised", func(b *testing.B) {
		p := New(benchSystem(b), Spec[func()]{Name: "fails", New: func() Actor[func()] {
			return receiver[func()](func(f func()) { f() })
		}})
		tree := supervisor.New(supervisor.Options{
			Children: []supervisor.Spec{{ID: "fails", Process: p}}, Logger: slog.New(slog.DiscardHandler),
			Budget:  supervisor.Budget{Failures: -1, Within: time.Nanosecond},
			Backoff: supervisor.Backoff{Initial: time.Nanosecond, Max: time.Nanosecond},
		})
		ctx, stop := context.WithCancel(context.Background())
		served := make(chan error, 1)
		go func() { served <- tree.Serve(ctx) }()
		<-tree.Ready()
		reportMedian(b, func(first, next func()) {
			_ = p.Ref().Offer(first)
			_ = p.Ref().Offer(next)
		})
		stop()
		<-served
	})
	b.Run("goroutine", func(b *testing.B) {
		mailbox := make(chan func(), 2)
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
		reportMedian(b, func(first, next func()) { mailbox <- first; mailbox <- next })
		close(mailbox)
	})
	b.Run("protoactor", func(b *testing.B) {
		sys := protoSystem(b)
		always := actor.NewOneForOneStrategy(1<<30, time.Hour, func(any) actor.Directive { return actor.RestartDirective })
		pid := protoActor(b, sys, func(_ actor.Context, f func()) { f() }, actor.WithGuardian(always))
		reportMedian(b, func(first, next func()) { sys.Root.Send(pid, first); sys.Root.Send(pid, next) })
	})
}

// BenchmarkIdle reports the memory of an actor that has handled a message and
// rests.
func BenchmarkIdle(b *testing.B) {
	const actors = 10_000
	report := func(b *testing.B, live func() (keep any)) {
		before := inUse()
		keep := live()
		b.ReportMetric(float64(inUse()-before)/actors, "B/actor")
		b.ReportMetric(0, "ns/op")
		runtime.KeepAlive(keep)
	}
	b.Run("pando", func(b *testing.B) {
		sys := benchSystem(b)
		var live []*Process[int]
		defer func() {
			for _, p := range live {
				p.Kill(nil)
			}
		}()
		report(b, func() any {
			handled := make(chan struct{}, actors)
			live = make([]*Process[int], actors)
			receive := receiver[int](func(int) { handled <- struct{}{} })
			spec := Spec[int]{Name: "idle", New: func() Actor[int] { return receive }}
			inc := supervisor.Incarnation{Generation: 1, Exit: func(error) {}}
			for i := range live {
				live[i] = New(sys, spec)
				if err := live[i].Start(context.Background(), inc); err != nil {
					b.Fatal(err)
				}
				_ = live[i].Ref().Offer(1)
			}
			drain(handled, actors)
			return live
		})
	})
	b.Run("goroutine", func(b *testing.B) {
		stop := make(chan struct{})
		defer close(stop)
		report(b, func() any {
			handled := make(chan struct{}, actors)
			mailboxes := make([]chan int, actors)
			for i := range mailboxes {
				mailbox := make(chan int, 16)
				mailboxes[i] = mailbox
				go func() {
					for {
						select {
						case <-mailbox:
							handled <- struct{}{}
						case <-stop:
							return
						}
					}
				}()
				mailbox <- 1
			}
			drain(handled, actors)
			return mailboxes
		})
	})
	b.Run("protoactor", func(b *testing.B) {
		sys := protoSystem(b)
		var pids []*actor.PID
		defer func() {
			for _, pid := range pids {
				sys.Root.Stop(pid)
			}
		}()
		report(b, func() any {
			handled := make(chan struct{}, actors)
			pids = make([]*actor.PID, actors)
			props := actor.PropsFromFunc(func(c actor.Context) {
				if _, ok := c.Message().(int); ok {
					handled <- struct{}{}
				}
			})
			for i := range pids {
				pids[i] = sys.Root.Spawn(props)
				sys.Root.Send(pids[i], i)
			}
			drain(handled, actors)
			return pids
		})
	})
}

func drain(handled chan struct{}, n int) {
	for range n {
		<-handled
	}
}

// inUse returns the bytes of heap and stacks in use.
func inUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}

// BenchmarkIdleSupervised reports the memory of an actor at rest as the child
// of a supervisor, with all that the supervisor keeps of it.
func BenchmarkIdleSupervised(b *testing.B) {
	const actors = 10_000
	sys := benchSystem(b)
	tree := supervisor.New(supervisor.Options{Strategy: supervisor.Dynamic, Logger: slog.New(slog.DiscardHandler)})
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- tree.Serve(ctx) }()
	<-tree.Ready()
	handled := make(chan struct{}, actors)
	receive := receiver[int](func(int) { handled <- struct{}{} })
	spec := Spec[int]{Name: "idle", New: func() Actor[int] { return receive }}
	before := inUse()
	for i := range actors {
		p := New(sys, spec)
		if err := tree.StartChild(ctx, supervisor.Spec{ID: strconv.Itoa(i), Process: p}); err != nil {
			b.Fatal(err)
		}
		_ = p.Ref().Offer(1)
	}
	drain(handled, actors)
	b.ReportMetric(float64(inUse()-before)/actors, "B/actor")
	b.ReportMetric(0, "ns/op")
	stop()
	<-served
}
