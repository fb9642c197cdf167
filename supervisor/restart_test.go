package supervisor

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func half() float64 { return 0.5 }

func TestFirstRestartIsImmediateLaterOnesBackOffWithFullJitter(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var starts []time.Duration
		begin := time.Now()
		s := serve(t, Options{
			Rand: half, Budget: Budget{Failures: -1},
			Children: []Spec{{ID: "a", Service: ServiceFunc(func(context.Context) error {
				starts = append(starts, time.Since(begin))
				return errBoom
			})}},
		})
		later(time.Second)
		noError(t, s.stop(nil))
		ms := time.Millisecond
		if want := []time.Duration{0, 0, 50 * ms, 150 * ms, 350 * ms, 750 * ms}; !slices.Equal(starts, want) {
			t.Fatalf("started at %v, want %v", starts, want)
		}
	})
}

func TestBackOffIsCapped(t *testing.T) {
	t.Parallel()
	b := Options{}.withDefaults().Backoff
	for _, n := range []int{8, 9, 10, 100, 1 << 30} {
		if d := b.delay(n, func() float64 { return 1 }); d > b.Max || d < 6*time.Second {
			t.Fatalf("delay after %d failures is %v", n, d)
		}
	}
}

func TestBackOffOfOneChildDoesNotDelayOthers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		fail := make(chan error)
		s := serve(t, Options{
			Rand: half, Backoff: Backoff{Initial: time.Hour, Max: time.Hour},
			Children: []Spec{{ID: "a", Service: failing(fail)}, {ID: "b", Process: &fake{}}},
		})
		fail <- errBoom
		fail <- errBoom
		synctest.Wait()
		begin := time.Now()
		if state := s.child(t, "a").State; state != BackingOff {
			t.Fatalf("a is %v", state)
		}
		noError(t, s.Restart(t.Context(), "b"))
		noError(t, s.StartChild(t.Context(), Spec{ID: "c", Process: &fake{}}))
		noError(t, s.Terminate(t.Context(), "a"))
		noError(t, s.stop(nil))
		if time.Since(begin) != 0 {
			t.Fatalf("waited %v", time.Since(begin))
		}
	})
}

func TestExceededBudgetFailsServeWithTheReason(t *testing.T) {
	bubble(t, func(t *testing.T) {
		fail := make(chan error)
		s := serve(t, Options{Children: []Spec{{ID: "a", Service: failing(fail)}, {ID: "b", Process: &fake{}}}})
		for range 4 {
			fail <- errBoom
		}
		<-s.ended
		wantError(t, s.err, ErrBudgetExceeded, errBoom)
	})
}

func TestQuietPeriodRestoresTheBudget(t *testing.T) {
	bubble(t, func(t *testing.T) {
		fail := make(chan error)
		s := serve(t, Options{Children: []Spec{{ID: "a", Service: failing(fail)}}})
		for range 20 {
			for range 3 {
				fail <- errBoom
			}
			later(15 * time.Second) // the longest back-off, and a quiet period
		}
		if c := s.child(t, "a"); c.Restarts != 60 {
			t.Fatalf("%d restarts", c.Restarts)
		}
	})
}

func TestSupervisorThatFailsIsRestartedByTheOneAbove(t *testing.T) {
	bubble(t, func(t *testing.T) {
		fail := make(chan error)
		s := serve(t, Options{Name: "top", Children: []Spec{{ID: "sub", New: func() Service {
			return New(Options{Budget: Budget{Failures: 1}, Children: []Spec{{ID: "a", Service: failing(fail)}}})
		}}}})
		fail <- errBoom
		fail <- errBoom
		synctest.Wait()
		sub := s.child(t, "sub")
		wantError(t, sub.Reason, ErrBudgetExceeded, errBoom)
		if sub.Generation != 2 || sub.Supervisor.Path != "top/sub" || sub.Supervisor.Children[0].Generation != 1 {
			t.Fatalf("sub is %+v", sub)
		}
	})
}

func TestExcessGoesUpThroughTheTreeAndOutOfTheTopmostServe(t *testing.T) {
	bubble(t, func(t *testing.T) {
		lives := 0
		crash := func() Service {
			return ServiceFunc(func(context.Context) error { lives++; time.Sleep(time.Millisecond); panic(errBoom) })
		}
		level := func(kid Spec) Options {
			return Options{Logger: discard(), Budget: Budget{Failures: 1}, Rand: half, Children: []Spec{kid}}
		}
		other := make(chan struct{})
		top := level(Spec{ID: "middle", New: func() Service {
			return New(level(Spec{ID: "low", New: func() Service { return New(level(Spec{ID: "leaf", New: crash})) }}))
		}})
		top.Children = append(top.Children, Spec{ID: "other", Service: ServiceFunc(func(ctx context.Context) error {
			defer close(other)
			return patient(ctx)
		})})
		s := serve(t, top)
		<-s.ended
		<-other
		wantError(t, s.err, ErrBudgetExceeded, errBoom, &Error{Code: CodeBudgetExceeded, Child: "middle"})
		if lives != 8 { // each level begins twice
			t.Fatalf("%d lives", lives)
		}
	})
}

