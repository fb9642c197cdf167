package supervisor

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestChildThatDoesNotStopIsAbandonedToldAndShownUntilItEnds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var text bytes.Buffer
		release := make(chan struct{})
		s := serve(t, Options{Name: "top", Logger: slog.New(slog.NewTextHandler(&text, nil)), Children: []Spec{
			{ID: "a", Service: stuck(release), Shutdown: 2 * time.Second},
		}})
		events, cancel := s.Subscribe(10)
		defer cancel()
		begin := time.Now()
		wantError(t, s.Terminate(t.Context(), "a"), ErrAbandoned)
		if took := time.Since(begin); took != 2*time.Second {
			t.Fatalf("took %v", took)
		}
		synctest.Wait()
		snap := s.Snapshot()
		if len(snap.Abandoned) != 1 || snap.Children[0].State != Down {
			t.Fatalf("snapshot %+v", snap)
		}
		lost := snap.Abandoned[0]
		if lost.Supervisor != "top" || lost.ID != "a" || lost.Generation != 1 || !errors.Is(lost.Reason, ErrTerminated) {
			t.Fatalf("abandoned %+v", lost)
		}
		if !strings.Contains(string(lost.Stack), "hangsHere") {
			t.Fatalf("stack %q", lost.Stack)
		}
		if log := text.String(); !strings.Contains(log, "level=ERROR") || !strings.Contains(log, "hangsHere") {
			t.Fatalf("log %q", log)
		}
		close(release)
		if got := kinds(events); !slices.Equal(got, []Kind{Abandoned, Returned}) {
			t.Fatalf("events %v", got)
		}
		if snap := s.Snapshot(); len(snap.Abandoned) != 0 || snap.AbandonedTotal != 1 {
			t.Fatalf("afterwards %+v", snap)
		}
	})
}

func TestAbandonedStackIsTheChildsOwn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		release := make(chan struct{})
		other := ServiceFunc(func(ctx context.Context) error { return patient(ctx) })
		s := serve(t, Options{Children: []Spec{
			{ID: "a", Service: stuck(release)}, {ID: "b", Service: other}, {ID: "c", Service: stuck(release), Shutdown: Kill},
		}})
		wantError(t, s.Terminate(t.Context(), "a"), ErrAbandoned)
		synctest.Wait()
		stack := string(s.Snapshot().Abandoned[0].Stack)
		if strings.Count(stack, "hangsHere") != 1 || strings.Contains(stack, "patient") {
			t.Fatalf("stack %q", stack)
		}
		close(release)
	})
}

func TestAbandonedChildIsVisibleWhenItsSupervisorIsGone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		release := make(chan struct{})
		s := serve(t, Options{Name: "top", Children: []Spec{{ID: "sub", Service: New(Options{
			Logger:   slog.New(slog.DiscardHandler),
			Children: []Spec{{ID: "a", Service: stuck(release)}},
		})}}})
		// A supervisor has no deadline of its own by default, so it outwaits its child's.
		noError(t, s.Terminate(t.Context(), "sub"))
		if lost := s.Snapshot().Abandoned; len(lost) != 1 || lost[0].Supervisor != "top/sub" {
			t.Fatalf("abandoned %+v", lost)
		}
		noError(t, s.stop(nil))
		if lost := s.Snapshot().Abandoned; len(lost) != 1 {
			t.Fatalf("after Serve: %+v", lost)
		}
		events, cancel := s.Subscribe(1)
		defer cancel()
		close(release)
		if got := kinds(events); !slices.Equal(got, []Kind{Returned}) || len(s.Snapshot().Abandoned) != 0 {
			t.Fatalf("events %v, snapshot %+v", got, s.Snapshot())
		}
	})
}

func TestKillAbandonsAtOnceAndCancelsTheContext(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var fenced []uint64
		p := &fake{stop: func(uint64, error) { t.Error("Stop called") }}
		p.abandon = func(gen uint64) { fenced = append(fenced, gen); p.exit(gen, nil) }
		s := serve(t, Options{Children: []Spec{
			{ID: "a", Service: ServiceFunc(patient), Shutdown: Kill},
			{ID: "b", Process: p, Shutdown: Kill},
		}})
		begin := time.Now()
		noError(t, s.Terminate(t.Context(), "a"))
		noError(t, s.Restart(t.Context(), "b"))
		noError(t, s.Terminate(t.Context(), "b"))
		synctest.Wait()
		if snap := s.Snapshot(); len(snap.Abandoned) != 0 || snap.AbandonedTotal != 3 || time.Since(begin) != 0 {
			t.Fatalf("snapshot %+v after %v", snap, time.Since(begin))
		}
		if !slices.Equal(fenced, []uint64{1, 2}) {
			t.Fatalf("abandoned %v", fenced)
		}
	})
}

