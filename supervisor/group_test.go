package supervisor

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestStartOfTheNextInAGroupWaitsUntilTheOneBeforeIsReady(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var log journal
		fail := make(chan error)
		s := serve(t, Options{Strategy: RestForOne, Children: []Spec{
			{ID: "a", Service: failing(fail)},
			{ID: "b", New: func() Service { return newSlow("b", &log) }},
			{ID: "c", New: func() Service { return newSlow("c", &log) }},
		}})
		<-s.Ready()
		log.take()
		fail <- errBoom
		later(time.Minute)
		want := []string{"end c", "end b", "start b", "ready b", "start c", "ready c"}
		if got := log.take(); !slices.Equal(got, want) {
			t.Fatalf("got %q, want %q", got, want)
		}
	})
}

func TestBackOffOfAGroupHoldsUpNeitherCallsNorTheStop(t *testing.T) {
	bubble(t, func(t *testing.T) {
		fail := make(chan error)
		s := serve(t, Options{
			Strategy: RestForOne, Rand: half, Backoff: Backoff{Initial: time.Hour, Max: time.Hour},
			Children: []Spec{
				{ID: "a", Process: &fake{}}, {ID: "b", Service: failing(fail)}, {ID: "c", Process: &fake{}},
			},
		})
		fail <- errBoom
		fail <- errBoom
		synctest.Wait()
		begin := time.Now()
		noError(t, s.Restart(t.Context(), "a"))
		if b, c := s.child(t, "b"), s.child(t, "c"); b.State != BackingOff || c.State != Idle {
			t.Fatalf("b is %v, c is %v", b.State, c.State)
		}
		noError(t, s.Terminate(t.Context(), "c"))
		noError(t, s.stop(nil))
		if time.Since(begin) != 0 {
			t.Fatalf("waited %v", time.Since(begin))
		}
	})
}

func TestGroupRestartTellsTheOthersWhoHasFailedAndWhy(t *testing.T) {
	bubble(t, func(t *testing.T) {
		fail := make(chan error)
		var told error
		s := serve(t, Options{Strategy: OneForAll, Children: []Spec{
			{ID: "a", Service: ServiceFunc(func(ctx context.Context) error {
				<-ctx.Done()
				told = context.Cause(ctx)
				return nil
			})},
			{ID: "b", Service: failing(fail)},
		}})
		fail <- errBoom
		synctest.Wait()
		wantError(t, told, ErrRestarted, errBoom, &Error{Code: CodeRestarted, Child: "b"})
		if snap := s.Snapshot(); snap.Restarts != 1 || snap.Strategy != OneForAll {
			t.Fatalf("snapshot %+v", snap)
		}
	})
}

func TestStartChildInAChildsOwnStartIsRefusedWhereChildrenAreRestartedTogether(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var s *Supervisor
		var err error
		s = New(Options{
			Strategy: OneForAll, Logger: slog.New(slog.DiscardHandler),
			Children: []Spec{{ID: "a", Process: &fake{start: func(ctx context.Context, _ Incarnation) error {
				err = s.StartChild(ctx, Spec{ID: "b", Process: &fake{}})
				return nil
			}}}},
		})
		serveOn(t, t.Context(), s)
		wantError(t, err, ErrWouldDeadlock)
	})
}

func TestStartThatReturnsTheReasonOfItsStopIsCancelledWithoutAFailure(t *testing.T) {
	t.Parallel()
	for name, process := range map[string]func(f *fake) Process{
		"start": func(f *fake) Process { return f },
		"begin": func(f *fake) Process { return prompt{Process: f} },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				fail := make(chan error, 1)
				s := serve(t, Options{Strategy: OneForAll, Children: []Spec{{ID: "a", Service: failing(fail)}}})
				events, cancel := s.Subscribe(16)
				defer cancel()
				starts := 0
				slow := process(&fake{start: func(ctx context.Context, _ Incarnation) error {
					if starts++; starts > 1 {
						return nil
					}
					<-ctx.Done()
					return context.Cause(ctx)
				}})
				go func() { _ = s.StartChild(t.Context(), Spec{ID: "b", Process: slow}) }()
				synctest.Wait()
				fail <- &PanicError{Value: errBoom} // which is inside the reason of the others
				synctest.Wait()
				if e := <-events; e.Kind != Failed || e.Child != "a" {
					t.Fatalf("first %v", e)
				}
				if e := <-events; e.Kind != Cancelled || e.Child != "b" || e.Generation != 1 || e.Reason != nil {
					t.Fatalf("then %v", e)
				}
				if got := kinds(events); !slices.Equal(got, []Kind{Started, Started}) {
					t.Fatalf("then %v", got)
				}
			})
		})
	}
}

func TestSignificantChildThatEndsIsANormalEndOfTheSupervisor(t *testing.T) {
	bubble(t, func(t *testing.T) {
		fail := make(chan error)
		var cause error
		s := serve(t, Options{Children: []Spec{{ID: "sub", Restart: Transient, New: func() Service {
			return New(Options{AutoShutdown: AnySignificant, Logger: discard(), Children: []Spec{
				{ID: "job", Service: failing(fail), Restart: Transient, Significant: true},
				{ID: "helper", Service: ServiceFunc(func(ctx context.Context) error {
					<-ctx.Done()
					cause = context.Cause(ctx)
					return nil
				})},
			}})
		}}}})
		fail <- nil
		synctest.Wait()
		if sub := s.child(t, "sub"); sub.State != Down || sub.Reason != nil {
			t.Fatalf("sub is %+v", sub)
		}
		wantError(t, cause, &Error{Code: CodeAutoShutdown, Child: "job"})
	})
}

func TestOptionsThatContradictEachOtherAreRefused(t *testing.T) {
	t.Parallel()
	service := ServiceFunc(patient)
	for name, o := range map[string]Options{
		"strategy":              {Strategy: 9},
		"automatic shutdown":    {AutoShutdown: 9},
		"static dynamic child":  {Strategy: Dynamic, Children: []Spec{{ID: "a", Service: service}}},
		"group, own budgets":    {Strategy: RestForOne, BudgetPerChild: true},
		"permanent significant": {AutoShutdown: AnySignificant, Children: []Spec{{ID: "a", Service: service, Significant: true}}},
		"significant for nobody": {Children: []Spec{
			{ID: "a", Service: service, Restart: Transient, Significant: true},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wantError(t, New(o).Serve(t.Context()), ErrInvalidSpec)
		})
	}
	for _, name := range []fmt.Stringer{Strategy(9), AutoShutdown(9), Restart(9)} {
		if name.String() != "unknown" {
			t.Errorf("%T is called %q", name, name)
		}
	}
}
