package pando_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pando-agents/pando"
)

// A peer of protocol 1.0 cannot come back: its channel ends with its connection,
// however that ends.
func TestConnectionThatEndsTakesOnlyItsChannelAlong(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(c *raw){
		"closed without a word": func(c *raw) { _ = c.conn.Close() },
		"half closed":           func(c *raw) { _ = c.conn.(*net.TCPConn).CloseWrite() },
		"reset": func(c *raw) {
			_ = c.conn.(*net.TCPConn).SetLinger(0)
			_ = c.conn.Close()
		},
		"cut within a frame": func(c *raw) {
			c.write(frame(0x80|opText, []byte(c.envelope(newID(), "count", "", c.self)))[:40])
			_ = c.conn.Close()
		},
		"closed with a code": func(c *raw) {
			c.write(frame(0x80|opClose, []byte{0x03, 0xE9}))
			c.wantEnd("1001")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			running, told := make(chan struct{}), make(chan error, 1)
			s := onStage(t, func(a *node) {
				a.Handle("wait", func(ctx context.Context, _ *pando.Message) (any, error) {
					close(running)
					<-ctx.Done()
					told <- ctx.Err()
					return nil, ctx.Err()
				})
			})
			c := s.rawOpen(s.stranger(s.agent), s.agent)
			there := s.agent.lookup(t, c.id)
			c.message("wait", "")
			<-running
			asked := make(chan error, 1)
			go func() {
				_, err := there.Request(within(t, patience), "question", nil)
				asked <- err
			}()
			if m := c.next(); m.Content.Type != "question" {
				t.Fatalf("%+v", m)
			}
			end(c)
			if err := <-asked; !errors.Is(err, pando.ErrOutcomeUnknown) && !errors.Is(err, pando.ErrLost) && !errors.Is(err, pando.ErrClosed) {
				t.Errorf("a request that waited: %v", err)
			}
			if err := <-told; err == nil {
				t.Error("the handler is not told")
			}
			<-there.Done()
			s.agent.log.wait(t, "channel closed", "channel", c.id, "peer", c.self)
		})
	}
}

// half runs f with a stage in virtual time and a channel of a Pando victim.
func withVictim(t *testing.T, setup func(agent *node), f func(s *stage, victim *node, ch *pando.Channel)) {
	t.Helper()
	inVirtualTime(t, func(w *world) {
		s := w.newStage(setup)
		victim := s.friend(s.agent, "victim", nil)
		f(s, victim, victim.open(w.t, s.agent))
	})
}

func TestHalfOpenConnectionIsFoundOutByPings(t *testing.T) {
	t.Parallel()
	withVictim(t, nil, func(s *stage, victim *node, ch *pando.Channel) {
		t := s.t
		there := s.agent.lookup(t, ch.ID())
		s.net.HalfOpen(victim.host)
		start := time.Now()
		eventuallyWithin(t, time.Minute, "the agent notices", func() bool { return there.State() == pando.StateReconnecting })
		if took := time.Since(start); took < 20*time.Second || took > 41*time.Second {
			t.Errorf("noticed after %v", took) // a ping after 20 s, its answer within 20 s
		}
		s.agent.log.wait(t, "channel lost its connection", "channel", ch.ID(), "peer", victim.ID(), "err", "ping")
		eventuallyWithin(t, time.Minute, "the channel is given up", func() bool { return there.Err() != nil })
		if err := there.Err(); !errors.Is(err, pando.ErrLost) || !strings.Contains(err.Error(), "did not come back") {
			t.Errorf("error = %v", err)
		}
		s.net.Heal(victim.host)
		// The victim comes back to an agent that has forgotten it, and gets a new session.
		if _, err := ch.Request(within(t, 5*time.Minute), "count", numbered{1}); err != nil {
			t.Errorf("after the outage: %v", err)
		}
		if ch.Info().Reopened == 0 {
			t.Error("it has not come back by itself")
		}
	})
}

func TestHalfOpenConnectionThatHealsInTimeIsTakenUpAgain(t *testing.T) {
	t.Parallel()
	withVictim(t, nil, func(s *stage, victim *node, ch *pando.Channel) {
		t := s.t
		there := s.agent.lookup(t, ch.ID())
		s.net.HalfOpen(victim.host)
		eventuallyWithin(t, time.Minute, "the agent notices", func() bool { return there.State() == pando.StateReconnecting })
		s.net.Heal(victim.host)
		for _, end := range []*pando.Channel{ch, there} {
			eventuallyWithin(t, time.Minute, "it is back", func() bool { return end.Info().Reopened >= 1 && end.State() == pando.StateConnected })
		}
		if _, err := ch.Request(within(t, patience), "count", numbered{1}); err != nil {
			t.Error(err)
		}
		if s.agent.lookup(t, ch.ID()) != there {
			t.Error("it is another channel")
		}
	})
}

