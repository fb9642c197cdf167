package patterns_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pando-agents/pando/actors"
	"github.com/pando-agents/pando/actors/actortest"
	"github.com/pando-agents/pando/actors/patterns"
)

type poolRef = actors.Ref[patterns.PoolMessage[int, int]]

// newPool runs a pool. Its back-off has no chance in it.
func newPool(t *testing.T, p patterns.Pool[int, int]) *actortest.Actor[patterns.PoolMessage[int, int]] {
	t.Helper()
	p.Rand = func() float64 { return 1 }
	return actortest.Start(t, p.Spec())
}

func status(t *testing.T, pool poolRef) patterns.PoolStats {
	t.Helper()
	s, err := actors.Ask(t.Context(), pool, func(r actors.Reply[patterns.PoolStats]) patterns.PoolMessage[int, int] {
		return patterns.PoolStatus[int, int]{Reply: r}
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// scripted is a worker far away that fails in a way of its own.
type scripted struct {
	name string
	ask  func(ctx context.Context, n int) (int, error)
}

func (s scripted) Name() string                                   { return s.name }
func (s scripted) Tell(context.Context, question) error           { return nil }
func (s scripted) OnDown(func(actors.Down)) (unwatch func() bool) { return func() bool { return true } }
func (s scripted) Ask(ctx context.Context, q question, a actors.Answer) error {
	v, err := s.ask(ctx, q.n)
	if err != nil {
		return err
	}
	a.Resolve(func(to any) error { *to.(*int) = v; return nil })
	return nil
}

func script(name string, ask func(ctx context.Context, n int) (int, error)) patterns.Target[int, int] {
	return target(name, actors.NewRef(scripted{name, ask}))
}

// submitAll submits the numbers below n at the same time.
func submitAll(ctx context.Context, t *testing.T, pool poolRef, n int) (answers map[int]int, errs []error) {
	t.Helper()
	var mu sync.Mutex
	var all sync.WaitGroup
	answers = map[int]int{}
	for i := range n {
		all.Go(func() {
			v, err := patterns.Submit(ctx, pool, i)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, err)
			} else {
				answers[i] = v
			}
		})
	}
	all.Wait()
	return answers, errs
}

func TestPoolGivesEachWorkerNoMoreThanItMayHave(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var now, most [3]atomic.Int32
		var workers []patterns.Target[int, int]
		for i := range now {
			workers = append(workers, script(fmt.Sprint("w", i), func(ctx context.Context, n int) (int, error) {
				most[i].Store(max(most[i].Load(), now[i].Add(1)))
				time.Sleep(time.Second)
				now[i].Add(-1)
				return 2 * n, nil
			}))
		}
		pool := newPool(t, patterns.Pool[int, int]{Workers: workers, PerWorker: 2})
		began := time.Now()
		answers, errs := submitAll(t.Context(), t, pool.Ref, 60)
		if len(errs) != 0 || len(answers) != 60 || answers[7] != 14 || time.Since(began) != 10*time.Second {
			t.Fatalf("%d answers, %v, after %v", len(answers), errs, time.Since(began))
		}
		for i := range most {
			if most[i].Load() != 2 {
				t.Errorf("worker %d had %d at once", i, most[i].Load())
			}
		}
		if s := status(t, pool.Ref); s.Done != 60 || s.Repeated != 0 || s.Running != 0 || s.Workers[1].Done != 20 {
			t.Errorf("%+v", s)
		}
	})
}

func TestJobsOfAWorkerThatFailsGoToTheOthersAndItGetsWorkAgainLater(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, crashes := start(t, "a", after(time.Second))
		b, _ := start(t, "b", after(time.Second))
		pool := newPool(t, patterns.Pool[int, int]{Workers: []patterns.Target[int, int]{a, b}})
		crashes.CrashOn(func(question) bool { return true })
		answers, errs := submitAll(t.Context(), t, pool.Ref, 10)
		if len(errs) != 0 || len(answers) != 10 {
			t.Fatalf("%v, %v", answers, errs)
		}
		s := status(t, pool.Ref)
		if s.Repeated != 1 || s.Workers[0].Failed != 1 || s.Workers[0].Done == 0 || s.Workers[0].Away {
			t.Errorf("%+v", s)
		}
	})
}

