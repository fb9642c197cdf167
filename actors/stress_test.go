package actors

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pando-agents/pando/supervisor"
)

// order is a message that says what shall happen to the actor that gets it.
type order struct {
	what             int
	handled, notRun  atomic.Int32
	settled          *sync.WaitGroup
	unexpectedReason atomic.Pointer[error]
}

const (
	carryOn = iota
	panicNow
	exitNow
	stopNow
	orders
)

func (o *order) NotHandled(err error) {
	if !errors.Is(err, ErrNotRun) && !errors.Is(err, ErrStopped) {
		o.unexpectedReason.Store(&err)
	}
	o.notRun.Add(1)
	o.settled.Done()
}

type obedient struct{}

func (obedient) Receive(c *Context[*order], o *order) {
	switch o.what {
	case panicNow:
		panic("as told")
	case exitNow:
		runtime.Goexit()
	case stopNow:
		c.Stop(errors.New("as told"))
	}
	o.handled.Add(1)
	o.settled.Done()
}

// Supervised actors crash at random, are restarted and abandoned by their
// supervisor, and killed from outside, while many send to them.
func TestEveryMessageIsHandledOnceOrToldOnceWhateverHappens(t *testing.T) {
	t.Parallel()
	const actorCount, senders, each = 8, 4, 3000
	sys := NewSystem(SystemOptions{Logger: slog.New(slog.DiscardHandler)})
	defer sys.Close()
	processes := make([]*Process[*order], actorCount)
	specs := make([]supervisor.Spec, actorCount)
	for i := range processes {
		processes[i] = New(sys, Spec[*order]{Name: "obedient", Capacity: 32, New: func() Actor[*order] { return obedient{} }})
		specs[i] = supervisor.Spec{ID: fmt.Sprint(i), Process: processes[i]}
		if i%2 == 1 {
			specs[i].Shutdown = supervisor.Kill // a restart abandons
		}
	}
	tree := supervisor.New(supervisor.Options{
		Children: specs, Budget: supervisor.Budget{Failures: -1}, Logger: slog.New(slog.DiscardHandler),
		Backoff: supervisor.Backoff{Initial: time.Microsecond, Max: 10 * time.Microsecond},
	})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	served := make(chan error, 1)
	go func() { served <- tree.Serve(ctx) }()
	<-tree.Ready()

	var settled, sending sync.WaitGroup
	accepted := make([][]*order, senders)
	for s := range senders {
		sending.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(s), 7))
			for range each {
				o := &order{settled: &settled}
				if rnd.IntN(20) == 0 {
					o.what = 1 + rnd.IntN(orders-1)
				}
				settled.Add(1)
				if err := processes[rnd.IntN(actorCount)].Ref().Tell(ctx, o); err != nil {
					settled.Done() // refused: nothing may become of it
					o.settled = nil
				}
				accepted[s] = append(accepted[s], o)
			}
		})
	}
	sending.Go(func() {
		rnd := rand.New(rand.NewPCG(99, 7))
		for range 300 {
			i := rnd.IntN(actorCount)
			if rnd.IntN(2) == 0 {
				_ = tree.Restart(ctx, fmt.Sprint(i)) // it may be between two incarnations
			} else {
				processes[i].Kill(errors.New("killed"))
			}
		}
	})
	sending.Wait()
	settled.Wait() // hangs if a message was neither handled nor told
	stop()
	if err := <-served; err != nil {
		t.Errorf("serve: %v", err)
	}
	for _, sent := range accepted {
		for _, o := range sent {
			want := int32(1)
			if o.settled == nil {
				want = 0
			}
			if n := o.handled.Load() + o.notRun.Load(); n != want {
				t.Fatalf("a message was handled %d times and told %d times, want %d in all", o.handled.Load(), o.notRun.Load(), want)
			}
			if err := o.unexpectedReason.Load(); err != nil {
				t.Fatalf("a message was told %v", *err)
			}
		}
	}
	for len(tree.Snapshot().Abandoned) > 0 { // until the last has told its end
		runtime.Gosched()
	}
	awaitWorkers(sys.Dispatcher(), idleWorkers)
}

func TestSupervisedActorIsRestartedByItsSupervisorAndStoppedWithIt(t *testing.T) {
	t.Parallel()
	sys := NewSystem(SystemOptions{Logger: slog.New(slog.DiscardHandler)})
	defer sys.Close()
	generations := make(chan uint64, 4)
	p := New(sys, Spec[func()]{Name: "worker", New: func() Actor[func()] { return runner{generations} }})
	tree := supervisor.New(supervisor.Options{
		Children: []supervisor.Spec{{ID: "worker", Process: p}}, Logger: slog.New(slog.DiscardHandler),
	})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	served := make(chan error, 1)
	go func() { served <- tree.Serve(ctx) }()
	<-tree.Ready()
	if err := p.Ref().Tell(ctx, func() { panic("broken") }); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	if err := p.Ref().Tell(ctx, func() { close(done) }); err != nil {
		t.Fatal(err)
	}
	<-done
	if a, b := <-generations, <-generations; a != 1 || b != 2 {
		t.Fatalf("incarnations %d and %d, want 1 and 2", a, b)
	}
	stop()
	if err := <-served; err != nil {
		t.Fatal(err)
	}
	if err := p.Ref().Offer(func() {}); !errors.Is(err, ErrStopped) {
		t.Fatalf("offer = %v, want ErrStopped", err)
	}
}

// runner runs the functions that it is sent.
type runner struct{ generations chan uint64 }

func (w runner) Start(c *Context[func()]) error {
	w.generations <- c.Generation()
	return nil
}

func (w runner) Receive(_ *Context[func()], f func()) { f() }

func TestStartThatHangsIsListedAsAbandonedUntilItReturns(t *testing.T) {
	t.Parallel()
	sys := NewSystem(SystemOptions{Logger: slog.New(slog.DiscardHandler)})
	defer sys.Close()
	started, gate := make(chan struct{}), make(chan struct{})
	p := New(sys, Spec[any]{Name: "hangs", New: func() Actor[any] {
		return &probe{start: func(*Context[any]) error { close(started); <-gate; return nil }}
	}})
	tree := supervisor.New(supervisor.Options{
		Logger: slog.New(slog.DiscardHandler),
		AfterFunc: func(_ time.Duration, f func()) func() bool { // every deadline passes as soon as it hangs
			go func() { <-started; f() }()
			return func() bool { return false }
		},
	})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	served := make(chan error, 1)
	go func() { served <- tree.Serve(ctx) }()
	<-tree.Ready()
	events, cancel := tree.Subscribe(16)
	defer cancel()
	err := tree.StartChild(ctx, supervisor.Spec{
		ID: "hangs", Process: p, Restart: supervisor.Temporary,
	})
	if !errors.Is(err, supervisor.ErrStartTimeout) {
		t.Fatalf("start = %v, want ErrStartTimeout", err)
	}
	if n := len(tree.Snapshot().Abandoned); n != 1 {
		t.Fatalf("%d incarnations are listed as abandoned, want 1", n)
	}
	close(gate)
	for e := range events {
		if e.Kind == supervisor.Returned {
			break
		}
	}
	if n := len(tree.Snapshot().Abandoned); n != 0 {
		t.Fatalf("%d incarnations are listed as abandoned, want none", n)
	}
	stop()
	if err := <-served; err != nil {
		t.Fatal(err)
	}
}
