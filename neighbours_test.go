package pando_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/pando-agents/pando"
	"github.com/pando-agents/pando/actors"
)

func TestNeighbourThatHasFailedIsReachedAgainInItsNextLife(t *testing.T) {
	t.Parallel()
	inVirtualTime(t, func(w *world) {
		neighbours := pando.WithNeighbours(pando.NewNeighbours())
		open := func(n *node) {
			ref, err := pando.Spawn(context.Background(), n.Agent, actors.Spec[teller]{
				Name: "account", New: func() actors.Actor[teller] { return &account{} },
			})
			if err == nil {
				err = pando.Expose(n.Agent, "account", ref, tellers)
			}
			if err != nil {
				w.t.Fatal(err)
			}
		}
		there := w.newNode("there", open, neighbours)
		here := w.friend(there, "here", nil, neighbours)
		ref, err := pando.RefTo(here.Agent, there.ID()+"/account", tellers)
		if err != nil {
			w.t.Fatal(err)
		}
		ask := func() error {
			_, err := actors.Ask(within(w.t, time.Minute), ref, func(r actors.Reply[int]) teller { return balance{r} })
			return err
		}
		if err := ask(); err != nil {
			w.t.Fatal(err)
		}
		for failed := false; !failed; { // its budget is exceeded, with its channels open
			_ = there.CrashRegistry()
			select {
			case <-there.ended:
				failed = true
			case <-time.After(200 * time.Millisecond):
			}
		}
		if there.err == nil {
			w.t.Fatal("the agent has not failed")
		}
		there.err = nil
		for _, again := range []string{"soon", "late"} {
			next := w.nodeOf(there.creds, open, neighbours)
			if err := ask(); err != nil {
				w.t.Errorf("%s: the next life: %v", again, err)
			}
			next.cancel()
			<-next.ended
			if err := ask(); !errors.Is(err, actors.ErrUnreachable) {
				w.t.Errorf("%s: nobody is there: %v", again, err)
			}
			<-time.After(time.Minute)
		}
	})
}
