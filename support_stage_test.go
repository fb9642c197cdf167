package pando_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/pando-agents/pando"
)

// stage is where a failure is played: an agent under test, and a witness, whose
// channel with it must not notice anything.
type stage struct {
	*world
	agent   *node
	witness *witness
}

// newStage sets the stage. When the test ends, after what it has set up itself
// is gone, the agent must be as it was.
func (w *world) newStage(setup func(agent *node), opts ...pando.Option) *stage {
	w.t.Helper()
	s := &stage{world: w, witness: &witness{t: w.t, virtual: w.net != nil}}
	s.agent = w.newNode("agent", func(n *node) {
		s.witness.prepare(n)
		if setup != nil {
			setup(n)
		}
	}, opts...)
	s.witness.begin(w, s.agent)
	w.t.Cleanup(s.verify)
	return s
}

// onStage is a stage on real sockets.
func onStage(t *testing.T, setup func(agent *node), opts ...pando.Option) *stage {
	t.Helper()
	return newWorld(t).newStage(setup, opts...)
}

// verify checks that nothing fell over.
func (s *stage) verify() {
	if s.t.Failed() {
		s.witness.stop()
		s.t.Logf("log of the agent:\n%s", s.agent.log.tail())
		return
	}
	select {
	case <-s.agent.ended:
		s.t.Errorf("the agent is dead: %v", s.agent.err)
		return
	default:
	}
	s.newChannelWorks()
	s.witness.check(s.agent)
	ctx := within(s.t, patience)
	alone := func() bool {
		list, err := s.agent.Channels(ctx)
		return err == nil && len(list) == 1 && list[0].ID() == s.witness.ch.ID()
	}
	if !poll(patience, alone) {
		list, err := s.agent.Channels(ctx)
		for _, ch := range list {
			s.t.Errorf("channel left: %+v", ch.Info())
		}
		s.t.Errorf("the agent has other channels than the witness's: %d, %v", len(list), err)
	}
	if s.net != nil {
		return
	}
	_, port, _ := net.SplitHostPort(s.agent.addr)
	ports := map[string]bool{port: true}
	// The listener, and the two ends of the witness's connection.
	if !poll(patience, func() bool { n := sockets(ports); return n == 3 || n == 0 }) {
		s.t.Errorf("%d sockets are open, want 3", sockets(ports))
	}
	if !poll(patience, func() bool { return len(goroutines(s.t.Name(), "transport.(*Conn)")) == 2 }) {
		for _, stack := range goroutines(s.t.Name(), "transport.(*Conn)") {
			s.t.Errorf("goroutine of a connection:\n%s", stack)
		}
	}
	s.witness.stop()
}

// newChannelWorks opens another channel to the agent and uses it.
func (s *stage) newChannelWorks() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	// The same URL would be the same channel.
	ch, err := s.witness.node.Open(ctx, s.agent.ID(), s.agent.url+"?another")
	if err != nil {
		s.t.Errorf("open a new channel: %v\n%s", err, s.agent.log.tail())
		return
	}
	if _, err := ch.Request(ctx, "count", numbered{1}); err != nil {
		s.t.Errorf("request on a new channel: %v", err)
	}
	if err := ch.Close(ctx, "it works"); err != nil {
		s.t.Errorf("close a new channel: %v", err)
	}
}

type numbered struct {
	N int `json:"n"`
}

// witness exchanges numbered messages with the agent all the time: requests one
// after the other, and messages that are sent and come back on their own.
type witness struct {
	t       *testing.T
	virtual bool
	node    *node
	ch      *pando.Channel
	quit    context.CancelFunc
	done    chan struct{}

	mu           sync.Mutex
	ticks, tocks []int // as they arrived at the agent, and back at the witness
	sent         int
	slowest      time.Duration
	err          error
}

