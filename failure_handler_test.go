package pando_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pando-agents/pando"
)

// failures are the ways in which a handler can end other than by returning.
var failures = map[string]func(){
	"panic":   func() { panic("a bug in a handler") },
	"runtime": func() { var list []int; _ = list[len(list)] },
	"nil":     func() { panic(nil) },
	"error":   func() { panic(errors.New("an error in a handler")) },
	"goexit":  func() { runtime.Goexit() },
}

func TestHandlerThatFailsCostsItsMessageOnly(t *testing.T) {
	t.Parallel()
	for name, fail := range failures {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := onStage(t, func(a *node) {
				a.Handle("fail", func(context.Context, *pando.Message) (any, error) { fail(); return nil, nil })
				a.Handle("fail.ordered", func(context.Context, *pando.Message) (any, error) { fail(); return nil, nil }, pando.Ordered())
			})
			victim := s.friend(s.agent, "victim", nil)
			ch := victim.open(t, s.agent)
			ctx := within(t, patience)
			const each = 10 // more than any restart budget
			for range each {
				for _, typ := range []string{"fail", "fail.ordered"} {
					_, err := ch.Request(ctx, typ, nil)
					var told *pando.RemoteError
					if !errors.As(err, &told) || told.Code != "handler_failed" || told.ID == "" {
						t.Fatalf("error = %v", err)
					}
					s.agent.log.wait(t, "handler panicked", "error_id", told.ID, "channel", ch.ID(), "peer", victim.ID())
					if told.Message != "the handler failed" {
						t.Errorf("the peer learns %q", told.Message)
					}
				}
				if _, err := ch.Request(ctx, "count", numbered{1}); err != nil {
					t.Fatal(err)
				}
			}
			here, there := ch.Info(), s.agent.lookup(t, ch.ID()).Info()
			if there.Panics != 2*each || there.Restarts != 0 || here.Reopened != 0 {
				t.Errorf("here %+v\nthere %+v", here, there)
			}
		})
	}
}

func TestHandlerThatNeverReturnsIsAbandonedAndReplaced(t *testing.T) {
	t.Parallel()
	inVirtualTime(t, func(w *world) {
		t := w.t
		release := make(chan struct{})
		s := w.newStage(func(a *node) {
			hang := func(context.Context, *pando.Message) (any, error) { <-release; return nil, nil }
			a.Handle("hang", hang)
			a.Handle("hang.ordered", hang, pando.Ordered())
			a.Handle("next.ordered", func(context.Context, *pando.Message) (any, error) { return numbered{}, nil }, pando.Ordered())
		}, pando.WithLimits(pando.Limits{Concurrency: 2}))
		victim := s.friend(s.agent, "victim", nil)
		ch := victim.open(t, s.agent)
		there := s.agent.lookup(t, ch.ID())
		ctx := within(t, 2*time.Minute)
		start := time.Now()
		type result struct {
			typ  string
			err  error
			took time.Duration
		}
		hung, next := make(chan result, 3), make(chan result, 2)
		ask := func(out chan result, typ string) {
			_, err := ch.Request(ctx, typ, numbered{1})
			out <- result{typ, err, time.Since(start)}
		}
		for _, typ := range []string{"hang", "hang", "hang.ordered"} {
			go ask(hung, typ)
		}
		if !poll(patience, func() bool { return there.Info().Running == 3 }) {
			t.Fatalf("handlers: %+v", there.Info())
		}
		go ask(next, "count")
		go ask(next, "next.ordered")
		for range 3 {
			r := <-hung
			var told *pando.RemoteError
			if !errors.As(r.err, &told) || told.Code != "handler_timeout" || told.ID == "" {
				t.Fatalf("error = %v", r.err)
			}
			if r.took != 30*time.Second {
				t.Errorf("told after %v", r.took)
			}
			s.agent.log.wait(t, "handler abandoned", "error_id", told.ID, "channel", ch.ID(), "peer", victim.ID())
		}
		for range 2 { // those who waited behind them
			if r := <-next; r.err != nil || r.took > 30*time.Second+time.Second {
				t.Errorf("%s after %v: %v: %+v", r.typ, r.took, r.err, there.Info())
			}
		}
		if i := there.Info(); i.Timeouts != 3 || i.Hanging != 3 || i.Restarts != 0 {
			t.Errorf("%+v", i)
		}
		close(release)
		eventually(t, "the abandoned handlers are gone", func() bool { return there.Info().Hanging == 0 })
		s.agent.log.wait(t, "abandoned handler returned", "channel", ch.ID(), "peer", victim.ID())
		if _, err := ch.Request(ctx, "count", numbered{1}); err != nil {
			t.Error(err)
		}
	})
}

// stateful is a handler with state that a panic may have broken.
type stateful struct{ n int }

func (h *stateful) Handle(_ context.Context, m *pando.Message) (any, error) {
	h.n++
	if string(m.Data) == `{"fail":true}` {
		panic("with the state half changed")
	}
	return numbered{h.n}, nil
}

func TestHandlerIsMadeAnewAfterAPanic(t *testing.T) {
	t.Parallel()
	s := onStage(t, func(a *node) {
		a.HandleFactory("state", func() pando.Handler { return &stateful{} }, pando.Ordered())
	})
	victim := s.friend(s.agent, "victim", nil)
	one := victim.open(t, s.agent)
	two := victim.open(t, s.agent.at("?two"))
	ctx := within(t, patience)
	next := func(ch *pando.Channel, want int) {
		t.Helper()
		m, err := ch.Request(ctx, "state", nil)
		if err != nil {
			t.Fatal(err)
		}
		var out numbered
		if err := m.Decode(&out); err != nil || out.N != want {
			t.Fatalf("%d, %v, want %d", out.N, err, want)
		}
	}
	next(one, 1)
	next(one, 2)
	next(two, 1)
	if _, err := one.Request(ctx, "state", map[string]bool{"fail": true}); !errors.Is(err, &pando.RemoteError{Code: "handler_failed"}) {
		t.Fatal(err)
	}
	next(one, 1)
	next(two, 2) // the other channel has its own
}

