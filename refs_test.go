package pando_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pando-agents/pando"
	"github.com/pando-agents/pando/actors"
	"github.com/pando-agents/pando/actors/remote"
	"github.com/pando-agents/pando/supervisor"
)

func ask(ctx context.Context, ref actors.Ref[teller], m func(actors.Reply[int]) teller) (int, error) {
	return actors.Ask(ctx, ref, m)
}

func askCrash(r actors.Reply[int]) teller { return crash{r} }
func askHold(r actors.Reply[int]) teller  { return hold{r} }

func TestAnActorIsToldAndAskedInTheSameWayAtEveryDistance(t *testing.T) {
	t.Parallel()
	atEveryDistance(t, func(t *testing.T, d *distance) {
		ctx := within(t, time.Minute)
		for _, amount := range []int{3, 4} {
			if err := d.ref.Tell(ctx, add{Amount: amount, Note: "n"}); err != nil {
				t.Fatal(err)
			}
		}
		if sum, err := d.sum(ctx); sum != 7 || err != nil {
			t.Fatalf("balance %d, %v", sum, err)
		}
		s, err := actors.Ask(ctx, d.ref, func(r actors.Reply[sheet]) teller { return statement{r} })
		if err != nil || len(s.Amounts) != 2 || s.Notes != "nn" {
			t.Fatalf("statement %+v, %v", s, err)
		}
	})
}

func TestMessagesOfOneSenderArriveInOrderAtEveryDistance(t *testing.T) {
	t.Parallel()
	atEveryDistance(t, func(t *testing.T, d *distance) {
		ctx := within(t, time.Minute)
		const n = 200
		for i := range n {
			if err := d.ref.Tell(ctx, add{Amount: i}); err != nil {
				t.Fatal(err)
			}
			if i%50 == 0 { // an Ask comes behind the Tells before it
				if sum, err := d.sum(ctx); sum != i*(i+1)/2 || err != nil {
					t.Fatalf("balance %d, %v after %d", sum, err, i)
				}
			}
		}
		s, err := actors.Ask(ctx, d.ref, func(r actors.Reply[sheet]) teller { return statement{r} })
		if err != nil || len(s.Amounts) != n {
			t.Fatalf("%d messages, %v", len(s.Amounts), err)
		}
		for i, amount := range s.Amounts {
			if amount != i {
				t.Fatalf("message %d came as the %dth", amount, i)
			}
		}
	})
}

func TestAskEndsWithItsContextAtEveryDistance(t *testing.T) {
	t.Parallel()
	atEveryDistance(t, func(t *testing.T, d *distance) {
		if _, err := d.sum(within(t, time.Minute)); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		start := time.Now()
		_, err := ask(ctx, d.ref, askHold)
		if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || took != 3*time.Second {
			t.Fatalf("%v after %v", err, took)
		}
		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if _, err = ask(ctx, d.ref, askHold); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	})
}

func TestAskThatAnActorFailsOnIsAnsweredAtEveryDistance(t *testing.T) {
	t.Parallel()
	atEveryDistance(t, func(t *testing.T, d *distance) {
		ctx := within(t, time.Minute)
		if err := d.ref.Tell(ctx, add{Amount: 5}); err != nil {
			t.Fatal(err)
		}
		if _, err := ask(ctx, d.ref, askCrash); !errors.Is(err, actors.ErrNotRun) {
			t.Fatal(err)
		}
		// The same Ref leads to the next incarnation, which begins anew.
		if sum, err := d.sum(ctx); sum != 0 || err != nil {
			t.Fatalf("balance %d, %v", sum, err)
		}
	})
}

func TestAnswerThatAnIncarnationOwesIsNotAwaitedAfterItsEndAtEveryDistance(t *testing.T) {
	t.Parallel()
	atEveryDistance(t, func(t *testing.T, d *distance) {
		ctx := within(t, time.Minute)
		held := make(chan error, 1)
		go func() {
			_, err := ask(ctx, d.ref, askHold)
			held <- err
		}()
		synctest.Wait()
		if _, err := ask(ctx, d.ref, askCrash); !errors.Is(err, actors.ErrNotRun) {
			t.Fatal(err)
		}
		if err := <-held; !errors.Is(err, actors.ErrNotRun) {
			t.Fatal(err)
		}
	})
}

