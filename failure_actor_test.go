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
	"testing/synctest"
	"time"

	"github.com/pando-agents/pando"
	"github.com/pando-agents/pando/actors/channel"
)

// endless lets an actor crash as often as a test wants.
var endless = pando.WithBudget(pando.Budget{Failures: -1})

// faults makes the actors of one peer's channels fail.
type faults struct {
	peer atomic.Pointer[string]
	do   func(ch *pando.Channel, p pando.FaultPoint)
}

func (f *faults) option() pando.Option {
	return pando.WithFaults(func(ch *pando.Channel, p pando.FaultPoint) {
		if peer := f.peer.Load(); peer != nil && *peer == ch.Peer() {
			f.do(ch, p)
		}
	})
}

func (f *faults) on(peer string) { f.peer.Store(&peer) }
func (f *faults) off()           { f.peer.Store(nil) }

func TestCrashedChannelActorKeepsItsConnectionAndItsWork(t *testing.T) {
	t.Parallel()
	running, release := make(chan struct{}), make(chan struct{})
	s := onStage(t, func(a *node) {
		a.Handle("slow", func(context.Context, *pando.Message) (any, error) {
			close(running)
			<-release
			return numbered{1}, nil
		})
	})
	victim := s.friend(s.agent, "victim", func(n *node) {
		n.Handle("count", func(context.Context, *pando.Message) (any, error) { return numbered{}, nil })
	})
	ch := victim.open(t, s.agent)
	there := s.agent.lookup(t, ch.ID())
	ctx := within(t, patience)
	answered := make(chan error, 1)
	go func() {
		_, err := ch.Request(ctx, "slow", nil)
		answered <- err
	}()
	<-running
	for _, end := range []*pando.Channel{ch, there} {
		if err := end.Crash("for the test"); err != nil {
			t.Fatal(err)
		}
		eventually(t, "a new incarnation", func() bool { return end.Info().Restarts == 1 })
	}
	close(release)
	if err := <-answered; err != nil {
		t.Errorf("the request that was under way: %v", err)
	}
	for _, end := range []*pando.Channel{ch, there} {
		if _, err := end.Request(ctx, "count", numbered{1}); err != nil {
			t.Error(err)
		}
		if i := end.Info(); i.Reopened != 0 || i.State != pando.StateConnected {
			t.Errorf("%+v", i)
		}
	}
	s.agent.log.wait(t, "channel actor restarted", "channel", ch.ID(), "peer", victim.ID(), "incarnation", "2")
	victim.log.wait(t, "channel actor restarted", "channel", ch.ID(), "peer", s.agent.ID(), "incarnation", "2")
	if rec := s.agent.log.wait(t, "child failed", "actor", ch.ID()); !strings.Contains(rec.attrs["err"], "for the test") {
		t.Errorf("the log does not say why: %v", rec)
	}
}

func TestInputThatAnActorHasCrashedOnDoesNotWaitForAnother(t *testing.T) {
	t.Parallel()
	for _, point := range []pando.FaultPoint{channel.FaultReceive, channel.FaultEffect} {
		t.Run(string(point), func(t *testing.T) {
			t.Parallel()
			inVirtualTime(t, func(w *world) {
				var crash atomic.Bool
				agent := w.newNode("agent", nil, pando.WithFaults(func(_ *pando.Channel, p pando.FaultPoint) {
					if p == point && crash.CompareAndSwap(true, false) {
						panic("crashed on purpose")
					}
				}))
				ch := w.friend(agent, "peer", nil).open(w.t, agent)
				synctest.Wait() // nothing else is under way
				crash.Store(true)
				begin := time.Now()
				if _, err := ch.Request(within(w.t, patience), pando.Request, nil); err != nil {
					w.t.Error(err)
				}
				if took := time.Since(begin); took > 0 || agent.lookup(w.t, ch.ID()).Info().Restarts != 1 {
					w.t.Errorf("the answer took %v", took)
				}
			})
		})
	}
}

