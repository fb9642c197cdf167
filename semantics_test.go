package pando_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pando-agents/pando"
	"github.com/pando-agents/pando/actors/channel"
)

// gathering is a handler that keeps the numbers of its messages and waits to be
// released.
type gathering struct {
	mu      sync.Mutex
	started []int
	release chan struct{}
}

func (g *gathering) handle(_ context.Context, m *pando.Message) (any, error) {
	var in numbered
	if err := m.Decode(&in); err != nil {
		return nil, err
	}
	g.mu.Lock()
	g.started = append(g.started, in.N)
	g.mu.Unlock()
	<-g.release
	return in, nil
}

func (g *gathering) seen() []int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.started)
}

func TestRequestsRunConcurrentlyUpToTheLimitAndOrderedOnesOneAfterTheOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	free := &gathering{release: make(chan struct{})}
	ordered := &gathering{release: make(chan struct{})}
	agent := w.newNode("agent", func(n *node) {
		n.Handle("free", free.handle)
		n.Handle("ordered", ordered.handle, pando.Ordered())
	}, pando.WithLimits(pando.Limits{Concurrency: 4}))
	ch := w.friend(agent, "peer", nil).open(t, agent)
	ctx := within(t, patience)
	const all = 8
	for n := range all {
		for _, kind := range []string{"free", "ordered"} {
			if _, err := ch.Send(ctx, kind, numbered{n}); err != nil {
				t.Fatal(err)
			}
		}
	}
	there := agent.lookup(t, ch.ID())
	eventually(t, "all have arrived, and as many handlers run as may", func() bool {
		i := there.Info()
		return i.Running+i.Waiting == 2*all && len(free.seen())+len(ordered.seen()) >= 5
	})
	if i := there.Info(); i.Running != 5 {
		t.Errorf("%d handlers run, want 4 and one of the ordered type", i.Running)
	}
	if got := ordered.seen(); !slices.Equal(got, []int{0}) {
		t.Errorf("ordered messages %v run at once", got)
	}
	close(free.release)
	close(ordered.release)
	eventually(t, "all are handled", func() bool { i := there.Info(); return i.Running+i.Waiting == 0 })
	if got := ordered.seen(); !slices.IsSorted(got) || len(got) != all {
		t.Errorf("ordered messages were handled as %v", got)
	}
	if got := free.seen(); len(got) != all {
		t.Errorf("%d messages were handled", len(got))
	}
}

func TestMessageGoesToTheHandlerOfItsTypeElseToTheInboxElseIsCounted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	handled := make(chan string, 4)
	agent := w.newNode("agent", nil)
	peer := w.friend(agent, "peer", func(n *node) {
		n.Handle("known", func(_ context.Context, m *pando.Message) (any, error) { handled <- m.Type; return nil, nil })
	})
	ctx := within(t, patience)
	withInbox := peer.open(t, agent, pando.WithInbox(4))
	without := peer.open(t, agent.at("?without"))
	for _, ch := range []*pando.Channel{withInbox, without} {
		there := agent.lookup(t, ch.ID())
		for _, kind := range []string{pando.Event, "known"} {
			if _, err := there.Send(ctx, kind, nil); err != nil {
				t.Fatal(err)
			}
		}
		if kind := <-handled; kind != "known" {
			t.Errorf("the handler got %s", kind)
		}
	}
	if m, err := withInbox.Receive(ctx); err != nil || m.Type != pando.Event {
		t.Errorf("the inbox has %v, %v", m, err)
	}
	eventually(t, "it is counted", func() bool { return without.Info().Dropped == 1 })
	if _, err := without.Receive(ctx); !errors.Is(err, pando.ErrNoInbox) {
		t.Errorf("receive without an inbox = %v", err)
	}
}

func TestPeersReadRemoteErrorsAsTheyAreAndOfOthersOnlyAnID(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	agent := w.newNode("agent", func(n *node) {
		n.Handle("told", func(context.Context, *pando.Message) (any, error) {
			return nil, &pando.RemoteError{Code: "sold_out", Message: "none are left"}
		})
		n.Handle("inner", func(context.Context, *pando.Message) (any, error) {
			return nil, errors.New("password of the database is wrong")
		})
	})
	ch := w.friend(agent, "peer", nil).open(t, agent)
	var told *pando.RemoteError
	if _, err := ch.Request(within(t, patience), "told", nil); !errors.As(err, &told) ||
		told.Code != "sold_out" || told.Message != "none are left" {
		t.Errorf("error = %v", err)
	}
	if _, err := ch.Request(within(t, patience), "inner", nil); !errors.As(err, &told) ||
		told.Code != "handler_failed" || told.Message != "the handler failed" || told.ID == "" {
		t.Errorf("error = %v", err)
	}
	agent.log.wait(t, "handler returned an error", "error_id", told.ID, "err", "password of the database")
}

func TestCallsInsideAHandlerEndWithItsDeadline(t *testing.T) {
	t.Parallel()
	inVirtualTime(t, func(w *world) {
		t := w.t
		nested := make(chan error, 1)
		agent := w.newNode("agent", func(n *node) {
			n.Handle("ask back", func(ctx context.Context, m *pando.Message) (any, error) {
				_, err := m.Channel().Request(ctx, "never", nil)
				nested <- err
				return nil, err
			})
		}, pando.WithTimeouts(pando.Timeouts{Handler: 5 * time.Second}))
		release := make(chan struct{})
		peer := w.friend(agent, "peer", func(n *node) {
			n.Handle("never", func(context.Context, *pando.Message) (any, error) { <-release; return nil, nil })
		})
		ch := peer.open(t, agent)
		start := time.Now()
		_, err := ch.Request(within(t, time.Minute), "ask back", nil)
		var told *pando.RemoteError
		if !errors.As(err, &told) || time.Since(start) != 5*time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		if err := <-nested; !errors.Is(err, pando.ErrTimeout) {
			t.Errorf("the request inside the handler: %v", err)
		}
		close(release)
	})
}

func TestAskerAfterTheEndOfAnAgentDoesNotWait(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	agent := w.newNode("agent", nil)
	agent.cancel()
	<-agent.ended
	if _, err := agent.Lookup(context.Background(), "any"); err == nil {
		t.Error("a channel was found")
	}
	if _, err := agent.Channels(context.Background()); err == nil {
		t.Error("channels were listed")
	}
}

func TestActorOfALostChannelIsNotStartedAgain(t *testing.T) {
	t.Parallel()
	var steps atomic.Int32
	f := faults{do: func(_ *pando.Channel, p pando.FaultPoint) {
		if p == channel.FaultStep && steps.Add(1) == 1 {
			panic("a bug in the session")
		}
	}}
	s := onStage(t, nil, f.option(), endless)
	c := s.rawOpen(s.stranger(s.agent), s.agent)
	there := s.agent.lookup(t, c.id)
	f.on(c.self)
	c.message("count", `{"n":1}`)
	<-there.Done()
	eventually(t, "its actor is gone", func() bool {
		return len(s.agent.Tree().Children[0].Supervisor.Children) == 1 // the witness's
	})
	if rec, ok := s.agent.log.find("child failed", "actor", there.Key(), "incarnation", "2"); ok {
		t.Errorf("it was started in vain: %v", rec)
	}
}
