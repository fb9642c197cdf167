package supervisor

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A slow service is ready after a second.
type slow struct {
	name  string
	log   *journal
	ready chan struct{}
}

func newSlow(name string, log *journal) *slow {
	return &slow{name: name, log: log, ready: make(chan struct{})}
}

func (s *slow) Ready() <-chan struct{} { return s.ready }

func (s *slow) Serve(ctx context.Context) error {
	s.log.add("start " + s.name)
	time.Sleep(time.Second)
	s.log.add("ready " + s.name)
	close(s.ready)
	<-ctx.Done()
	time.Sleep(time.Second)
	s.log.add("end " + s.name)
	return nil
}

func TestChildrenStartInOrderEachReadyBeforeTheNextAndStopInReverse(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var log journal
		s := serve(t, Options{Children: []Spec{
			{ID: "a", Service: newSlow("a", &log)},
			{ID: "b", Service: newSlow("b", &log)},
		}})
		<-s.Ready()
		want := []string{"start a", "ready a", "start b", "ready b"}
		if got := log.take(); !slices.Equal(got, want) {
			t.Fatalf("got %q, want %q", got, want)
		}
		noError(t, s.stop(nil))
		if got := log.take(); !slices.Equal(got, []string{"end b", "end a"}) {
			t.Fatalf("stopped as %q", got)
		}
	})
}

func TestDynamicSupervisorStopsItsChildrenAtTheSameTime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		release := make(chan struct{})
		s := serve(t, Options{Strategy: Dynamic})
		noError(t, s.StartChild(t.Context(), Spec{ID: "a", Service: stuck(release), Shutdown: 2 * time.Second}))
		noError(t, s.StartChild(t.Context(), Spec{ID: "b", Service: stuck(release), Shutdown: 3 * time.Second}))
		begin := time.Now()
		noError(t, s.stop(nil))
		if took := time.Since(begin); took != 3*time.Second {
			t.Fatalf("took %v", took)
		}
		close(release)
	})
}

func TestEachChildHasItsOwnStopDeadline(t *testing.T) {
	bubble(t, func(t *testing.T) {
		release := make(chan struct{})
		s := serve(t, Options{Children: []Spec{
			{ID: "a", Service: stuck(release), Shutdown: 2 * time.Second},
			{ID: "b", Service: stuck(release)},
			{ID: "c", Service: stuck(release), Shutdown: Kill},
		}})
		begin := time.Now()
		noError(t, s.stop(nil))
		if took := time.Since(begin); took != 7*time.Second {
			t.Fatalf("took %v, want 5 s for b and 2 s for a", took)
		}
		close(release)
	})
}

type contextKey struct{}

func TestChildContextHasValuesAndCauseButOutlivesTheSupervisors(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var first context.Context
		hold := make(chan struct{})
		sup := New(Options{Children: []Spec{
			{ID: "a", Service: ServiceFunc(func(ctx context.Context) error { first = ctx; return patient(ctx) })},
			{ID: "b", Service: stuck(hold)},
		}})
		s := serveOn(t, context.WithValue(t.Context(), contextKey{}, "value"), sup)
		s.cancel(errBoom)
		synctest.Wait()
		if first.Err() != nil {
			t.Fatal("the first child was stopped before the second had ended")
		}
		close(hold)
		<-s.ended
		if first.Value(contextKey{}) != "value" {
			t.Fatal("the value is lost")
		}
		wantError(t, context.Cause(first), errBoom)
	})
}

func TestFailedFirstStartFailsServeAfterTheOthersHaveStopped(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var log journal
		s := serve(t, Options{Children: []Spec{
			{ID: "a", Service: newSlow("a", &log)},
			{ID: "b", Process: &fake{start: func(context.Context, Incarnation) error { return errBoom }}},
			{ID: "c", Service: newSlow("c", &log)},
		}})
		<-s.ended
		wantError(t, s.err, ErrStartFailed, errBoom)
		if got := log.take(); !slices.Equal(got, []string{"start a", "ready a", "end a"}) {
			t.Fatalf("got %q", got)
		}
	})
}

