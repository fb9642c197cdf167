package supervisor

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestCallsBeforeAndAfterServeAreRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup := New(Options{Logger: slog.New(slog.DiscardHandler)})
		check := func() {
			t.Helper()
			wantError(t, sup.StartChild(t.Context(), Spec{ID: "a", Process: &fake{}}), ErrNotRunning)
			wantError(t, sup.Terminate(t.Context(), "a"), ErrNotRunning)
			wantError(t, sup.Restart(t.Context(), "a"), ErrNotRunning)
		}
		check()
		noError(t, serveOn(t, t.Context(), sup).stop(nil))
		check()
	})
}

func TestCallsDuringTheStopAreRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		release := make(chan struct{})
		s := serve(t, Options{Children: []Spec{{ID: "a", Service: stuck(release)}}})
		s.cancel(nil)
		synctest.Wait()
		wantError(t, s.StartChild(t.Context(), Spec{ID: "b", Process: &fake{}}), ErrNotRunning)
		wantError(t, s.Restart(t.Context(), "a"), ErrNotRunning)
		close(release)
	})
}

func TestStartChildRefusesABadSpecAndAnIDInUse(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := serve(t, Options{})
		wantError(t, s.StartChild(t.Context(), Spec{ID: "a"}), ErrInvalidSpec)
		noError(t, s.StartChild(t.Context(), Spec{ID: "a", Process: &fake{}}))
		wantError(t, s.StartChild(t.Context(), Spec{ID: "a", Process: &fake{}}), ErrDuplicate)
	})
}

func TestStartChildReturnsWhenTheChildIsReady(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := serve(t, Options{})
		begin := time.Now()
		noError(t, s.StartChild(t.Context(), Spec{ID: "a", Service: newSlow("a", new(journal))}))
		if took := time.Since(begin); took != time.Second {
			t.Fatalf("took %v", took)
		}
	})
}

func TestChildrenAddedAtTheSameTimeStartAtTheSameTime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := serve(t, Options{Strategy: Dynamic})
		begin := time.Now()
		var all sync.WaitGroup
		for i := range 100 {
			all.Go(func() {
				spec := Spec{ID: fmt.Sprint(i), Service: newSlow("a", new(journal))}
				if err := s.StartChild(t.Context(), spec); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if took := time.Since(begin); took != time.Second || s.Count().Specs != 100 {
			t.Fatalf("%d children took %v", s.Count().Specs, took)
		}
	})
}

func TestStartChildWhoseCallerLeavesLeavesNoChild(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := serve(t, Options{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		err := s.StartChild(ctx, Spec{ID: "a", Service: newSlow("a", new(journal))})
		wantError(t, err, context.DeadlineExceeded)
		later(time.Minute)
		if s.Count().Specs != 0 {
			t.Fatal("the child is still there")
		}
	})
}

func TestStartChildInAChildsOwnStartIsRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var s *Supervisor
		var err error
		add := func(ctx context.Context, _ Incarnation) error {
			err = s.StartChild(ctx, Spec{ID: "b", Process: &fake{}})
			return nil
		}
		s = New(Options{
			Logger:   slog.New(slog.DiscardHandler),
			Children: []Spec{{ID: "a", Process: &fake{start: add}}},
		})
		serveOn(t, t.Context(), s)
		wantError(t, err, ErrWouldDeadlock)
		// Also below a supervisor that is being started.
		noError(t, s.StartChild(t.Context(), Spec{ID: "sub", Service: New(Options{
			Children: []Spec{{ID: "a", Process: &fake{start: add}}},
		})}))
		wantError(t, err, ErrWouldDeadlock)
	})
}

func TestStartChildInAStartWithAnotherContextDoesNotDeadlock(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx := t.Context()
		var s *Supervisor
		s = New(Options{
			Logger: slog.New(slog.DiscardHandler),
			Children: []Spec{{ID: "a", Process: &fake{start: func(context.Context, Incarnation) error {
				return s.StartChild(ctx, Spec{ID: "b", Process: &fake{}})
			}}}},
		})
		serveOn(t, ctx, s)
		if got := s.Children(); !slices.Equal(got, []string{"a", "b"}) || s.Snapshot().State != Running {
			t.Fatalf("children %q, supervisor %v", got, s.Snapshot().State)
		}
	})
}