func TestRequestUnderWayWhenTheConnectionBreaksHasAnUnknownOutcome(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	running, release := make(chan struct{}, 9), make(chan struct{})
	setup := func(a *node) {
		a.Handle("slow", func(context.Context, *pando.Message) (any, error) {
			calls.Add(1)
			running <- struct{}{}
			<-release
			return numbered{}, nil
		})
	}
	// The channels are for a bubble, so they are made in it.
	inVirtualTime(t, func(w *world) {
		t := w.t
		running, release = make(chan struct{}, 9), make(chan struct{})
		s := w.newStage(setup)
		victim := s.friend(s.agent, "victim", nil)
		ch := victim.open(t, s.agent)
		asked := make(chan error, 1)
		go func() {
			_, err := ch.Request(within(t, time.Minute), "slow", nil)
			asked <- err
		}()
		<-running
		s.net.Cut(victim.host)
		if err := <-asked; !errors.Is(err, pando.ErrOutcomeUnknown) {
			t.Errorf("error = %v", err)
		}
		close(release)
		if _, err := ch.Request(within(t, time.Minute), "count", numbered{1}); err != nil {
			t.Error(err)
		}
		if calls.Load() != 1 {
			t.Errorf("the request was carried out %d times", calls.Load())
		}
		victim.log.wait(t, "channel lost its connection", "channel", ch.ID(), "peer", s.agent.ID())
		s.agent.log.wait(t, "channel lost its connection", "channel", ch.ID(), "peer", victim.ID())
	})
}

func TestCallsThatWaitForAConnectionGoThroughAfterIt(t *testing.T) {
	t.Parallel()
	inVirtualTime(t, func(w *world) {
		t := w.t
		var mu sync.Mutex
		var got []int
		s := w.newStage(func(a *node) {
			a.Handle(pando.Event, func(_ context.Context, m *pando.Message) (any, error) {
				var in numbered
				err := m.Decode(&in)
				mu.Lock()
				defer mu.Unlock()
				got = append(got, in.N)
				return nil, err
			})
		})
		victim := s.friend(s.agent, "victim", nil)
		ch := victim.open(t, s.agent)
		s.net.Refuse(s.agent.addr, true)
		s.net.Cut(victim.host)
		eventually(t, "it is noticed", func() bool { return ch.State() == pando.StateReconnecting })
		var wg sync.WaitGroup
		for n := range 20 {
			wg.Go(func() {
				if _, err := ch.Send(within(t, 5*time.Minute), pando.Event, numbered{n}); err != nil {
					t.Errorf("send: %v", err)
				}
				if _, err := ch.Request(within(t, 5*time.Minute), "count", numbered{n}); err != nil {
					t.Errorf("request: %v", err)
				}
			})
		}
		_, err := ch.Request(within(t, 3*time.Second), "count", nil)
		if !errors.Is(err, pando.ErrTimeout) {
			t.Errorf("one without patience: %v", err)
		}
		s.net.Refuse(s.agent.addr, false)
		wg.Wait()
		eventually(t, "the events", func() bool { mu.Lock(); defer mu.Unlock(); return len(got) == 20 })
	})
}

func TestOutageThatLastsTooLongEndsTheChannel(t *testing.T) {
	t.Parallel()
	inVirtualTime(t, func(w *world) {
		t := w.t
		s := w.newStage(nil)
		victim := s.friend(s.agent, "victim", nil, pando.WithTimeouts(pando.Timeouts{Reconnect: time.Minute}))
		ch := victim.open(t, s.agent)
		waiting := make(chan error, 1)
		s.net.Refuse(s.agent.addr, true)
		s.net.Cut(victim.host)
		eventually(t, "it is noticed", func() bool { return ch.State() == pando.StateReconnecting })
		go func() {
			_, err := ch.Request(within(t, time.Hour), "count", nil)
			waiting <- err
		}()
		start := time.Now()
		if err := <-waiting; !errors.Is(err, pando.ErrLost) {
			t.Errorf("error = %v", err)
		}
		if took := time.Since(start); took > time.Minute+time.Second {
			t.Errorf("given up after %v", took)
		}
		victim.log.wait(t, "channel closed", "channel", ch.ID(), "peer", s.agent.ID(), "reason", "gave up")
		s.net.Refuse(s.agent.addr, false)
	})
}

func TestPeerThatIsCutOffAgainAndAgainLosesNoAnsweredWork(t *testing.T) {
	t.Parallel()
	withVictim(t, nil, func(s *stage, victim *node, ch *pando.Channel) {
		t := s.t
		for n := range 30 {
			done := make(chan error, 1)
			go func() {
				for {
					_, err := ch.Request(within(t, 10*time.Minute), "count", numbered{n})
					if errors.Is(err, pando.ErrOutcomeUnknown) {
						continue
					}
					done <- err
					return
				}
			}()
			s.net.Cut(victim.host)
			if err := <-done; err != nil {
				t.Fatalf("round %d: %v", n, err)
			}
		}
		if ch.Info().Restarts != 0 || s.agent.lookup(t, ch.ID()).Info().Restarts != 0 {
			t.Error("a broken connection counts as a crash")
		}
	})
}

// eventuallyWithin is eventually with more time, for virtual time.
func eventuallyWithin(t *testing.T, limit time.Duration, what string, holds func() bool) {
	t.Helper()
	if !poll(limit, holds) {
		t.Fatalf("it did not come to be: %s", what)
	}
}