func TestStopDuringTheFirstStartsIsOrderly(t *testing.T) {
	bubble(t, func(t *testing.T) {
		never := &slow{ready: make(chan struct{}), log: new(journal)}
		s := serve(t, Options{Children: []Spec{
			{ID: "a", Service: ServiceFunc(patient)},
			{ID: "b", Process: &fake{start: func(ctx context.Context, _ Incarnation) error { <-ctx.Done(); return ctx.Err() }}},
			{ID: "c", Service: never},
		}})
		if state := s.Snapshot().State; state != Starting {
			t.Fatalf("supervisor is %v", state)
		}
		noError(t, s.stop(nil))
		select {
		case <-s.Ready():
			t.Fatal("never was ready")
		default:
		}
		if got := never.log.take(); got != nil {
			t.Fatalf("the third child was started: %q", got)
		}
	})
}

func TestServeWithADoneContextStartsNothing(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	noError(t, New(Options{Children: []Spec{
		{ID: "a", Service: ServiceFunc(func(context.Context) error { t.Error("started"); return nil })},
	}}).Serve(ctx))
}

func TestServeRefusesInvalidOptions(t *testing.T) {
	t.Parallel()
	service := ServiceFunc(patient)
	for name, o := range map[string][]Spec{
		"no id":         {{Service: service}},
		"no child":      {{ID: "a"}},
		"two kinds":     {{ID: "a", Service: service, Process: &fake{}}},
		"bad restart":   {{ID: "a", Service: service, Restart: 9}},
		"bad shutdown":  {{ID: "a", Service: service, Shutdown: -2}},
		"bad start":     {{ID: "a", Service: service, StartTimeout: -1}},
		"second is bad": {{ID: "a", Service: service}, {ID: ""}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wantError(t, New(Options{Children: o}).Serve(t.Context()), ErrInvalidSpec)
		})
	}
	twice := []Spec{{ID: "a", Service: service}, {ID: "a", Service: service}}
	wantError(t, New(Options{Children: twice}).Serve(t.Context()), ErrDuplicate)
}

func TestSecondServeIsRefusedWhileTheFirstRuns(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := serve(t, Options{})
		wantError(t, s.Serve(t.Context()), ErrRunning)
	})
}

func TestSupervisorCanBeServedAgainWithoutAddedChildrenAndGoesOnCounting(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup := New(Options{Children: []Spec{{ID: "a", Service: ServiceFunc(patient)}}})
		for n := range uint64(3) {
			ready := sup.Ready()
			s := serveOn(t, t.Context(), sup)
			<-ready
			noError(t, s.StartChild(t.Context(), Spec{ID: "b", Service: ServiceFunc(patient)}))
			if got := s.Children(); !slices.Equal(got, []string{"a", "b"}) {
				t.Fatalf("children %q", got)
			}
			if a, b := s.child(t, "a").Generation, s.child(t, "b").Generation; a != 2*n+1 || b != 1 {
				t.Fatalf("generations %d and %d when served for the %d. time", a, b, n+1)
			}
			noError(t, s.Restart(t.Context(), "a"))
			noError(t, s.stop(nil))
			if s.Count().Specs != 0 || s.Snapshot().State != Idle {
				t.Fatalf("left behind: %+v", s.Snapshot())
			}
		}
	})
}

func TestPanicIsAFailureWithItsStack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		lives := 0
		s := serve(t, Options{Children: []Spec{{ID: "a", Service: ServiceFunc(func(ctx context.Context) error {
			if lives++; lives == 1 {
				panicsHere()
			}
			return patient(ctx)
		})}}})
		c := s.child(t, "a")
		var p *PanicError
		if !errors.As(c.Reason, &p) || !errors.Is(c.Reason, errBoom) {
			t.Fatalf("reason is %v", c.Reason)
		}
		if !strings.Contains(string(c.Stack()), "panicsHere") || strings.Contains(p.Error(), "panicsHere") {
			t.Fatalf("error %q with stack %q", p, c.Stack())
		}
		if c.Generation != 2 || c.Restarts != 1 || c.State != Running {
			t.Fatalf("not restarted: %+v", c)
		}
	})
}