func TestFactoryThatPanicsCostsItsMessageOnly(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	s := onStage(t, func(a *node) {
		a.HandleFactory("made", func() pando.Handler {
			switch calls.Add(1) {
			case 1:
				panic("a bug in a factory")
			case 2:
				runtime.Goexit()
			case 3:
				return nil // as bad
			}
			return &stateful{}
		})
	})
	victim := s.friend(s.agent, "victim", nil)
	ch := victim.open(t, s.agent)
	ctx := within(t, patience)
	for range 3 {
		_, err := ch.Request(ctx, "made", nil)
		var told *pando.RemoteError
		if !errors.As(err, &told) || told.Code != "handler_failed" {
			t.Fatalf("error = %v", err)
		}
		s.agent.log.wait(t, "handler panicked", "error_id", told.ID, "channel", ch.ID(), "peer", victim.ID())
	}
	if _, err := ch.Request(ctx, "made", nil); err != nil {
		t.Fatal(err)
	}
}

func TestEventWhoseHandlerFailsIsNotAnswered(t *testing.T) {
	t.Parallel()
	seen := make(chan int, 16)
	s := onStage(t, func(a *node) {
		a.Handle(pando.Event, func(_ context.Context, m *pando.Message) (any, error) {
			var in numbered
			_ = m.Decode(&in)
			seen <- in.N
			if in.N%2 == 0 {
				panic("an even event")
			}
			return nil, errors.New("an odd event")
		})
	})
	c := s.rawOpen(s.stranger(s.agent), s.agent)
	for n := range 10 {
		c.message("event", fmt.Sprintf(`{"n":%d}`, n))
	}
	for want := range 10 {
		if got := <-seen; got != want {
			t.Fatalf("event %d came in place %d", got, want)
		}
	}
	id := c.message("count", `{"n":1}`)
	if m := c.next(); m.Meta.ReplyTo != id || m.Content.Type != "response" {
		t.Fatalf("events were answered: %+v", m)
	}
	s.agent.log.wait(t, "handler panicked", "channel", c.id, "peer", c.self, "type", "event")
}

func TestNestedRequestsOnOneChannelDoNotDeadlock(t *testing.T) {
	t.Parallel()
	inVirtualTime(t, func(w *world) {
		t := w.t
		// Each end asks the other on the channel that the question came on.
		nested := func(ctx context.Context, m *pando.Message) (any, error) {
			var in numbered
			if err := m.Decode(&in); err != nil || in.N == 0 {
				return in, err
			}
			reply, err := m.Channel().Request(ctx, "nested", numbered{in.N - 1})
			if err != nil {
				return nil, err
			}
			return reply.Data, nil
		}
		s := w.newStage(func(a *node) { a.Handle("nested", nested) })
		victim := s.friend(s.agent, "victim", func(n *node) { n.Handle("nested", nested) })
		ch := victim.open(t, s.agent)
		start := time.Now()
		var wg sync.WaitGroup
		for range 2 { // 16 handlers may run at once at either end
			wg.Go(func() {
				if _, err := ch.Request(within(t, patience), "nested", numbered{15}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if took := time.Since(start); took != 0 {
			t.Errorf("they waited for %v", took)
		}
	})
}

func TestCloseInsideAHandlerDoesNotWaitForIt(t *testing.T) {
	t.Parallel()
	closed := make(chan error, 1)
	s := onStage(t, func(a *node) {
		a.Handle("close", func(ctx context.Context, m *pando.Message) (any, error) {
			closed <- m.Channel().Close(within(t, patience), "enough")
			return numbered{}, ctx.Err()
		})
	})
	victim := s.friend(s.agent, "victim", nil)
	ch := victim.open(t, s.agent)
	if _, err := ch.Request(within(t, patience), "close", nil); !errors.Is(err, pando.ErrClosed) && !errors.Is(err, pando.ErrOutcomeUnknown) {
		t.Fatalf("error = %v", err)
	}
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	<-ch.Done()
	if err := ch.Err(); !errors.Is(err, pando.ErrClosed) || !strings.Contains(err.Error(), "enough") {
		t.Errorf("the other end reads %v", err)
	}
}

func TestHandlerThatOutlivesItsChannelIsToldAndHarmless(t *testing.T) {
	t.Parallel()
	running, told := make(chan struct{}), make(chan error, 1)
	s := onStage(t, func(a *node) {
		a.Handle("wait", func(ctx context.Context, m *pando.Message) (any, error) {
			close(running)
			<-ctx.Done()
			_, err := m.Channel().Send(context.Background(), "late", nil)
			told <- err
			panic("after the end of the channel")
		})
	})
	c := s.rawOpen(s.stranger(s.agent), s.agent)
	c.message("wait", "")
	<-running
	_ = c.conn.Close()
	if err := <-told; !errors.Is(err, pando.ErrClosed) && !errors.Is(err, pando.ErrLost) {
		t.Errorf("error = %v", err)
	}
	s.agent.log.wait(t, "handler panicked", "channel", c.id, "peer", c.self)
}
