package supervisor

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"
)

// A wrapper serves a supervisor as a part of what it does.
type wrapper struct{ inner *Supervisor }

func (w *wrapper) Serve(ctx context.Context) error { return w.inner.Serve(ctx) }

func TestFindFollowsAPathThroughTheTree(t *testing.T) {
	bubble(t, func(t *testing.T) {
		channels := New(Options{Strategy: Dynamic, Logger: discard()})
		sub := New(Options{Logger: discard(), Children: []Spec{{ID: "channels", Service: &wrapper{channels}}}})
		s := serve(t, Options{Name: "top", Children: []Spec{
			{ID: "agent/7", Service: sub}, {ID: "agent", Process: &fake{}},
		}})
		noError(t, channels.StartChild(t.Context(), Spec{ID: "out/x", Process: &fake{}}))
		for path, want := range map[string]struct {
			of *Supervisor
			id string
		}{
			"top/agent":                  {s.Supervisor, "agent"},
			"top/agent/7":                {s.Supervisor, "agent/7"},
			"top/agent/7/channels":       {sub, "channels"},
			"top/agent/7/channels/out/x": {channels, "out/x"},
		} {
			of, id, err := s.Find(path)
			if noError(t, err); of != want.of || id != want.id {
				t.Errorf("%s: %q in %v", path, id, of)
			}
			if _, err := of.Child(id); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		}
		for _, path := range []string{"", "top", "top/", "agent", "top/agent/8", "top/agent/7/channels/out", "other/agent"} {
			_, _, err := s.Find(path)
			wantError(t, err, ErrNotFound)
		}
		of, id, err := sub.Find("top/agent/7/channels/out/x")
		if noError(t, err); of != channels || id != "out/x" {
			t.Errorf("from the middle: %q in %v", id, of)
		}
		noError(t, s.stop(nil))
		_, _, err = s.Find("top/agent")
		wantError(t, err, ErrNotFound)
	})
}

func TestServiceThatServesASupervisorHasItsDeadlinesAndSnapshot(t *testing.T) {
	bubble(t, func(t *testing.T) {
		release := make(chan struct{})
		inner := New(Options{Logger: discard(), Children: []Spec{{ID: "a", Service: stuck(release), Shutdown: Infinity}}})
		s := serve(t, Options{Children: []Spec{{ID: "sub", Service: &wrapper{inner}}}})
		if sub := s.child(t, "sub").Supervisor; sub == nil || sub.Path != "root/sub" || len(sub.Children) != 1 {
			t.Fatalf("sub is %+v", sub)
		}
		s.cancel(nil)
		later(defaultShutdown * 10)
		if s.Snapshot().State != Stopping {
			t.Fatal("it was abandoned")
		}
		close(release)
		<-s.ended
	})
}

// busy tells how much waits.
type busy struct {
	fake
	stats func() Stats
}

func (b *busy) Stats() Stats { return b.stats() }

type busyService struct {
	ServiceFunc
	Queue int
}

func (b busyService) Stats() Stats { return Stats{Queue: b.Queue, HighWater: 9} }

func TestSnapshotHasTheStatsOfChildrenThatOfferThem(t *testing.T) {
	bubble(t, func(t *testing.T) {
		asked := 0
		s := serve(t, Options{Children: []Spec{
			{ID: "process", Process: &busy{stats: func() Stats { asked++; return Stats{Queue: 3, HighWater: 7} }}},
			{ID: "service", Service: busyService{patient, 4}},
			{ID: "made", New: func() Service { return busyService{patient, 5} }},
			{ID: "broken", Process: &busy{stats: func() Stats { panic("bug") }}},
			{ID: "gone", Process: &busy{stats: func() Stats { runtime.Goexit(); return Stats{} }}},
			{ID: "silent", Process: &fake{}},
		}})
		later(defaultShutdown)
		if asked != 0 {
			t.Fatalf("asked %d times before anybody wanted to know", asked)
		}
		got := map[string]*Stats{}
		for _, c := range s.Snapshot().Children {
			got[c.ID] = c.Stats
		}
		for id, want := range map[string]Stats{
			"process": {Queue: 3, HighWater: 7}, "service": {Queue: 4, HighWater: 9}, "made": {Queue: 5, HighWater: 9},
		} {
			if got[id] == nil || *got[id] != want {
				t.Errorf("%s has %v, want %v", id, got[id], want)
			}
		}
		if got["broken"] != nil || got["gone"] != nil || got["silent"] != nil {
			t.Errorf("broken has %v, silent has %v", got["broken"], got["silent"])
		}
	})
}

func TestCountTellsSpecsActiveSupervisorsAndWorkers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := serve(t, Options{Children: []Spec{
			{ID: "a", Process: &fake{}}, {ID: "b", Process: &fake{}},
			{ID: "sub", New: func() Service { return New(Options{Logger: discard()}) }},
		}})
		noError(t, s.Terminate(t.Context(), "b"))
		if got, want := s.Count(), (Counts{Specs: 3, Active: 2, Supervisors: 1, Workers: 2}); got != want {
			t.Fatalf("got %+v, want %+v", got, want)
		}
		noError(t, s.Terminate(t.Context(), "sub"))
		noError(t, s.Delete(t.Context(), "b"))
		if got, want := s.Count(), (Counts{Specs: 2, Active: 1, Supervisors: 1, Workers: 1}); got != want {
			t.Fatalf("got %+v, want %+v", got, want)
		}
		wantError(t, s.Delete(t.Context(), "a"), ErrRunning)
		wantError(t, s.Delete(t.Context(), "b"), ErrNotFound)
		noError(t, s.stop(nil))
		wantError(t, s.Delete(t.Context(), "a"), ErrNotRunning)
		_, err := s.Child("a")
		wantError(t, err, ErrNotRunning)
		synctest.Wait()
	})
}
