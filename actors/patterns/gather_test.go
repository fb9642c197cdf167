package patterns_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pando-agents/pando/actors"
	"github.com/pando-agents/pando/actors/patterns"
	"github.com/pando-agents/pando/supervisor"
)

func TestGatherReturnsAsSoonAsThereIsAQuorum(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, _ := start(t, "a", after(time.Second))
		b, _ := start(t, "b", after(time.Minute))
		c, _ := start(t, "c", after(2*time.Second))
		began := time.Now()
		results, err := patterns.Gather(within(t, time.Hour), 2, 4, a, b, c)
		if err != nil || time.Since(began) != 2*time.Second {
			t.Fatalf("%v after %v", err, time.Since(began))
		}
		for i, want := range []patterns.Result[int]{{"a", 8, nil}, {"b", 0, patterns.ErrNotAwaited}, {"c", 8, nil}} {
			if results[i] != want {
				t.Errorf("result %d is %+v, want %+v", i, results[i], want)
			}
		}
	})
}

func TestTargetThatIsLostDoesNotHoldUpTheOthers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, _ := start(t, "a", double)
		b, _ := start(t, "b", crash)
		c, stopped := start(t, "c", double)
		stopped.Stop()
		d, _ := start(t, "d", even)
		began := time.Now()
		_, err := patterns.Gather(within(t, time.Hour), 1, 3, b, c, d, a)
		if err != nil || time.Since(began) != 0 {
			t.Fatalf("%v after %v", err, time.Since(began))
		}
		results, err := patterns.GatherUntil(within(t, time.Hour), nil, 3, b, c, d, a)
		if err != nil || len(results) != 4 {
			t.Fatalf("%v, %v", results, err)
		}
		for i, want := range []error{actors.ErrNotRun, actors.ErrStopped, errOdd, nil} {
			if !errors.Is(results[i].Err, want) {
				t.Errorf("result %d is %v, want %v", i, results[i].Err, want)
			}
		}
		if results[3].Value != 6 {
			t.Errorf("answer %d", results[3].Value)
		}
	})
}

func TestGatherGivesUpWhenThereCannotBeAQuorum(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, _ := start(t, "a", even)
		b, _ := start(t, "b", even)
		c, _ := start(t, "c", never)
		began := time.Now()
		results, err := patterns.Gather(within(t, time.Hour), 2, 3, a, b, c)
		if !errors.Is(err, patterns.ErrNoQuorum) || !errors.Is(err, errOdd) || time.Since(began) != 0 {
			t.Fatalf("%v after %v", err, time.Since(began))
		}
		if !errors.Is(results[2].Err, patterns.ErrNotAwaited) {
			t.Errorf("the one that hangs: %v", results[2].Err)
		}
		if _, err := patterns.Gather(t.Context(), 4, 2, a, b, c); !errors.Is(err, patterns.ErrNoQuorum) {
			t.Errorf("more than there are: %v", err)
		}
	})
}

func TestGatherEndsWithItsContextAndTellsWhoHasAnswered(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, _ := start(t, "a", double)
		b, _ := start(t, "b", never)
		results, err := patterns.Gather(within(t, time.Minute), 0, 1, a, b)
		if !errors.Is(err, patterns.ErrNoQuorum) || !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		if results[0].Err != nil || results[0].Value != 2 || !errors.Is(results[1].Err, context.DeadlineExceeded) {
			t.Errorf("%+v", results)
		}
	})
}

func TestGatherAsksNobodyAnyMoreWhenThereIsAQuorum(t *testing.T) {
	bubble(t, func(t *testing.T) {
		goOn := make(chan struct{})
		handled := 0
		a, _ := start(t, "a", double)
		b, full := start(t, "b", func(_ *actors.Context[question], q question) {
			<-goOn
			handled += q.n
		})
		for full.Offer(question{}) == nil {
			synctest.Wait()
		}
		if _, err := patterns.Gather(t.Context(), 1, 1, a, b); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		close(goOn)
		synctest.Wait()
		if handled != 0 || full.Stats().Queue != 0 {
			t.Error("the question that waited for room was asked after the end")
		}
	})
}

func TestPredicateSeesTheAnswersInTheOrderOfTheirComing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var targets []patterns.Target[int, int]
		for i, d := range []time.Duration{3, 1, 2, 4} {
			w, _ := start(t, "w", func(_ *actors.Context[question], q question) {
				time.AfterFunc(d*time.Second, func() { q.Send(i) })
			})
			targets = append(targets, w)
		}
		var seen []int
		_, err := patterns.GatherUntil(within(t, time.Hour), func(answers []int) bool {
			seen = append([]int(nil), answers...)
			return len(answers) == 3
		}, 0, targets...)
		if err != nil || len(seen) != 3 || seen[0] != 1 || seen[1] != 2 || seen[2] != 0 {
			t.Fatalf("%v, %v", seen, err)
		}
		_, err = patterns.GatherUntil(within(t, time.Hour), func([]int) bool { return false }, 0, targets...)
		if !errors.Is(err, patterns.ErrNoQuorum) {
			t.Fatalf("never true: %v", err)
		}
	})
}

func TestPanicWhileAQuestionIsMadeIsTheFailureOfItsTarget(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, _ := start(t, "a", double)
		_, b := start(t, "b", double)
		broken := patterns.To("b", b.Ref, func(int, actors.Reply[int]) question { panic("no question") })
		results, err := patterns.GatherUntil(t.Context(), nil, 1, a, broken, patterns.Target[int, int]{})
		var panicked *supervisor.PanicError
		if err != nil || results[0].Value != 2 || !errors.As(results[1].Err, &panicked) || results[2].Err == nil {
			t.Fatalf("%+v, %v", results, err)
		}
	})
}