func TestServiceMayAddChildrenOnceItsStartIsComplete(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var s *Supervisor
		var err error
		s = New(Options{
			Logger: slog.New(slog.DiscardHandler),
			Children: []Spec{{ID: "a", Service: ServiceFunc(func(ctx context.Context) error {
				err = s.StartChild(ctx, Spec{ID: "b", Process: &fake{}})
				return patient(ctx)
			})}},
		})
		serveOn(t, t.Context(), s)
		noError(t, err)
		if s.Count().Specs != 2 {
			t.Fatalf("%d children", s.Count().Specs)
		}
	})
}

func TestChildThatAsksForItsOwnEndIsRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var s *Supervisor
		var log journal
		selfish := func(id string) Service {
			return ServiceFunc(func(ctx context.Context) error {
				wantError(t, s.Terminate(ctx, id), ErrWouldDeadlock)
				wantError(t, s.Restart(ctx, id), ErrWouldDeadlock)
				noError(t, s.Terminate(ctx, "other"))
				log.add(id)
				return patient(ctx)
			})
		}
		s = New(Options{Logger: slog.New(slog.DiscardHandler), Children: []Spec{
			{ID: "other", Process: &fake{}}, {ID: "a", Service: selfish("a")},
		}})
		serveOn(t, t.Context(), s)
		noError(t, s.Restart(t.Context(), "other"))
		// Its supervisor is as much its own.
		noError(t, s.StartChild(t.Context(), Spec{ID: "sub", Service: New(Options{
			Children: []Spec{{ID: "b", Service: selfish("sub")}},
		})}))
		synctest.Wait()
		if got := log.take(); !slices.Equal(got, []string{"a", "sub"}) {
			t.Fatalf("came through: %q", got)
		}
	})
}

func TestTerminateWhoseCallerLeavesGoesOn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := serve(t, Options{Children: []Spec{{ID: "a", Service: newSlow("a", new(journal))}}})
		<-s.Ready()
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Millisecond, errBoom)
		defer cancel()
		wantError(t, s.Terminate(ctx, "a"), errBoom)
		wantError(t, s.Terminate(ctx, "a"), errBoom)
		later(time.Minute)
		if a := s.child(t, "a"); a.State != Down {
			t.Fatalf("a is %v", a.State)
		}
	})
}

func TestStopTellsTheProcessItsGenerationAndReason(t *testing.T) {
	bubble(t, func(t *testing.T) {
		type call struct {
			gen    uint64
			reason error
		}
		var calls []call
		p := &fake{}
		p.stop = func(gen uint64, reason error) {
			calls = append(calls, call{gen, reason})
			p.exit(gen, nil)
		}
		s := serve(t, Options{Children: []Spec{{ID: "a", Process: p}}})
		noError(t, s.Restart(t.Context(), "a"))
		noError(t, s.stop(errBoom))
		if want := []call{{1, ErrRestarted}, {2, errBoom}}; !slices.Equal(calls, want) {
			t.Fatalf("stopped with %v, want %v", calls, want)
		}
	})
}

func TestCallThatComesWithTheLastEndIsRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := &fake{}
		s := serve(t, Options{Children: []Spec{{ID: "a", Process: p}}})
		w := &waiter{reply: make(chan error, 1)}
		p.stop = func(gen uint64, _ error) {
			p.exit(gen, nil)
			s.post(event{kind: evTerminate, id: "a", w: w})
		}
		noError(t, s.stop(nil))
		wantError(t, <-w.reply, ErrNotRunning)
	})
}

func TestCallerOfARefusedStartWhoLeavesChangesNothing(t *testing.T) {
	t.Parallel()
	o := Options{}.withDefaults()
	k := newCore(&o, nil)
	k.step(event{kind: evBoot})
	twin := &child{spec: Spec{ID: "a", Process: &fake{}}}
	k.step(event{kind: evAdd, c: &child{spec: twin.spec}})
	k.step(event{kind: evAdd, c: twin})
	k.step(event{kind: evForget, c: twin})
	if k.kids["a"] == nil || k.first != k.kids["a"] || k.kids["a"].state != Starting {
		t.Fatalf("the child with the same id was harmed: %+v", k.kids["a"])
	}
}