// A crash between two steps of the actor loses no message, repeats none and
// leaves their order alone, whatever the actor was about to do.
func TestCrashesOfTheActorLoseNothing(t *testing.T) {
	t.Parallel()
	for _, point := range []pando.FaultPoint{channel.FaultReceive, channel.FaultEffect} {
		for _, kind := range []string{"panic", "goexit"} {
			t.Run(string(point)+" "+kind, func(t *testing.T) {
				t.Parallel()
				inVirtualTime(t, func(w *world) { crashEverySeventh(w, point, failures[kind]) })
			})
		}
	}
}

func crashEverySeventh(w *world, point pando.FaultPoint, fail func()) {
	t := w.t
	var n, crashes atomic.Int64
	f := faults{do: func(_ *pando.Channel, p pando.FaultPoint) {
		if p == point && n.Add(1)%7 == 0 {
			crashes.Add(1)
			fail()
		}
	}}
	var mu sync.Mutex
	var events []int
	s := w.newStage(func(a *node) {
		a.Handle(pando.Event, func(_ context.Context, m *pando.Message) (any, error) {
			var in numbered
			err := m.Decode(&in)
			mu.Lock()
			defer mu.Unlock()
			events = append(events, in.N)
			return nil, err
		})
	}, f.option(), endless)
	victim := s.friend(s.agent, "victim", nil)
	ch := victim.open(t, s.agent)
	f.on(victim.ID())
	ctx := within(t, 10*time.Minute)
	const all = 100
	for i := range all {
		if _, err := ch.Send(ctx, pando.Event, numbered{i}); err != nil {
			t.Fatal(err)
		}
		m, err := ch.Request(ctx, "count", numbered{i})
		if err != nil {
			t.Fatalf("request %d after %d crashes: %v", i, crashes.Load(), err)
		}
		var out numbered
		if err := m.Decode(&out); err != nil || out.N != i {
			t.Fatalf("request %d was answered %d, %v", i, out.N, err)
		}
	}
	f.off()
	eventually(t, "all events", func() bool { mu.Lock(); defer mu.Unlock(); return len(events) >= all })
	mu.Lock()
	defer mu.Unlock()
	for i, got := range events {
		if got != i {
			t.Fatalf("event %d came in place %d", got, i)
		}
	}
	there := s.agent.lookup(t, ch.ID()).Info()
	if crashes.Load() < 20 || there.Restarts < 20 || ch.Info().Reopened != 0 {
		t.Errorf("%d crashes: %+v", crashes.Load(), there)
	}
}

func TestPanicInsideTheSessionClosesTheChannelAsLost(t *testing.T) {
	t.Parallel()
	var once sync.Once
	f := faults{do: func(_ *pando.Channel, p pando.FaultPoint) {
		if p == channel.FaultStep {
			once.Do(func() { panic("a bug in the session") })
		}
	}}
	s := onStage(t, nil, f.option())
	c := s.rawOpen(s.stranger(s.agent), s.agent)
	there := s.agent.lookup(t, c.id)
	f.on(c.self)
	c.message("count", `{"n":1}`)
	c.wantEnd("1011 channel failed")
	<-there.Done()
	if err := there.Err(); !errors.Is(err, pando.ErrLost) || !strings.Contains(err.Error(), "middle of a step") {
		t.Errorf("error = %v", err)
	}
	s.agent.log.wait(t, "channel lost", "channel", c.id, "peer", c.self, "err", "middle of a step")
}

func TestChannelWhoseActorCrashesTooOftenIsGivenUp(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"panic", "goexit"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			f := faults{do: func(_ *pando.Channel, p pando.FaultPoint) {
				if p == channel.FaultReceive {
					failures[kind]()
				}
			}}
			s := onStage(t, nil, f.option(), pando.WithBudget(pando.Budget{Failures: 1, Within: time.Minute}))
			c := s.rawOpen(s.stranger(s.agent), s.agent)
			there := s.agent.lookup(t, c.id)
			f.on(c.self)
			for range 20 {
				c.message("count", `{"n":1}`)
			}
			c.wantEnd("1011 channel failed")
			<-there.Done()
			if err := there.Err(); !errors.Is(err, pando.ErrLost) || !strings.Contains(err.Error(), "restart budget exceeded") {
				t.Errorf("error = %v", err)
			}
			s.agent.log.wait(t, "channel lost", "channel", c.id, "peer", c.self, "err", "restart budget exceeded")
			s.agent.log.wait(t, "child gave up", "actor", c.id)
		})
	}
}

