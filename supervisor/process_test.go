package supervisor

import (
	"context"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// waysToFail are what a method can do instead of returning.
var waysToFail = map[string]func(release <-chan struct{}){
	"panic":  func(<-chan struct{}) { panic("bug") },
	"goexit": func(<-chan struct{}) { runtime.Goexit() },
	"hang":   func(release <-chan struct{}) { <-release },
}

func TestStopThatPanicsExitsOrHangsHoldsNobodyUp(t *testing.T) {
	for name, fails := range waysToFail {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				release := make(chan struct{})
				p := &fake{stop: func(uint64, error) { fails(release) }}
				s := serve(t, Options{Children: []Spec{{ID: "a", Process: p}, {ID: "b", Process: &fake{}}}})
				ended := make(chan error, 1)
				go func() { ended <- s.Terminate(s.ctx, "a") }()
				synctest.Wait()
				noError(t, s.Restart(t.Context(), "b"))
				wantError(t, <-ended, ErrAbandoned)
				p.exit(1, nil)
				close(release)
				noError(t, s.Restart(t.Context(), "a"))
				p.onStop(nil)
			})
		})
	}
}

func TestAbandonThatPanicsOrExitsIsDone(t *testing.T) {
	for name, fails := range waysToFail {
		if name == "hang" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := &fake{stop: func(uint64, error) {}, abandon: func(uint64) { fails(nil) }}
				s := serve(t, Options{Children: []Spec{{ID: "a", Process: p}}})
				noError(t, s.Restart(t.Context(), "a"))
				p.exit(1, nil)
				p.onStop(nil)
				noError(t, s.stop(nil))
			})
		})
	}
}

func TestNextStartWaitsForStopAndForAbandon(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var log journal
		stopped, abandoned := make(chan struct{}), make(chan struct{})
		p := &fake{start: func(context.Context, Incarnation) error { log.add("start"); return nil }}
		p.stop = func(gen uint64, _ error) { p.exit(gen, nil); <-stopped; log.add("stop returns") }
		p.abandon = func(uint64) { <-abandoned; log.add("abandon returns") }
		s := serve(t, Options{Children: []Spec{{ID: "a", Process: p, Shutdown: time.Second}}})
		again := func() {
			go func() { noError(t, s.Restart(s.ctx, "a")) }()
			later(2 * time.Second)
		}
		again()
		close(stopped)
		synctest.Wait()
		p.onStop(func(uint64, error) {})
		again()
		close(abandoned)
		synctest.Wait()
		want := []string{"start", "stop returns", "start", "abandon returns", "start"}
		if got := log.take(); !slices.Equal(got, want) {
			t.Fatalf("got %q, want %q", got, want)
		}
		p.exit(2, nil)
		p.onStop(nil)
	})
}

func TestServeReturnsWhenAbandonHas(t *testing.T) {
	bubble(t, func(t *testing.T) {
		release := make(chan struct{})
		p := &fake{stop: func(uint64, error) {}, abandon: func(uint64) { <-release }}
		s := serve(t, Options{Children: []Spec{{ID: "a", Process: p, Shutdown: time.Second}}})
		s.cancel(nil)
		later(time.Minute)
		select {
		case <-s.ended:
			t.Fatal("an incarnation of the next Serve could be fenced off")
		default:
		}
		close(release)
		<-s.ended
		p.exit(1, nil)
	})
}

func TestStartThatIsGivenUpBeforeItHasBegunDoesNotBegin(t *testing.T) {
	bubble(t, func(t *testing.T) {
		release := make(chan struct{})
		starts := 0
		p := &fake{start: func(context.Context, Incarnation) error { starts++; return nil }}
		p.stop = func(gen uint64, _ error) { p.exit(gen, nil); <-release }
		s := serve(t, Options{Children: []Spec{{ID: "a", Process: p}}})
		go func() { _ = s.Restart(s.ctx, "a") }() // its start waits for Stop
		synctest.Wait()
		noError(t, s.Terminate(t.Context(), "a"))
		close(release)
		synctest.Wait()
		if starts != 1 {
			t.Fatalf("%d starts", starts)
		}
	})
}