// prepare registers what the witness needs at the agent.
func (w *witness) prepare(agent *node) {
	agent.Handle("count", func(_ context.Context, m *pando.Message) (any, error) {
		var in numbered
		err := m.Decode(&in)
		return in, err
	})
	agent.Handle("tick", func(ctx context.Context, m *pando.Message) (any, error) {
		w.note(&w.ticks, m)
		return nil, ignore(m.Channel().Send(ctx, "tock", m.Data))
	}, pando.Ordered())
}

func ignore(_ string, err error) error { return err }

func (w *witness) note(list *[]int, m *pando.Message) {
	var in numbered
	_ = json.Unmarshal(m.Data, &in)
	w.mu.Lock()
	defer w.mu.Unlock()
	*list = append(*list, in.N)
}

// begin opens the channel and starts to talk.
func (w *witness) begin(world *world, agent *node) {
	w.node = world.friend(agent, "witness", func(n *node) {
		n.Handle("tock", func(_ context.Context, m *pando.Message) (any, error) {
			w.note(&w.tocks, m)
			return nil, nil
		}, pando.Ordered())
	})
	w.ch = w.node.open(w.t, agent)
	ctx, cancel := context.WithCancel(context.Background())
	w.quit, w.done = cancel, make(chan struct{})
	go w.talk(ctx)
	world.t.Cleanup(w.stop) // if the test does not get to the end
}

// lateAfter is what no reply of the agent may take on real sockets, on a
// machine that has much else to do. In virtual time it is nothing at all.
const lateAfter = 4 * time.Second

func (w *witness) talk(ctx context.Context) {
	defer close(w.done)
	pace := 10 * time.Millisecond
	if w.virtual {
		pace = 100 * time.Millisecond
	}
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for n := 1; ctx.Err() == nil; n++ {
		if err := w.round(n); err != nil {
			w.mu.Lock()
			w.err = fmt.Errorf("round %d: %w", n, err)
			w.mu.Unlock()
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

func (w *witness) round(n int) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := w.ch.Send(ctx, "tick", numbered{n}); err != nil {
		return err
	}
	w.mu.Lock()
	w.sent = n
	w.mu.Unlock()
	start := time.Now()
	m, err := w.ch.Request(ctx, "count", numbered{n})
	took := time.Since(start)
	if err != nil {
		return err
	}
	var out numbered
	if err := m.Decode(&out); err != nil || out.N != n {
		return errors.Join(err, fmt.Errorf("the answer was to %d", out.N))
	}
	w.mu.Lock()
	w.slowest = max(w.slowest, took)
	w.mu.Unlock()
	return nil
}

func (w *witness) stop() {
	w.quit()
	<-w.done
}

func (w *witness) rounds() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sent
}

func (w *witness) failed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err != nil
}

// check ends the talk and looks at what became of it.
func (w *witness) check(agent *node) {
	after := w.rounds() + 20 // it goes on after the failure
	poll(patience, func() bool { return w.rounds() >= after || w.failed() })
	w.stop()
	if w.err != nil {
		w.t.Errorf("witness: %v", w.err)
		return
	}
	all := func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.ticks) >= w.sent && len(w.tocks) >= w.sent
	}
	if !poll(patience, all) {
		w.t.Errorf("witness sent %d messages, %d arrived and %d came back", w.sent, len(w.ticks), len(w.tocks))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, list := range [][]int{w.ticks, w.tocks} {
		for i, n := range list {
			if n != i+1 {
				w.t.Errorf("message %d of the witness came in place %d", n, i+1)
				break
			}
		}
	}
	if limit := map[bool]time.Duration{false: lateAfter}[w.virtual]; w.slowest > limit {
		w.t.Errorf("a reply to the witness took %v", w.slowest)
	}
	for _, ch := range []*pando.Channel{w.ch, agent.lookup(w.t, w.ch.ID())} {
		if i := ch.Info(); i.Reopened != 0 || i.Restarts != 0 || i.Dropped != 0 || i.State != pando.StateConnected {
			w.t.Errorf("the witness's channel did not stay as it was: %+v", i)
		}
	}
}