func TestDialledChannelThatIsGivenUpTellsItsCallers(t *testing.T) {
	t.Parallel()
	s := onStage(t, func(a *node) {
		a.Handle("never", func(ctx context.Context, _ *pando.Message) (any, error) { <-ctx.Done(); return nil, ctx.Err() })
	}, pando.WithTimeouts(pando.Timeouts{Wait: 50 * time.Millisecond}))
	f := faults{do: func(_ *pando.Channel, p pando.FaultPoint) {
		if p == channel.FaultReceive {
			panic("every time")
		}
	}}
	victim := s.friend(s.agent, "victim", nil, f.option(), pando.WithBudget(pando.Budget{Failures: 1, Within: time.Minute}))
	ch := victim.open(t, s.agent)
	there := s.agent.lookup(t, ch.ID())
	waiting := make(chan error, 1)
	go func() {
		_, err := ch.Request(within(t, patience), "never", nil)
		waiting <- err
	}()
	eventually(t, "the request is there", func() bool { return there.Info().Running == 1 })
	f.on(s.agent.ID())
	for range 2 {
		_, _ = ch.Send(within(t, patience), "tick", nil)
	}
	if err := <-waiting; !errors.Is(err, pando.ErrLost) || !strings.Contains(err.Error(), "restart budget exceeded") {
		t.Errorf("the caller reads %v", err)
	}
	<-there.Done()
	if err := there.Err(); err == nil || !strings.Contains(err.Error(), "channel failed") {
		t.Errorf("the other end reads %v", err)
	}
}

func TestChannelActorThatHangsIsReplacedByAReason(t *testing.T) {
	t.Parallel()
	inVirtualTime(t, func(w *world) {
		t := w.t
		release := make(chan struct{})
		hanging := make(chan struct{})
		var once sync.Once
		f := faults{do: func(_ *pando.Channel, p pando.FaultPoint) {
			if p == channel.FaultReceive {
				once.Do(func() { close(hanging) })
				<-release
			}
		}}
		s := w.newStage(nil, f.option())
		c := s.rawOpen(s.stranger(s.agent), s.agent)
		there := s.agent.lookup(t, c.id)
		f.on(c.self)
		c.message("count", `{"n":1}`)
		<-hanging
		start := time.Now()
		c.patience = 5 * time.Minute
		c.wantEnd("1011 channel failed")
		<-there.Done()
		// The next tick comes within the interval of pings; it may stay unanswered for 15 s.
		if took := time.Since(start); took > 36*time.Second {
			t.Errorf("it took %v", took)
		}
		if err := there.Err(); !errors.Is(err, pando.ErrLost) || !strings.Contains(err.Error(), "hangs") {
			t.Errorf("error = %v", err)
		}
		s.agent.log.wait(t, "channel lost", "channel", c.id, "peer", c.self, "err", "hangs")
		close(release) // what hung comes back to find itself replaced
		f.off()
	})
}

func TestRegistryActorThatIsKilledIsNotMissed(t *testing.T) {
	t.Parallel()
	s := onStage(t, nil)
	victim := s.friend(s.agent, "victim", nil)
	ch := victim.open(t, s.agent)
	for i := range 3 { // as many as the agent bears at a time
		if err := s.agent.CrashRegistry(); err != nil {
			t.Fatal(err)
		}
		s.agent.log.wait(t, "child started", "actor", "registry", "incarnation", fmt.Sprint(i+2))
	}
	if there := s.agent.lookup(t, ch.ID()); there.Info().Restarts != 0 || ch.Info().Reopened != 0 {
		t.Errorf("a channel noticed: %+v", there.Info())
	}
	with, err := s.agent.ChannelsWith(within(t, patience), victim.ID())
	if err != nil || len(with) != 1 {
		t.Errorf("%v, %v", with, err)
	}
	if _, err := ch.Request(within(t, patience), "count", numbered{1}); err != nil {
		t.Error(err)
	}
	s.agent.log.wait(t, "child failed", "actor", "registry", "err", "told to crash")
}

