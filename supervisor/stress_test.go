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

// A tree of a thousand children under supervisors of all kinds, of which about a hundred crash in each second: for some
// minutes of virtual time, or an hour.
//
// Not parallel: it measures the heap.
func TestThousandChildrenCrashAtRandomNoneIsLostAndMemoryStaysFlat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lives sync.Map
		s := serve(t, Options{Strategy: Dynamic})
		groups := thousand(t, s, &lives)
		later(2 * time.Minute) // until each has failed at least once
		before := heapInUse()
		later(time.Duration(nightly(3, 60)) * time.Minute)
		grown := heapInUse() - before
		children, restarts := 0, uint64(0)
		for _, group := range groups {
			snap := group.Snapshot()
			restarts += snap.Restarts
			children += len(snap.Children)
			for _, c := range snap.Children {
				if _, alive := lives.Load(c.ID); alive != (c.State == Running) {
					t.Errorf("%s in %s is %v, alive %v", c.ID, snap.Path, c.State, alive)
				}
				if p, ok := c.Reason.(*PanicError); ok && p.Value != "random" {
					t.Error(p)
				}
			}
		}
		t.Logf("%d restarts, heap grown by %d bytes", restarts, grown)
		if children != 1000 || restarts < uint64(nightly(10_000, 100_000)) {
			t.Errorf("%d children, %d restarts", children, restarts)
		}
		if grown > 512<<10 {
			t.Errorf("heap grown by %d bytes in %d restarts", grown, restarts)
		}
		noError(t, s.stop(nil))
		lives.Range(func(id, _ any) bool { t.Errorf("%v is still alive", id); return true })
	})
}

// thousand puts supervisors with a thousand children under s. Where all are brought down for one the groups are small,
// to keep the mixture balanced.
func thousand(t *testing.T, s *served, lives *sync.Map) (groups []*Supervisor) {
	for strategy, size := range map[Strategy]int{OneForOne: 125, OneForAll: 5, RestForOne: 5, Dynamic: 125} {
		for g := range 250 / size {
			var specs []Spec
			for i := range size {
				id := fmt.Sprintf("%v-%d/%d", strategy, g, i)
				specs = append(specs, Spec{ID: id, Service: crashing(lives, id, uint64(g*1000+i))})
			}
			o := Options{Strategy: strategy, Budget: Budget{Failures: -1}, Logger: discard()}
			if strategy != Dynamic {
				o.Children, specs = specs, nil
			}
			group := New(o)
			noError(t, s.StartChild(t.Context(), Spec{ID: fmt.Sprintf("%v-%d", strategy, g), Service: group}))
			for _, spec := range specs {
				noError(t, group.StartChild(t.Context(), spec))
			}
			groups = append(groups, group)
		}
	}
	return groups
}

func heapInUse() int64 {
	synctest.Wait()
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
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
		before, goroutines := heapInUse(), runtime.NumGoroutine()
		for i := range ids {
			noError(t, s.StartChild(t.Context(), Spec{ID: ids[i], Process: &processes[i], Restart: Transient}))
		}
		each := float64(heapInUse()-before) / n
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
