package patterns_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pando-agents/pando/actors"
	"github.com/pando-agents/pando/actors/patterns"
	"github.com/pando-agents/pando/supervisor"
)

func numbers(n int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := range n {
			if !yield(i) {
				return
			}
		}
	}
}

// slower takes longer for the smaller numbers, so that all want to overtake.
func slower(ctx context.Context, n int) (int, error) {
	select {
	case <-time.After(time.Duration(100-n) * time.Second):
		return n, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func TestOrderedStagesKeepTheOrderAndOthersDoNot(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for _, unordered := range []bool{false, true} {
			stage := patterns.Stage{Name: "s", Concurrency: 4, Unordered: unordered}
			p := patterns.Then(patterns.Through(stage, slower), patterns.Through(stage, slower))
			var got []int
			for v, err := range p.Run(t.Context(), numbers(8)) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, v)
			}
			if slices.IsSorted(got) == unordered {
				t.Errorf("unordered %v: %v", unordered, got)
			}
			slices.Sort(got)
			if !slices.Equal(got, []int{0, 1, 2, 3, 4, 5, 6, 7}) {
				t.Errorf("unordered %v: %v", unordered, got)
			}
		}
	})
}

func TestStageWorksOnNoMoreItemsThanItMay(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for _, unordered := range []bool{false, true} {
			var now, most atomic.Int32
			work := func(_ context.Context, n int) (int, error) {
				most.Store(max(most.Load(), now.Add(1)))
				time.Sleep(time.Duration(rand.IntN(1000)) * time.Millisecond)
				now.Add(-1)
				return n, nil
			}
			p := patterns.Through(patterns.Stage{Concurrency: 3, Unordered: unordered}, work)
			for range p.Run(t.Context(), numbers(50)) {
			}
			if most.Load() != 3 {
				t.Errorf("unordered %v: %d at once", unordered, most.Load())
			}
		}
	})
}

func TestSlowReaderOfAPipelineHoldsUpItsSource(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for _, unordered := range []bool{false, true} {
			var taken atomic.Int32
			source := func(yield func(int) bool) {
				for yield(1) {
					taken.Add(1)
				}
			}
			same := func(_ context.Context, n int) (int, error) { return n, nil }
			stage := patterns.Stage{Concurrency: 2, Unordered: unordered}
			p := patterns.Then(patterns.Through(stage, same), patterns.Through(stage, same))
			for range p.Run(t.Context(), source) {
				synctest.Wait()
				break
			}
			if n := taken.Load(); n < 4 || n > 6 {
				t.Errorf("unordered %v: %d items were taken: two stages hold two each", unordered, n)
			}
		}
	})
}

func TestItemThatFailsComesOutInItsPlaceAndTheRestGoesOn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		halves, _ := start(t, "even", even)
		var seen atomic.Int32
		p := patterns.Then(
			patterns.Through(patterns.Stage{Name: "double", Concurrency: 3}, halves.Ask),
			patterns.Through(patterns.Stage{Name: "text"}, func(_ context.Context, n int) (string, error) {
				seen.Add(1)
				return fmt.Sprint(n), nil
			}))
		var got []string
		for s, err := range p.Run(t.Context(), numbers(6)) {
			var failed *patterns.ItemError
			if errors.As(err, &failed) {
				if !errors.Is(err, errOdd) || failed.Stage != "double" {
					t.Error(err)
				}
				s = fmt.Sprint("!", failed.Item)
			}
			got = append(got, s)
		}
		if want := []string{"0", "!1", "4", "!3", "8", "!5"}; !slices.Equal(got, want) || seen.Load() != 3 {
			t.Errorf("%v, want %v; %d went on", got, want, seen.Load())
		}
	})
}

func TestWhoLeavesTheLoopEndsTheRun(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var under atomic.Int32
		p := patterns.Through(patterns.Stage{Concurrency: 4}, func(ctx context.Context, n int) (int, error) {
			if n == 0 {
				return 0, errOdd
			}
			under.Add(1)
			defer under.Add(-1)
			<-ctx.Done()
			return 0, ctx.Err()
		})
		for _, err := range p.Run(t.Context(), numbers(100)) {
			synctest.Wait()
			if !errors.Is(err, errOdd) || under.Load() != 4 {
				t.Fatalf("%v, %d under way", err, under.Load())
			}
			break
		}
		if under.Load() != 0 {
			t.Errorf("%d are still under way", under.Load())
		}
	})
}

func TestPipelineEndsWithItsContext(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := patterns.Through(patterns.Stage{Concurrency: 2}, slower)
		var errs []error
		for _, err := range p.Run(within(t, 99*time.Second+time.Second/2), numbers(100)) {
			errs = append(errs, err)
		}
		if len(errs) != 1 || !errors.Is(errs[0], context.DeadlineExceeded) {
			t.Fatal(errs)
		}
	})
}

func TestPanicsAndExitsInAPipelineAreErrorsOfTheirItems(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for _, unordered := range []bool{false, true} {
			p := patterns.Through(patterns.Stage{Name: "s", Concurrency: 2, Unordered: unordered}, func(_ context.Context, n int) (int, error) {
				switch {
				case n < 10:
					panic("small")
				case n < 20:
					runtime.Goexit()
				}
				return n, nil
			})
			panics, exits, good := 0, 0, 0
			for _, err := range p.Run(t.Context(), numbers(30)) {
				var panicked *supervisor.PanicError
				switch {
				case errors.As(err, &panicked):
					panics++
				case errors.Is(err, supervisor.ErrGoexit):
					exits++
				case err == nil:
					good++
				}
			}
			if panics != 10 || exits != 10 || good != 10 {
				t.Errorf("unordered %v: %d panics, %d exits, %d good", unordered, panics, exits, good)
			}
		}
		var last error
		for _, err := range patterns.Through(patterns.Stage{}, slower).Run(t.Context(), func(func(int) bool) { panic("no items") }) {
			last = err
		}
		var panicked *supervisor.PanicError
		if !errors.As(last, &panicked) {
			t.Errorf("the source: %v", last)
		}
	})
}

func TestItemWhoseActorIsLostFailsAndTheOthersGoThrough(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w, a := start(t, "w", double)
		a.CrashOn(func(q question) bool { return q.n == 2 })
		var good, lost []int
		p := patterns.Through(patterns.Stage{Name: "w", Concurrency: 2}, w.Ask)
		for v, err := range p.Run(t.Context(), numbers(5)) {
			var failed *patterns.ItemError
			if errors.As(err, &failed) && errors.Is(err, actors.ErrNotRun) {
				lost = append(lost, failed.Item)
				continue
			}
			good = append(good, v)
		}
		if !slices.Equal(good, []int{0, 2, 6, 8}) || !slices.Equal(lost, []int{2}) {
			t.Errorf("%v, lost %v", good, lost)
		}
	})
}
