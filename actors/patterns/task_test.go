package patterns_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pando-agents/pando/actors"
	"github.com/pando-agents/pando/actors/actortest"
	"github.com/pando-agents/pando/actors/patterns"
)

func newTaker(t *testing.T, o patterns.Tasks[int, int, int]) *actortest.Actor[patterns.TaskMessage[int, int, int]] {
	t.Helper()
	o.Logger = slog.New(slog.DiscardHandler)
	return actortest.Start(t, o.Spec())
}

// untilCancelled works until it is cancelled, and tells why.
func untilCancelled(why chan<- error) func(context.Context, int, func(int)) (int, error) {
	return func(ctx context.Context, _ int, _ func(int)) (int, error) {
		<-ctx.Done()
		why <- context.Cause(ctx)
		return 0, context.Cause(ctx)
	}
}

func TestTaskHasProgressAndAResult(t *testing.T) {
	bubble(t, func(t *testing.T) {
		tasks := newTaker(t, patterns.Tasks[int, int, int]{
			Do: func(_ context.Context, work int, progress func(int)) (int, error) {
				for i := range 3 {
					progress(i)
					time.Sleep(time.Minute)
				}
				return 2 * work, nil
			},
		})
		var got []int
		v, err := patterns.Give(t.Context(), tasks.Ref, 21, func(p int) { got = append(got, p) })
		if v != 42 || err != nil || !slices.Equal(got, []int{0, 1, 2}) {
			t.Errorf("%d, %v, %v", v, err, got)
		}
	})
}

func TestProgressThatComesTooFastIsTheLatest(t *testing.T) {
	bubble(t, func(t *testing.T) {
		tasks := newTaker(t, patterns.Tasks[int, int, int]{
			Every: time.Second,
			Do: func(_ context.Context, _ int, progress func(int)) (int, error) {
				for i := range 100 {
					progress(i)
					time.Sleep(35 * time.Millisecond)
				}
				time.Sleep(time.Second)
				return 0, nil
			},
		})
		var got []int
		if _, err := patterns.Give(t.Context(), tasks.Ref, 0, func(p int) { got = append(got, p) }); err != nil {
			t.Fatal(err)
		}
		if want := []int{0, 28, 57, 85, 99}; !slices.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
		got = nil
		if _, err := patterns.Give(t.Context(), tasks.Ref, 0, func(p int) {
			got = append(got, p)
			time.Sleep(time.Hour)
		}); err != nil || len(got) > 4 || got[0] != 0 {
			t.Errorf("to a giver that is slow: %v, %v", got, err)
		}
	})
}

func TestTakerRefusesAndTheGiverReadsWhy(t *testing.T) {
	bubble(t, func(t *testing.T) {
		why := make(chan error, 1)
		tasks := newTaker(t, patterns.Tasks[int, int, int]{
			Accept: func(n int) error {
				switch {
				case n == 0:
					panic("nothing")
				case n < 0:
					return errOdd
				}
				return nil
			},
			Do: untilCancelled(why), Most: 1,
		})
		for _, n := range []int{0, -1} {
			if _, err := patterns.Give(t.Context(), tasks.Ref, n, nil); !errors.Is(err, patterns.ErrRefused) {
				t.Errorf("%d: %v", n, err)
			}
		}
		if _, err := patterns.Give(t.Context(), tasks.Ref, -1, nil); !errors.Is(err, errOdd) {
			t.Errorf("the reason: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _, _ = patterns.Give(ctx, tasks.Ref, 1, nil) }()
		synctest.Wait()
		if _, err := patterns.Give(t.Context(), tasks.Ref, 2, nil); !errors.Is(err, patterns.ErrRefused) {
			t.Errorf("one too many: %v", err)
		}
		cancel()
		<-why
	})
}

func TestGiverCancelsATaskAndItsTakerIsToldAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		why := make(chan error, 1)
		tasks := newTaker(t, patterns.Tasks[int, int, int]{Do: untilCancelled(why)})
		began := time.Now()
		_, err := patterns.Give(within(t, time.Minute), tasks.Ref, 1, nil)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if err := <-why; !errors.Is(err, patterns.ErrCancelled) || time.Since(began) != time.Minute {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

func TestTaskThatFailsPanicsOrTakesTooLongEndsWithTheReason(t *testing.T) {
	bubble(t, func(t *testing.T) {
		tasks := newTaker(t, patterns.Tasks[int, int, int]{
			Total: time.Minute,
			Do: func(ctx context.Context, n int, _ func(int)) (int, error) {
				switch n {
				case 0:
					return 0, errOdd
				case 1:
					return 0, actors.ErrLost // of somebody else
				case 2:
					panic("told to")
				}
				<-ctx.Done()
				return 0, ctx.Err()
			},
		})
		for n, want := range []error{errOdd, actors.ErrLost, patterns.ErrFailed, patterns.ErrTooLong} {
			if _, err := patterns.Give(t.Context(), tasks.Ref, n, nil); !errors.Is(err, want) {
				t.Errorf("%d: %v, want %v", n, err, want)
			}
		}
		if g := tasks.State().Generation; g != 1 {
			t.Errorf("generation %d", g)
		}
	})
}

func TestEndOfTheTakerIsToldToTheGiverAndEndsTheTask(t *testing.T) {
	bubble(t, func(t *testing.T) {
		why := make(chan error, 1)
		tasks := newTaker(t, patterns.Tasks[int, int, int]{Do: untilCancelled(why)})
		go func() {
			time.Sleep(time.Minute)
			tasks.Stop()
		}()
		began := time.Now()
		if _, err := patterns.Give(t.Context(), tasks.Ref, 1, nil); !errors.Is(err, patterns.ErrPartnerLost) || time.Since(began) != time.Minute {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		<-why
	})
}