func TestRegistryCrashDuringOpensFailsNone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	agent := w.newNode("agent", nil)
	dialler := w.friend(agent, "dialler", nil)
	var wg sync.WaitGroup
	opened := make(chan *pando.Channel, 50)
	for i := range 50 {
		wg.Go(func() {
			ch, err := dialler.Open(within(t, patience), agent.ID(), fmt.Sprintf("%s?%d", agent.url, i))
			if err != nil {
				t.Error(err)
				return
			}
			opened <- ch
		})
		if i%20 == 10 { // 10 and 30: both ends, twice
			_ = dialler.CrashRegistry()
			_ = agent.CrashRegistry()
		}
	}
	wg.Wait()
	close(opened)
	for ch := range opened {
		if _, err := ch.Request(within(t, patience), pando.Request, nil); err != nil {
			t.Error(err)
		}
		agent.lookup(t, ch.ID())
		dialler.lookup(t, ch.ID())
	}
	for _, n := range []*node{agent, dialler} {
		n.log.wait(t, "child failed", "actor", "registry")
	}
}

func TestRegistryThatCrashesTooOftenEndsTheAgentWithAnError(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	agent := w.newNode("agent", nil)
	victim := w.friend(agent, "victim", nil)
	ch := victim.open(t, agent)
	for range 4 {
		_ = agent.CrashRegistry()
		eventually(t, "the crash is noticed", func() bool {
			select {
			case <-agent.ended:
				return true
			default:
				return agent.CrashRegistry() == nil
			}
		})
	}
	<-agent.ended
	if agent.err == nil || !strings.Contains(agent.err.Error(), "registry") {
		t.Errorf("run returned %v", agent.err)
	}
	agent.err = nil // it was meant to
	eventually(t, "the other end knows", func() bool { return ch.State() != pando.StateConnected })
	if _, err := agent.Open(within(t, patience), victim.ID(), victim.url); !errors.Is(err, pando.ErrShuttingDown) {
		t.Errorf("open on a dead agent: %v", err)
	}
}

func TestOpensAtTheSameTimeShareOneChannel(t *testing.T) {
	t.Parallel()
	s := onStage(t, nil)
	dialler := s.friend(s.agent, "dialler", nil)
	var wg sync.WaitGroup
	ids := make(chan string, 50)
	for range 50 {
		wg.Go(func() { ids <- dialler.open(t, s.agent).ID() })
	}
	wg.Wait()
	close(ids)
	distinct := map[string]bool{}
	for id := range ids {
		distinct[id] = true
	}
	if with, _ := s.agent.ChannelsWith(within(t, patience), dialler.ID()); len(distinct) != 1 || len(with) != 1 {
		t.Errorf("%d channels here, %d there", len(distinct), len(with))
	}
}

// A handler may end the goroutine it runs on; the runners are not used up.
func TestRunnersSurviveHandlersThatExit(t *testing.T) {
	t.Parallel()
	s := onStage(t, func(a *node) {
		a.Handle("exit", func(context.Context, *pando.Message) (any, error) { runtime.Goexit(); return nil, nil })
	})
	ch := s.friend(s.agent, "victim", nil).open(t, s.agent)
	var wg sync.WaitGroup
	for range 200 { // more than 16 at once, and than there are runners
		wg.Go(func() {
			if _, err := ch.Request(within(t, patience), "exit", nil); !errors.Is(err, &pando.RemoteError{Code: "handler_failed"}) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if i := s.agent.lookup(t, ch.ID()).Info(); i.Panics != 200 || i.Running != 0 || i.Restarts != 0 {
		t.Errorf("%+v", i)
	}
}