func TestStoppedActorRefusesAtEveryDistance(t *testing.T) {
	t.Parallel()
	atEveryDistance(t, func(t *testing.T, d *distance) {
		ctx := within(t, time.Minute)
		if err := d.ref.Tell(ctx, quit{}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if _, err := d.sum(ctx); !errors.Is(err, actors.ErrStopped) {
			t.Fatal(err)
		}
	})
}

func TestNameThatNobodyHasIsNoActorAtEveryDistance(t *testing.T) {
	t.Parallel()
	atEveryDistance(t, func(t *testing.T, d *distance) {
		ctx := within(t, time.Minute)
		nobody := d.to("nobody")
		if _, err := ask(ctx, nobody, askHold); !errors.Is(err, actors.ErrNoActor) {
			t.Fatal(err)
		}
		down := make(chan actors.Down, 2)
		nobody.OnDown(func(d actors.Down) { down <- d })
		if got := <-down; !errors.Is(got.Reason, actors.ErrNoActor) {
			t.Fatal(got.Reason)
		}
	})
}

func TestAskWaitsForRoomInAFullMailboxAtEveryDistance(t *testing.T) {
	t.Parallel()
	small := func(s *actors.Spec[teller]) { s.Capacity = 1 }
	atEveryDistance(t, func(t *testing.T, d *distance) {
		ctx := within(t, time.Minute)
		fill(ctx, t, d)
		short, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		start := time.Now()
		_, err := d.sum(short)
		if took := time.Since(start); !errors.Is(err, actors.ErrMailboxFull) || took < 2*time.Second {
			t.Fatalf("%v after %v", err, took)
		}
		sum := make(chan int, 1)
		go func() {
			n, err := d.sum(ctx)
			if err != nil {
				t.Error(err)
			}
			sum <- n
		}()
		time.Sleep(time.Second)
		close(d.gate)
		if n := <-sum; n != 1 {
			t.Fatalf("balance %d", n)
		}
	}, small)
}

func TestAskOfAMailboxThatFailsIsRefusedAtOnceAtEveryDistance(t *testing.T) {
	t.Parallel()
	small := func(s *actors.Spec[teller]) { s.Capacity, s.Overflow = 1, actors.Fail }
	atEveryDistance(t, func(t *testing.T, d *distance) {
		ctx := within(t, time.Minute)
		fill(ctx, t, d)
		start := time.Now()
		_, err := d.sum(ctx)
		if took := time.Since(start); !errors.Is(err, actors.ErrMailboxFull) || took > time.Second {
			t.Fatalf("%v after %v", err, took)
		}
		close(d.gate)
	}, small)
}

// fill makes the actor hang on one message and fills its mailbox with another.
func fill(ctx context.Context, t *testing.T, d *distance) {
	t.Helper()
	if err := d.ref.Tell(ctx, wait{}); err != nil {
		t.Fatal(err)
	}
	<-d.busy
	if err := d.ref.Tell(ctx, add{Amount: 1}); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
}

func TestErrorThatTheProtocolNamesIsFoundByItsAskerAtEveryDistance(t *testing.T) {
	t.Parallel()
	atEveryDistance(t, func(t *testing.T, d *distance) {
		ctx := within(t, time.Minute)
		_, err := ask(ctx, d.ref, func(r actors.Reply[int]) teller { return withdraw{r, 5} })
		if !errors.Is(err, errBroke) {
			t.Fatal(err)
		}
	})
}

func TestWhoeverWatchesHearsTheEndOnceAtEveryDistance(t *testing.T) {
	t.Parallel()
	atEveryDistance(t, func(t *testing.T, d *distance) {
		ctx := within(t, time.Minute)
		downs := make(chan actors.Down, 8)
		watch := func() (unwatch func() bool) {
			u := d.ref.OnDown(func(d actors.Down) { downs <- d })
			synctest.Wait()
			return u
		}
		var panicked *supervisor.PanicError
		watch()
		if _, err := ask(ctx, d.ref, askCrash); !errors.Is(err, actors.ErrNotRun) {
			t.Fatal(err)
		}
		if got := <-downs; !errors.As(got.Reason, &panicked) || got.Generation != 1 {
			t.Fatalf("%+v", got)
		}
		synctest.Wait()
		watch()
		unwatch := watch()
		if !unwatch() || unwatch() {
			t.Fatal("a watch is taken back once")
		}
		if err := d.ref.Tell(ctx, quit{}); err != nil {
			t.Fatal(err)
		}
		if got := <-downs; got.Reason != nil || got.Generation != 2 {
			t.Fatalf("%+v", got)
		}
		synctest.Wait()
		watch() // too late
		if got := <-downs; got.Reason != nil && !errors.Is(got.Reason, actors.ErrStopped) {
			t.Fatalf("%+v", got)
		}
		synctest.Wait()
		if len(downs) != 0 {
			t.Fatalf("told again: %+v", <-downs)
		}
	})
}

// relay is an actor that passes on what it is told, from inside.
type relay struct {
	to   actors.Ref[teller]
	errs chan error
}

func (r *relay) Receive(c *actors.Context[int], amount int) {
	r.errs <- r.to.Tell(c.Context(), add{Amount: amount})
}

func TestTellInsideAnActorNeverWaitsAndKeepsItsOrderAtEveryDistance(t *testing.T) {
	t.Parallel()
	atEveryDistance(t, func(t *testing.T, d *distance) {
		ctx := within(t, time.Minute)
		const n = 100
		errs := make(chan error, n)
		from, err := pando.Spawn(ctx, d.here.Agent, actors.Spec[int]{
			Name: "relay", New: func() actors.Actor[int] { return &relay{d.ref, errs} },
		})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		for i := range n {
			if err := from.Tell(ctx, i); err != nil {
				t.Fatal(err)
			}
		}
		for range n {
			if err := <-errs; err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(start); took != 0 {
			t.Fatalf("the actor waited for %v", took)
		}
		synctest.Wait()
		s, err := actors.Ask(ctx, d.ref, func(r actors.Reply[sheet]) teller { return statement{r} })
		if err != nil || len(s.Amounts) != n {
			t.Fatalf("%d messages, %v", len(s.Amounts), err)
		}
		for i, amount := range s.Amounts {
			if amount != i {
				t.Fatalf("message %d came as the %dth", amount, i)
			}
		}
	})
}

func TestRequestThatAnActorPassesOnIsAnsweredAtEveryDistance(t *testing.T) {
	t.Parallel()
	atEveryDistance(t, func(t *testing.T, d *distance) {
		ctx := within(t, time.Minute)
		desk, err := pando.Spawn(ctx, d.here.Agent, actors.Spec[teller]{
			Name: "desk", New: func() actors.Actor[teller] {
				return actors.Behave[teller](func(c *actors.Context[teller], m teller) actors.Behaviour[teller] {
					if err := d.ref.Tell(c.Context(), m); err != nil {
						t.Error(err)
					}
					return nil
				})
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := desk.Tell(ctx, add{Amount: 9}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		sum, err := ask(ctx, desk, func(r actors.Reply[int]) teller { return balance{r} })
		if sum != 9 || err != nil {
			t.Fatalf("balance %d, %v", sum, err)
		}
		if _, err := ask(ctx, desk, askCrash); !errors.Is(err, actors.ErrNotRun) {
			t.Fatal(err)
		}
	})
}

func TestNamesAreUsedOnce(t *testing.T) {
	t.Parallel()
	inVirtualTime(t, func(w *world) {
		d := newDistance(w, distances[0])
		ctx := within(w.t, time.Minute)
		spec := actors.Spec[teller]{Name: "account", New: func() actors.Actor[teller] { return &account{} }}
		if _, err := pando.Spawn(ctx, d.here.Agent, spec); !errors.Is(err, remote.ErrName) {
			w.t.Fatal(err)
		}
		spec.Name = "no such name!"
		if _, err := pando.Spawn(ctx, d.here.Agent, spec); !errors.Is(err, remote.ErrName) {
			w.t.Fatal(err)
		}
		if err := d.here.Remove(ctx, "account"); err != nil {
			w.t.Fatal(err)
		}
		spec.Name = "account"
		ref, err := pando.Spawn(ctx, d.here.Agent, spec)
		if err != nil {
			w.t.Fatal(err)
		}
		if _, err := ask(ctx, ref, func(r actors.Reply[int]) teller { return balance{r} }); err != nil {
			w.t.Fatal(err)
		}
	})
}
