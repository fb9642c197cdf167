package supervisor

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestSlowSubscriberLosesEventsAndIsToldHowMany(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := serve(t, Options{Children: []Spec{{ID: "a", Process: &fake{}}}})
		events, cancel := s.Subscribe(1)
		for range 5 {
			noError(t, s.Restart(t.Context(), "a"))
		}
		if e := <-events; e.Missed != 0 || e.Kind != Stopped || e.Generation != 1 {
			t.Fatalf("first event %v", e)
		}
		noError(t, s.Restart(t.Context(), "a"))
		if e := <-events; e.Missed != 9 || e.Generation != 6 || !strings.Contains(e.String(), "9 events missed") {
			t.Fatalf("next event %v", e)
		}
		noError(t, s.Restart(t.Context(), "a"))
		if e := <-events; e.Missed != 1 {
			t.Fatalf("%d missed, want the start of the last incarnation only", e.Missed)
		}
		cancel()
		cancel()
		if _, open := <-events; open {
			t.Fatal("the channel is open after cancel")
		}
		noError(t, s.Restart(t.Context(), "a"))
	})
}

func TestEventsOfTheWholeTreeReachTheTop(t *testing.T) {
	bubble(t, func(t *testing.T) {
		fail := make(chan error)
		sub := New(Options{Logger: slog.New(slog.DiscardHandler), Children: []Spec{{ID: "a", Service: failing(fail)}}})
		s := serve(t, Options{Name: "top", Children: []Spec{{ID: "sub", Service: sub}}})
		events, cancel := s.Subscribe(10)
		defer cancel()
		later(time.Second)
		fail <- errBoom
		synctest.Wait()
		e := <-events
		if e.String() != "top/sub/a#1 failed: boom, next start in 0s" || !e.At.Equal(time.Now()) || e.Supervisor != "top/sub" {
			t.Fatalf("event %v at %v", e, e.At)
		}
	})
}

func TestSnapshotShowsTheSubtree(t *testing.T) {
	bubble(t, func(t *testing.T) {
		fail := make(chan error)
		sub := New(Options{Logger: slog.New(slog.DiscardHandler), Children: []Spec{
			{ID: "a", Service: failing(fail), Restart: Transient}, {ID: "b", Process: &fake{}},
		}})
		s := serve(t, Options{Name: "top", Children: []Spec{{ID: "sub", Service: sub}}})
		later(time.Minute)
		fail <- errBoom
		later(time.Hour)
		snap := s.Snapshot()
		if snap.Path != "top" || snap.State != Running || len(snap.Children) != 1 || snap.Restarts != 0 {
			t.Fatalf("top is %+v", snap)
		}
		inner := snap.Children[0].Supervisor
		if inner == nil || inner.Path != "top/sub" || len(inner.Children) != 2 || inner.Restarts != 1 {
			t.Fatalf("sub is %+v", inner)
		}
		a, b := inner.Children[0], inner.Children[1]
		if a.ID != "a" || a.Restart != Transient || a.Generation != 2 || a.Uptime != time.Hour ||
			!errors.Is(a.Reason, errBoom) || !a.FailedAt.Equal(time.Now().Add(-time.Hour)) {
			t.Fatalf("a is %+v", a)
		}
		if b.Uptime != time.Hour+time.Minute || b.Reason != nil || b.Supervisor != nil {
			t.Fatalf("b is %+v", b)
		}
	})
}

func TestWhatHealsIsAWarningAndWhatDoesNotIsAnError(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var text bytes.Buffer
		s := serve(t, Options{
			Logger: slog.New(slog.NewTextHandler(&text, nil)), Budget: Budget{Failures: 1},
			Children: []Spec{{ID: "a", Service: ServiceFunc(func(context.Context) error { panicsHere(); return nil })}},
		})
		<-s.ended
		lines := strings.Split(strings.TrimSpace(text.String()), "\n")
		want := []string{"level=WARN", "level=INFO", "level=ERROR"}
		if len(lines) != len(want) {
			t.Fatalf("log %q", lines)
		}
		for i, line := range lines {
			if !strings.Contains(line, want[i]) || !strings.Contains(line, "supervisor=root actor=a incarnation=") {
				t.Errorf("line %d is %q", i, line)
			}
		}
		if !strings.Contains(lines[0], "panicsHere") || !strings.Contains(lines[0], `err="panic: boom"`) {
			t.Errorf("no stack in %q", lines[0])
		}
	})
}

func TestErrorsMatchByCodeAndNameTheChild(t *testing.T) {
	t.Parallel()
	err := error(&Error{Code: CodeBudgetExceeded, Child: "a", Err: errBoom})
	if err.Error() != `child "a": restart budget exceeded: boom` {
		t.Errorf("text %q", err)
	}
	wantError(t, err, ErrBudgetExceeded, errBoom, &Error{Code: CodeBudgetExceeded, Child: "a"})
	if errors.Is(err, ErrNotFound) || errors.Is(err, &Error{Code: CodeBudgetExceeded, Child: "b"}) {
		t.Error("matches another error")
	}
}
