package supervisor

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// crashing returns a service that lives for a random time and then ends in a random way.
func crashing(lives *sync.Map, id string, seed uint64) Service {
	random := rand.New(rand.NewPCG(seed, 1))
	return ServiceFunc(func(ctx context.Context) error {
		if _, twice := lives.LoadOrStore(id, true); twice {
			panic("two incarnations at a time")
		}
		defer lives.Delete(id)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Duration(random.Int64N(int64(20 * time.Second)))):
		}
		switch random.IntN(4) {
		case 0:
			panic("random")
		case 1:
			runtime.Goexit()
		case 2:
			return errBoom
		}
		return nil
	})
}

func TestThousandChildrenCrashAtRandomAndAllComeBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const n = 1000
		var lives sync.Map
		s := serve(t, Options{Budget: Budget{Failures: -1}, Strategy: Dynamic})
		var all sync.WaitGroup
		for i := range n {
			all.Go(func() {
				id := fmt.Sprint(i)
				if err := s.StartChild(t.Context(), Spec{ID: id, Service: crashing(&lives, id, uint64(i))}); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		later(4 * time.Minute)
		snap := s.Snapshot()
		var sum uint64
		for _, c := range snap.Children {
			sum += uint64(c.Restarts)
			if _, alive := lives.Load(c.ID); alive != (c.State == Running) {
				t.Fatalf("%s is %v, alive %v", c.ID, c.State, alive)
			}
			if p, ok := c.Reason.(*PanicError); ok && p.Value != "random" {
				t.Fatal(p)
			}
		}
		if len(snap.Children) != n || sum != snap.Restarts || sum < 12*n || len(snap.Abandoned) != 0 {
			t.Fatalf("%d children, %d restarts, supervisor says %d", len(snap.Children), sum, snap.Restarts)
		}
		noError(t, s.stop(nil))
		lives.Range(func(id, _ any) bool { t.Errorf("%v is still alive", id); return true })
	})
}

func TestCallsAtRandomLeaveNothingBehind(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var lives sync.Map
		s := serve(t, Options{Budget: Budget{Failures: 5}, BudgetPerChild: true, Strategy: Dynamic})
		var all sync.WaitGroup
		for worker := range uint64(20) {
			all.Go(func() {
				random := rand.New(rand.NewPCG(worker, 2))
				for range 200 {
					id := fmt.Sprint(random.IntN(10))
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(random.Int64N(int64(time.Second))))
					switch random.IntN(3) {
					case 0:
						_ = s.StartChild(ctx, Spec{ID: id, Service: crashing(&lives, id, worker)})
					case 1:
						_ = s.Terminate(ctx, id)
					case 2:
						_ = s.Restart(ctx, id)
					}
					cancel()
					time.Sleep(time.Duration(random.Int64N(int64(time.Second))))
				}
			})
		}
		all.Wait()
		for _, id := range s.Children() {
			noError(t, s.Terminate(t.Context(), id))
		}
		if s.Count().Specs != 0 {
			t.Fatalf("left: %q", s.Children())
		}
		lives.Range(func(id, _ any) bool { t.Errorf("%v is still alive", id); return true })
	})
}

// An idle process holds what a real one has to: its way to tell its end.
type idle struct{ inc Incarnation }

func (p *idle) Start(_ context.Context, inc Incarnation) error { p.inc = inc; return nil }
func (p *idle) Stop(uint64, error)                             { p.inc.Exit(nil) }
func (p *idle) Abandon(uint64)                                 {}

// Not parallel: it measures the heap.
func TestIdleProcessCostsAtMost300BytesAndNoGoroutine(t *testing.T) {
	const n = 10_000
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, Options{Strategy: Dynamic})
		ids := make([]string, n)
		processes := make([]idle, n)
		for i := range ids {
			ids[i] = fmt.Sprint("channel-", i)
		}
		heap := func() uint64 {
			synctest.Wait()
			runtime.GC()
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return m.HeapAlloc
		}
		before, goroutines := heap(), runtime.NumGoroutine()
		for i := range ids {
			noError(t, s.StartChild(t.Context(), Spec{ID: ids[i], Process: &processes[i], Restart: Transient}))
		}
		each := float64(heap()-before) / n
		t.Logf("%.0f bytes for each idle process", each)
		if each > 300 {
			t.Errorf("%.0f bytes for each idle process", each)
		}
		if more := runtime.NumGoroutine() - goroutines; more > 0 {
			t.Errorf("%d goroutines more", more)
		}
		noError(t, s.stop(nil))
		runtime.KeepAlive(processes)
	})
}

func BenchmarkStartChild(b *testing.B) {
	s := New(Options{Strategy: Dynamic, Logger: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error)
	go func() { ended <- s.Serve(ctx) }()
	<-s.Ready()
	for b.Loop() {
		if err := s.StartChild(ctx, Spec{ID: "a", Process: &idle{}}); err != nil {
			b.Fatal(err)
		}
		if err := s.Terminate(ctx, "a"); err != nil {
			b.Fatal(err)
		}
	}
	cancel()
	<-ended
}

// BenchmarkExitToUp is the way from the end of an incarnation to the next one: of a Process, and of a Service that
// panics, which includes taking its stack.
func BenchmarkExitToUp(b *testing.B) {
	b.Run("process", func(b *testing.B) {
		up := make(chan Incarnation)
		p := &fake{start: func(_ context.Context, inc Incarnation) error { up <- inc; return nil }}
		p.stop = func(gen uint64, _ error) { p.exit(gen, nil) }
		benchmarkRestarts(b, Spec{ID: "a", Process: p}, func() {
			inc := <-up
			p.forget(inc.Generation - 1)
			inc.Exit(errBoom)
		}, func() { <-up })
	})
	b.Run("service", func(b *testing.B) {
		up := make(chan struct{})
		benchmarkRestarts(b, Spec{ID: "a", Service: ServiceFunc(func(ctx context.Context) error {
			select {
			case up <- struct{}{}:
				panic("bench")
			case <-ctx.Done():
				return nil
			}
		})}, func() { <-up }, func() {})
	})
}

func benchmarkRestarts(b *testing.B, spec Spec, once, last func()) {
	s := New(Options{
		Budget: Budget{Failures: -1}, Rand: func() float64 { return 0 }, Logger: slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error)
	go func() { ended <- s.Serve(ctx) }()
	<-s.Ready()
	go func() { _ = s.StartChild(ctx, spec) }()
	for b.Loop() {
		once()
	}
	last()
	cancel()
	<-ended
}