func TestWorkerIsAwayLongerEachTimeUntilItAnswers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var tries []time.Duration
		began := time.Now()
		w := script("w", func(context.Context, int) (int, error) {
			tries = append(tries, time.Since(began))
			if len(tries) < 5 {
				return 0, actors.ErrUnreachable
			}
			return 1, nil
		})
		pool := newPool(t, patterns.Pool[int, int]{Workers: []patterns.Target[int, int]{w}, PerWorker: 8})
		if answers, errs := submitAll(t.Context(), t, pool.Ref, 1); len(errs) != 0 || answers[0] != 1 {
			t.Fatal(answers, errs)
		}
		for i, ms := range []time.Duration{0, 100, 300, 700, 1500} {
			if tries[i] != ms*time.Millisecond {
				t.Fatalf("tries %v", tries)
			}
		}
	})
}

func TestWorkerThatComesBackIsTriedWithOneJob(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var now, most, failed atomic.Int32
		w := script("w", func(context.Context, int) (int, error) {
			if failed.Add(1) == 1 {
				return 0, actors.ErrNoActor
			}
			most.Store(max(most.Load(), now.Add(1)))
			time.Sleep(time.Second)
			now.Add(-1)
			return 1, nil
		})
		pool := newPool(t, patterns.Pool[int, int]{Workers: []patterns.Target[int, int]{w}, PerWorker: 4})
		go submitAll(t.Context(), t, pool.Ref, 1)
		synctest.Wait()
		go submitAll(t.Context(), t, pool.Ref, 8)
		time.Sleep(time.Second)
		if most.Load() != 1 {
			t.Errorf("%d jobs on trial", most.Load())
		}
		time.Sleep(time.Minute)
		if most.Load() != 4 {
			t.Errorf("%d jobs afterwards", most.Load())
		}
	})
}

func TestWorkerThatIsDownGetsNoJob(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, stopped := start(t, "a", double)
		b, _ := start(t, "b", double)
		pool := newPool(t, patterns.Pool[int, int]{Workers: []patterns.Target[int, int]{a, b}})
		stopped.Stop()
		synctest.Wait()
		if _, errs := submitAll(t.Context(), t, pool.Ref, 4); errs != nil {
			t.Fatal(errs)
		}
		if s := status(t, pool.Ref); s.Repeated != 0 || !s.Workers[0].Away || s.Workers[0].Reason == "" || s.Workers[1].Done != 4 {
			t.Errorf("%+v", s)
		}
		time.Sleep(time.Hour) // it is watched again and again, and jobs do not wait for it
		if _, err := patterns.SubmitOnce(t.Context(), pool.Ref, 1); err != nil {
			t.Error(err)
		}
	})
}

func TestJobThatKillsItsWorkersIsGivenUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var killed atomic.Int32
		var workers []patterns.Target[int, int]
		for i := range 5 {
			w, _ := start(t, fmt.Sprint("w", i), func(_ *actors.Context[question], q question) {
				if q.n == 13 {
					killed.Add(1)
					panic("unlucky")
				}
				q.Send(2 * q.n)
			})
			workers = append(workers, w)
		}
		pool := newPool(t, patterns.Pool[int, int]{Workers: workers})
		_, err := patterns.Submit(t.Context(), pool.Ref, 13)
		if !errors.Is(err, patterns.ErrGaveUp) || !errors.Is(err, actors.ErrNotRun) || killed.Load() != 3 {
			t.Fatalf("%v, %d killed", err, killed.Load())
		}
		if v, err := patterns.Submit(t.Context(), pool.Ref, 4); v != 8 || err != nil {
			t.Fatal(v, err)
		}
		if s := status(t, pool.Ref); s.Failed != 1 || s.Done != 1 {
			t.Errorf("%+v", s)
		}
	})
}

func TestJobThatMayRunOnceIsGivenOnOnlyIfItWasNotDelivered(t *testing.T) {
	bubble(t, func(t *testing.T) {
		good, _ := start(t, "good", double)
		for err, again := range map[error]bool{
			actors.ErrUnreachable: true, actors.ErrNoActor: true, actors.ErrMailboxFull: true,
			actors.ErrLost: false, actors.ErrNotRun: false, actors.ErrStopped: false, context.DeadlineExceeded: false,
		} {
			bad := script("bad", func(context.Context, int) (int, error) { return 0, err })
			pool := newPool(t, patterns.Pool[int, int]{Workers: []patterns.Target[int, int]{bad, good}})
			v, got := patterns.SubmitOnce(t.Context(), pool.Ref, 2)
			switch {
			case again && (v != 4 || got != nil):
				t.Errorf("%v: %d, %v", err, v, got)
			case !again && (!errors.Is(got, patterns.ErrGaveUp) || !errors.Is(got, err)):
				t.Errorf("%v: %d, %v", err, v, got)
			}
		}
	})
}

