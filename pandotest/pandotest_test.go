package pandotest_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/pando-agents/pando"
	"github.com/pando-agents/pando/actors"
	"github.com/pando-agents/pando/actors/remote"
	"github.com/pando-agents/pando/pandotest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// till counts money.
type till struct{ sum int }

type message interface{ forTill() }

type (
	pay   struct{ Amount int }
	total struct{ actors.Reply[int] }
	rob   struct{ actors.Reply[int] } // it does not survive this
)

func (pay) forTill()   {}
func (total) forTill() {}
func (rob) forTill()   {}

var tills = remote.NewProtocol[message](
	remote.Message[pay]("till.pay"), remote.Message[total]("till.total"), remote.Message[rob]("till.rob"),
)

func (t *till) Receive(_ *actors.Context[message], m message) {
	switch m := m.(type) {
	case pay:
		t.sum += m.Amount
	case total:
		m.Send(t.sum)
	case rob:
		panic("robbed")
	}
}

var tillSpec = actors.Spec[message]{Name: "till", New: func() actors.Actor[message] { return new(till) }}

func ask(to actors.Ref[message]) (int, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return actors.Ask(ctx, to, func(r actors.Reply[int]) message { return total{r} })
}

func askTo(m func(actors.Reply[int]) message, to actors.Ref[message]) error {
	_, err := actors.Ask(context.Background(), to, m)
	return err
}

// three lines, and an actor that is killed on the way.
func TestSupervisedActorIsAskedFromAnotherAgent(t *testing.T) {
	t.Parallel()
	pandotest.Bubble(t, func(w *pandotest.World) {
		alice, bob := w.Pair()
		pandotest.Spawn(bob, tillSpec, tills)
		till := pandotest.RefTo(alice, bob, "till", tills)

		if err := askTo(func(r actors.Reply[int]) message { return rob{r} }, till); !errors.Is(err, actors.ErrStopped) && !errors.Is(err, actors.ErrNotRun) {
			w.T.Fatalf("asked an actor that crashed: %v", err)
		}
		if n, err := ask(till); n != 0 || err != nil {
			w.T.Fatalf("after the restart: %d, %v", n, err)
		}
	})
}

// everywhere runs f in each kind of world.
func everywhere(t *testing.T, f func(w *pandotest.World)) {
	t.Parallel()
	t.Run("bubble", func(t *testing.T) { pandotest.Bubble(t, f) })
	t.Run("memory", func(t *testing.T) { f(pandotest.New(t)) })
	t.Run("sockets", func(t *testing.T) { f(pandotest.New(t, pandotest.OnSockets())) })
}

func TestAgentsFindEachOtherAndNeedPermission(t *testing.T) {
	everywhere(t, func(w *pandotest.World) {
		alice, bob := w.Agent("alice"), w.Agent("bob")
		pandotest.Spawn(bob, tillSpec, tills)
		ref := pandotest.RefTo(alice, bob, "till", tills)
		if _, err := ask(ref); !errors.Is(err, pando.ErrRefused) {
			w.T.Fatalf("without permission: %v", err)
		}
		carol := w.Agent("carol")
		w.Allow(bob, carol)
		ref = pandotest.RefTo(carol, bob, "till", tills)
		if err := ref.Tell(context.Background(), pay{5}); err != nil {
			w.T.Fatal(err)
		}
		if n, err := ask(ref); n != 5 || err != nil {
			w.T.Fatalf("%d, %v", n, err)
		}
	})
}

func TestKilledAgentIsLostAndComesBack(t *testing.T) {
	t.Parallel()
	pandotest.Bubble(t, func(w *pandotest.World) {
		alice, bob := w.Pair()
		pandotest.Spawn(bob, tillSpec, tills)
		ref := pandotest.RefTo(alice, bob, "till", tills)
		if err := ref.Tell(context.Background(), pay{1}); err != nil {
			w.T.Fatal(err)
		}
		if n, err := ask(ref); n != 1 || err != nil {
			w.T.Fatalf("%d, %v", n, err)
		}
		down := make(chan actors.Down, 1)
		ref.OnDown(func(d actors.Down) { down <- d })
		synctest.Wait()
		w.Kill(bob)
		if d := <-down; !errors.Is(d.Reason, actors.ErrLost) {
			w.T.Fatalf("down: %v", d.Reason)
		}
		bob = w.Restart(bob)
		pandotest.Spawn(bob, tillSpec, tills)
		if n, err := ask(ref); n != 0 || err != nil {
			w.T.Fatalf("after the restart: %d, %v", n, err)
		}
	})
}

func TestFrozenAgentAnswersWhenItIsHealed(t *testing.T) {
	t.Parallel()
	pandotest.Bubble(t, func(w *pandotest.World) {
		alice, bob := w.Pair()
		pandotest.Spawn(bob, tillSpec, tills)
		ref := pandotest.RefTo(alice, bob, "till", tills)
		if _, err := ask(ref); err != nil {
			w.T.Fatal(err)
		}
		for _, fault := range []func(...*pandotest.Agent){w.Freeze, func(...*pandotest.Agent) { w.Partition(alice, bob) }} {
			fault(bob)
			start := time.Now()
			time.AfterFunc(3*time.Second, func() { w.Heal(bob) })
			if _, err := ask(ref); err != nil || time.Since(start) != 3*time.Second {
				w.T.Fatalf("after %v: %v", time.Since(start), err)
			}
		}
		w.Cut(bob)
		synctest.Wait()
		if _, err := ask(ref); err != nil {
			w.T.Fatalf("after a cut: %v", err)
		}
	})
}

func TestForbiddenAgentsDoNotConnect(t *testing.T) {
	t.Parallel()
	pandotest.Bubble(t, func(w *pandotest.World) {
		alice, bob := w.Pair()
		pandotest.Spawn(bob, tillSpec, tills)
		w.Forbid(alice, bob)
		if _, err := ask(pandotest.RefTo(alice, bob, "till", tills)); err == nil {
			w.T.Fatal("a stranger was answered")
		}
	})
}