func TestAbandonedIncarnationCannotHarmItsSuccessor(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := &fake{stop: func(uint64, error) {}}
		s := serve(t, Options{Budget: Budget{Failures: 1}, Children: []Spec{{ID: "a", Process: p, Shutdown: time.Second}}})
		noError(t, s.Restart(t.Context(), "a"))
		for range 10 {
			p.exit(1, errBoom)
		}
		synctest.Wait()
		if a := s.child(t, "a"); a.Generation != 2 || a.State != Running || a.Restarts != 0 {
			t.Fatalf("a is %+v", a)
		}
		p.onStop(nil)
	})
}

func TestOnlyTheFirstExitOfAnIncarnationCounts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := &fake{}
		s := serve(t, Options{Children: []Spec{{ID: "a", Process: p}}})
		for range 10 {
			p.exit(1, errBoom)
		}
		synctest.Wait()
		if a := s.child(t, "a"); a.Generation != 2 || a.Restarts != 1 {
			t.Fatalf("a is %+v", a)
		}
	})
}

func TestStartThatTakesTooLongIsCancelledAndFails(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := serve(t, Options{})
		begin := time.Now()
		var cause error
		p := &fake{start: func(ctx context.Context, _ Incarnation) error {
			<-ctx.Done()
			cause = context.Cause(ctx)
			return cause
		}}
		err := s.StartChild(t.Context(), Spec{ID: "a", Process: p, StartTimeout: 3 * time.Second})
		wantError(t, err, ErrStartFailed, ErrStartTimeout)
		wantError(t, cause, ErrStartTimeout)
		err = s.StartChild(t.Context(), Spec{ID: "a", Service: newNeverReady(), StartTimeout: 3 * time.Second})
		wantError(t, err, ErrStartFailed, ErrStartTimeout)
		if took := time.Since(begin); took != 6*time.Second || s.Count().Specs != 0 {
			t.Fatalf("took %v, %d children", took, s.Count().Specs)
		}
	})
}

type neverReady struct{ ServiceFunc }

func newNeverReady() Service { return neverReady{patient} }

func (neverReady) Ready() <-chan struct{} { return nil }

func TestAbandonedStartThatSucceedsAfterAllIsStopped(t *testing.T) {
	bubble(t, func(t *testing.T) {
		release := make(chan struct{})
		var log journal
		p := &fake{
			start:   func(context.Context, Incarnation) error { <-release; return nil },
			abandon: func(uint64) { log.add("abandon") },
		}
		p.stop = func(gen uint64, _ error) { log.add("stop"); p.exit(gen, nil) }
		s := serve(t, Options{})
		wantError(t, s.StartChild(t.Context(), Spec{ID: "a", Process: p}), ErrStartTimeout)
		if len(s.Snapshot().Abandoned) != 1 {
			t.Fatal("the start that hangs is not shown")
		}
		close(release)
		synctest.Wait()
		if got := log.take(); !slices.Equal(got, []string{"abandon", "stop"}) || len(s.Snapshot().Abandoned) != 0 {
			t.Fatalf("got %q, snapshot %+v", got, s.Snapshot())
		}
	})
}

func TestAbandonedStartWhoseEndWasToldBeforeIsNotShownForEver(t *testing.T) {
	bubble(t, func(t *testing.T) {
		release := make(chan struct{})
		p := &fake{
			start:   func(_ context.Context, inc Incarnation) error { inc.Exit(errBoom); <-release; return nil },
			stop:    func(uint64, error) { t.Error("Stop called") },
			abandon: func(uint64) {},
		}
		s := serve(t, Options{})
		events, cancel := s.Subscribe(8)
		defer cancel()
		wantError(t, s.StartChild(t.Context(), Spec{ID: "a", Process: p}), ErrStartTimeout)
		if len(s.Snapshot().Abandoned) != 1 {
			t.Fatal("the start that hangs is not shown")
		}
		close(release)
		synctest.Wait()
		if len(s.Snapshot().Abandoned) != 0 {
			t.Fatalf("snapshot %+v", s.Snapshot())
		}
		for e := range events {
			if e.Kind == Returned {
				wantError(t, e.Reason, errBoom)
				return
			}
		}
	})
}

func TestProcessThatPanicsInStopIsAbandoned(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := &fake{stop: func(uint64, error) { panic("bug") }, abandon: func(uint64) { panic("bug") }}
		s := serve(t, Options{Children: []Spec{{ID: "a", Process: p}}})
		wantError(t, s.Terminate(t.Context(), "a"), ErrAbandoned)
		p.exit(1, nil)
		synctest.Wait()
		if lost := s.Snapshot().Abandoned; len(lost) != 0 {
			t.Fatalf("abandoned %+v", lost)
		}
	})
}

func TestProcessThatPanicsInStartHasFailed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := serve(t, Options{})
		err := s.StartChild(t.Context(), Spec{ID: "a", Process: &fake{
			start: func(context.Context, Incarnation) error { panicsHere(); return nil },
		}})
		var p *PanicError
		if wantError(t, err, ErrStartFailed, errBoom); !errors.As(err, &p) {
			t.Fatalf("error %v", err)
		}
	})
}