func TestErrorThatAWorkerAnswersWithIsTheAnswer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, _ := start(t, "a", even)
		b, _ := start(t, "b", even)
		pool := newPool(t, patterns.Pool[int, int]{Workers: []patterns.Target[int, int]{a, b}})
		if _, err := patterns.Submit(t.Context(), pool.Ref, 3); !errors.Is(err, errOdd) {
			t.Fatal(err)
		}
		if s := status(t, pool.Ref); s.Done != 1 || s.Repeated != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestIdleWorkerTakesWhatIsTooLongAtABusyOne(t *testing.T) {
	bubble(t, func(t *testing.T) {
		cancelled := make(chan time.Time, 8)
		slow := script("slow", func(ctx context.Context, _ int) (int, error) {
			<-ctx.Done()
			cancelled <- time.Now()
			return 0, ctx.Err()
		})
		quick, _ := start(t, "quick", after(time.Second))
		pool := newPool(t, patterns.Pool[int, int]{
			Workers: []patterns.Target[int, int]{slow, quick}, StealAfter: 10 * time.Second,
		})
		began := time.Now()
		answers, errs := submitAll(t.Context(), t, pool.Ref, 4)
		if len(errs) != 0 || len(answers) != 4 || time.Since(began) != 11*time.Second {
			t.Fatalf("%v, %v, after %v", answers, errs, time.Since(began))
		}
		if at := <-cancelled; at.Sub(began) != 11*time.Second {
			t.Errorf("the slow one was called off after %v", at.Sub(began))
		}
		if s := status(t, pool.Ref); s.Stolen != 1 || s.Done != 4 || s.Workers[0].Away {
			t.Errorf("%+v", s)
		}
	})
}

func TestJobThatMayRunOnceIsNotStolen(t *testing.T) {
	bubble(t, func(t *testing.T) {
		slow, _ := start(t, "slow", after(time.Minute))
		quick, _ := start(t, "quick", double)
		pool := newPool(t, patterns.Pool[int, int]{Workers: []patterns.Target[int, int]{slow, quick}, StealAfter: time.Second})
		began := time.Now()
		if _, err := patterns.SubmitOnce(t.Context(), pool.Ref, 1); err != nil || time.Since(began) != time.Minute {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		if s := status(t, pool.Ref); s.Stolen != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestWorkerThatTakesTooLongHasFailed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		slow, _ := start(t, "slow", never)
		quick, _ := start(t, "quick", double)
		pool := newPool(t, patterns.Pool[int, int]{Workers: []patterns.Target[int, int]{slow, quick}, Timeout: time.Minute})
		began := time.Now()
		if v, err := patterns.Submit(t.Context(), pool.Ref, 1); v != 2 || err != nil || time.Since(began) != time.Minute {
			t.Errorf("%d, %v after %v", v, err, time.Since(began))
		}
	})
}

func TestJobThatNobodyWaitsForIsCalledOff(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var begun atomic.Int32
		ended := make(chan error, 2)
		w := script("w", func(ctx context.Context, _ int) (int, error) {
			begun.Add(1)
			<-ctx.Done()
			ended <- ctx.Err()
			return 0, ctx.Err()
		})
		pool := newPool(t, patterns.Pool[int, int]{Workers: []patterns.Target[int, int]{w}})
		ctx, leave := context.WithCancel(t.Context())
		all := make(chan []error)
		go func() {
			_, errs := submitAll(ctx, t, pool.Ref, 2)
			all <- errs
		}()
		synctest.Wait()
		leave()
		if errs := <-all; len(errs) != 2 || !errors.Is(errs[0], context.Canceled) {
			t.Fatal(errs)
		}
		<-ended
		synctest.Wait()
		if s := status(t, pool.Ref); begun.Load() != 1 || s.Waiting != 0 || s.Running != 0 || s.Workers[0].Away {
			t.Errorf("%d begun, %+v", begun.Load(), s)
		}
	})
}

