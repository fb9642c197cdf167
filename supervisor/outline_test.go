package supervisor

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
)

func TestOutlineHasOnlyTheMostRestartedOfManyChildren(t *testing.T) {
	bubble(t, func(t *testing.T) {
		dynamic := New(Options{Strategy: Dynamic, Logger: discard(), Budget: Budget{Failures: -1}})
		s := serve(t, Options{Name: "top", Children: []Spec{
			{ID: "a", Process: &fake{}}, {ID: "many", Service: dynamic}, {ID: "b", Process: &fake{}},
		}})
		fail := map[int]chan error{}
		for i := range 20 {
			fail[i] = make(chan error)
			noError(t, dynamic.StartChild(t.Context(), Spec{ID: fmt.Sprint(i), Service: failing(fail[i])}))
		}
		for child, times := range map[int]int{3: 1, 7: 3, 18: 2} {
			for range times {
				fail[child] <- errors.New("again")
				synctest.Wait()
			}
		}
		for n, want := range map[int]string{3: "7 18 3", 4: "7 18 3 0", 19: "7 18 3 0 1 2 4 5 6 8 9 10 11 12 13 14 15 16 17"} {
			snap := s.Outline(n)
			if len(snap.Children) != 3 || snap.More != 0 || snap.Children[0].ID != "a" {
				t.Fatalf("those who are few are %+v", snap)
			}
			many := snap.Children[1].Supervisor
			ids := ""
			for _, c := range many.Children {
				ids = fmt.Sprint(ids, " ", c.ID)
			}
			if len(ids) > 0 {
				ids = ids[1:]
			}
			if ids != want || many.More != 20-n || many.Restarts != 6 {
				t.Errorf("outline of %d: %q and %d more, %d restarts; want %q", n, ids, many.More, many.Restarts, want)
			}
		}
		if snap := s.Outline(0); len(snap.Children) != 0 || snap.More != 3 {
			t.Errorf("outline of 0: %+v", snap)
		}
		if many := s.Outline(20).Children[1].Supervisor; len(many.Children) != 20 || many.More != 0 || many.Children[7].ID != "7" {
			t.Errorf("what fits is left out or moved: %+v", many)
		}
		if many := s.Snapshot().Children[1].Supervisor; len(many.Children) != 20 || many.More != 0 {
			t.Errorf("the snapshot is an outline: %+v", many)
		}
	})
}