func TestPerChildBudgetRemovesOnlyTheChildAndTellsOnGiveUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		fail := make(chan error)
		var log journal
		var s *served
		s = serve(t, Options{
			BudgetPerChild: true, Budget: Budget{Failures: 1},
			OnGiveUp: func(id string, reason error) {
				wantError(t, reason, ErrBudgetExceeded, errBoom)
				log.add(id)
				// The id is free already, and no method blocks.
				noError(t, s.StartChild(t.Context(), Spec{ID: id, Process: &fake{}}))
			},
		})
		events, cancel := s.Subscribe(100)
		defer cancel()
		noError(t, s.StartChild(t.Context(), Spec{ID: "a", Service: failing(fail)}))
		noError(t, s.StartChild(t.Context(), Spec{ID: "b", Process: &fake{}}))
		fail <- errBoom
		fail <- errBoom
		if got, want := kinds(events), []Kind{Started, Started, Failed, Started, GaveUp, Started}; !slices.Equal(got, want) {
			t.Fatalf("events %v, want %v", got, want)
		}
		if got := log.take(); !slices.Equal(got, []string{"a"}) || s.Snapshot().State != Running {
			t.Fatalf("given up %q, supervisor %v", got, s.Snapshot().State)
		}
		if a, b := s.child(t, "a"), s.child(t, "b"); a.Generation != 1 || b.Restarts != 0 {
			t.Fatalf("a %+v, b %+v", a, b)
		}
	})
}

func TestOnGiveUpThatPanicsOrExitsDoesNotStopFurtherCalls(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var log journal
		s := serve(t, Options{
			BudgetPerChild: true, Budget: Budget{Failures: 1},
			OnGiveUp: func(id string, _ error) {
				log.add(id)
				time.Sleep(time.Second) // the others are given up meanwhile
				switch len(id) {
				case 1:
					panic("bug")
				case 2:
					runtime.Goexit()
				}
			},
		})
		for _, id := range []string{"a", "bb", "ccc"} {
			fails := ServiceFunc(func(context.Context) error { return errBoom })
			noError(t, s.StartChild(t.Context(), Spec{ID: id, Service: fails}))
			synctest.Wait()
		}
		later(time.Minute)
		if got := log.take(); !slices.Equal(got, []string{"a", "bb", "ccc"}) {
			t.Fatalf("called for %q", got)
		}
	})
}

func TestRestartTypesDecideWhatAnEndMeans(t *testing.T) {
	for _, test := range []struct {
		restart Restart
		reason  error
		again   bool
	}{
		{Permanent, nil, true}, {Permanent, errBoom, true},
		{Transient, nil, false}, {Transient, errBoom, true},
		{Temporary, nil, false}, {Temporary, errBoom, false},
	} {
		t.Run(fmt.Sprint(test.restart, test.reason), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := &fake{}
				s := serve(t, Options{Children: []Spec{{ID: "a", Process: p, Restart: test.restart}}})
				p.exit(1, test.reason)
				synctest.Wait()
				if again := s.Count().Specs == 1 && s.child(t, "a").Generation == 2; again != test.again {
					t.Fatalf("restarted: %v", again)
				}
			})
		})
	}
}

func TestRestartOnRequestStartsANewIncarnationAndSpendsNoBudget(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := &fake{}
		s := serve(t, Options{Children: []Spec{{ID: "a", Process: p}}})
		for range 100 {
			noError(t, s.Restart(t.Context(), "a"))
		}
		if c := s.child(t, "a"); c.Generation != 101 || c.Restarts != 0 || c.State != Running {
			t.Fatalf("a is %+v", c)
		}
		wantError(t, s.Restart(t.Context(), "b"), ErrNotFound)
	})
}

// Not parallel: it measures the heap.
func TestMemoryStaysFlatUnderEndlessRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &fake{}
		p.start = func(_ context.Context, inc Incarnation) error {
			p.forget(inc.Generation)
			inc.Exit(fmt.Errorf("life %d: %w", inc.Generation, errBoom))
			return nil
		}
		s := serve(t, Options{
			Budget: Budget{Failures: -1}, Backoff: Backoff{Max: time.Millisecond},
			Children: []Spec{{ID: "a", Process: p}},
		})
		heap := func() uint64 {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return m.HeapAlloc
		}
		later(time.Second)
		before := heap()
		later(10 * time.Second)
		if c := s.child(t, "a"); c.Restarts < 10_000 {
			t.Fatalf("only %d restarts", c.Restarts)
		}
		// Less than 4 bytes for each restart.
		if after := heap(); after > before+1<<16 {
			t.Fatalf("%d bytes more after 10 s of restarts", after-before)
		}
	})
}