func TestPoolRefusesMoreJobsThanMayWait(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w, _ := start(t, "w", after(time.Second))
		pool := newPool(t, patterns.Pool[int, int]{Workers: []patterns.Target[int, int]{w}, Waiting: 3})
		answers, errs := submitAll(t.Context(), t, pool.Ref, 6)
		if len(answers) != 4 || len(errs) != 2 || !errors.Is(errs[0], actors.ErrMailboxFull) {
			t.Errorf("%v, %v", answers, errs)
		}
	})
}

func TestWorkersJoinAndLeave(t *testing.T) {
	bubble(t, func(t *testing.T) {
		pool := newPool(t, patterns.Pool[int, int]{})
		got := make(chan int, 1)
		go func() {
			v, _ := patterns.Submit(t.Context(), pool.Ref, 5)
			got <- v
		}()
		synctest.Wait()
		a, _ := start(t, "a", after(time.Minute))
		pool.Tell(patterns.Join[int, int]{Worker: a})
		synctest.Wait()
		b, _ := start(t, "a", double) // the same name: another address
		pool.Tell(patterns.Join[int, int]{Worker: b})
		if v, err := patterns.Submit(t.Context(), pool.Ref, 1); v != 2 || err != nil {
			t.Fatal(v, err)
		}
		pool.Tell(patterns.Leave[int, int]{Name: "a"})
		if s := status(t, pool.Ref); len(s.Workers) != 0 {
			t.Errorf("%+v", s)
		}
		if v := <-got; v != 10 {
			t.Errorf("what it had when it left: %d", v)
		}
	})
}

func TestSubmittersHearOfThePoolsOwnFailureAndTheNextOneWorks(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ended := make(chan error, 1)
		w := script("w", func(ctx context.Context, n int) (int, error) {
			if n == 0 {
				return 7, nil
			}
			<-ctx.Done()
			ended <- ctx.Err()
			return 0, ctx.Err()
		})
		pool := newPool(t, patterns.Pool[int, int]{Workers: []patterns.Target[int, int]{w}})
		failed := make(chan error, 1)
		go func() {
			_, err := patterns.Submit(t.Context(), pool.Ref, 1)
			failed <- err
		}()
		synctest.Wait()
		pool.CrashOn(func(patterns.PoolMessage[int, int]) bool { return true })
		pool.Tell(patterns.Leave[int, int]{})
		if err := <-failed; !errors.Is(err, actors.ErrNotRun) {
			t.Error(err)
		}
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the attempt: %v", err)
		}
		if v, err := patterns.Submit(t.Context(), pool.Ref, 0); v != 7 || err != nil {
			t.Error(v, err)
		}
	})
}

func TestEveryJobIsAnsweredOnceWhateverBecomesOfTheWorkers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		random := rand.New(rand.NewPCG(1, 2))
		var mu sync.Mutex
		chance := func(n int) int {
			mu.Lock()
			defer mu.Unlock()
			return random.IntN(n)
		}
		failures := []error{actors.ErrLost, actors.ErrNotRun, actors.ErrUnreachable, actors.ErrMailboxFull, actors.ErrStopped}
		runs := make([]atomic.Int32, 400)
		var workers []patterns.Target[int, int]
		for i := range 5 {
			workers = append(workers, script(fmt.Sprint("w", i), func(ctx context.Context, n int) (int, error) {
				select {
				case <-time.After(time.Duration(chance(5000)) * time.Millisecond):
				case <-ctx.Done():
					return 0, context.Cause(ctx)
				}
				if chance(3) == 0 {
					return 0, failures[chance(len(failures))]
				}
				runs[n].Add(1)
				return 2 * n, nil
			}))
		}
		pool := newPool(t, patterns.Pool[int, int]{
			Workers: workers, PerWorker: 3, Attempts: 100, StealAfter: 2 * time.Second, Timeout: 4 * time.Second,
		})
		answers, errs := submitAll(t.Context(), t, pool.Ref, len(runs))
		for i := range runs {
			if answers[i] != 2*i || runs[i].Load() == 0 {
				t.Fatalf("job %d: %d, done %d times; %v", i, answers[i], runs[i].Load(), errs)
			}
		}
		time.Sleep(time.Minute)
		if s := status(t, pool.Ref); s.Done != uint64(len(runs)) || s.Waiting != 0 || s.Running != 0 || s.Repeated == 0 || s.Stolen == 0 {
			t.Errorf("%+v", s)
		}
	})
}