//go:noinline
func panicsHere() { panic(errBoom) }

func TestGoexitIsAFailure(t *testing.T) {
	bubble(t, func(t *testing.T) {
		lives := 0
		s := serve(t, Options{Children: []Spec{
			{ID: "a", Restart: Transient, Service: ServiceFunc(func(ctx context.Context) error {
				if lives++; lives == 1 {
					runtime.Goexit()
				}
				return patient(ctx)
			})},
			{ID: "b", Process: &fake{}},
		}})
		wantError(t, s.child(t, "a").Reason, ErrGoexit)
		err := s.StartChild(t.Context(), Spec{ID: "c", Process: &fake{
			start: func(context.Context, Incarnation) error { runtime.Goexit(); return nil },
		}})
		wantError(t, err, ErrStartFailed, ErrGoexit)
	})
}

func TestNewMakesAFreshServiceForEachIncarnation(t *testing.T) {
	bubble(t, func(t *testing.T) {
		fail := make(chan error)
		made := 0
		s := serve(t, Options{Children: []Spec{{ID: "a", New: func() Service { made++; return failing(fail) }}}})
		fail <- errBoom
		synctest.Wait()
		if made != 2 || s.child(t, "a").Generation != 2 {
			t.Fatalf("made %d services", made)
		}
	})
}

func TestNewThatPanicsOrReturnsNothingIsAFailedStart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := serve(t, Options{})
		err := s.StartChild(t.Context(), Spec{ID: "a", New: func() Service { panic(errBoom) }})
		wantError(t, err, ErrStartFailed, errBoom)
		wantError(t, s.StartChild(t.Context(), Spec{ID: "a", New: func() Service { return nil }}), ErrStartFailed)
		if s.Count().Specs != 0 {
			t.Fatal("the child is still there")
		}
	})
}

// brief is ready and ends at once.
type brief struct{ ready chan struct{} }

func (b *brief) Ready() <-chan struct{} { return b.ready }

func (b *brief) Serve(context.Context) error {
	close(b.ready)
	return nil
}

func TestServiceThatEndsAsSoonAsItIsReadyHasStarted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := serve(t, Options{})
		for range 100 {
			noError(t, s.StartChild(t.Context(), Spec{ID: "a", Service: &brief{make(chan struct{})}, Restart: Temporary}))
			synctest.Wait()
		}
	})
}

func TestContextOfAnIncarnationIsDoneWhenItHasEnded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var inStart, inServe context.Context
		sup := New(Options{Children: []Spec{
			{ID: "a", Restart: Temporary, Service: ServiceFunc(func(ctx context.Context) error { inServe = ctx; return nil })},
			{ID: "b", Process: &fake{start: func(ctx context.Context, _ Incarnation) error { inStart = ctx; return nil }}},
		}})
		serveOn(t, context.WithValue(t.Context(), contextKey{}, "value"), sup)
		wantError(t, context.Cause(inServe), ErrEnded)
		wantError(t, inStart.Err(), context.Canceled)
		if inStart.Value(contextKey{}) != "value" {
			t.Fatal("the value is lost")
		}
	})
}

func TestReturningTheReasonOfTheStopIsANormalEndAndPanickingIsNot(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := serve(t, Options{Children: []Spec{
			{ID: "a", Service: ServiceFunc(func(ctx context.Context) error { <-ctx.Done(); panic(ctx.Err()) })},
			{ID: "b", Service: ServiceFunc(func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) })},
		}})
		events, cancel := s.Subscribe(10)
		defer cancel()
		noError(t, s.stop(errBoom))
		if b := <-events; b.Child != "b" || b.Kind != Stopped || b.Reason != nil {
			t.Fatalf("event %v", b)
		}
		var p *PanicError
		if a := <-events; a.Child != "a" || a.Kind != Stopped || !errors.As(a.Reason, &p) {
			t.Fatalf("event %v", a)
		}
	})
}
