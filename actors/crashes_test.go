package actors

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pando-agents/pando/supervisor"
)

// crashed is inside all that goes wrong on purpose, but for Goexit: the number of
// the crash.
type crashed int64

func (crashed) Error() string { return "crash on purpose" }

// A thousand actors and services under supervisors of all kinds crash at random,
// in real time, while messages flow: for some seconds, or for five minutes.
//
// Not parallel: it measures the heap, and looks for goroutines.
func TestThousandActorsAndServicesCrashInRealTimeAndNothingIsLost(t *testing.T) {
	before := goleak.IgnoreCurrent()
	warm, length := nightly(1500*time.Millisecond, time.Minute), nightly(3*time.Second, 5*time.Minute)
	w := plant(t, nightly(time.Second/3, 5*time.Second))
	w.crashFor(t, warm)
	first, goroutines := heap(), runtime.NumGoroutine()
	w.crashFor(t, length-warm)
	last := heap()
	t.Logf("heap %d KiB after %v, %d KiB after %v, goroutines %d and %d", first>>10, warm, last>>10, length,
		goroutines, runtime.NumGoroutine())
	if grown := last - first; grown > 1<<20 {
		t.Errorf("heap grown by %d bytes", grown)
	}
	snap := w.root.Snapshot()
	w.stop(t)
	w.checkBooks(t, snap)
	goleak.VerifyNone(t, before)
}

// wood is a tree of supervisors with a thousand leaves.
type wood struct {
	sys     *System
	root    *supervisor.Supervisor
	cancel  context.CancelFunc
	served  chan error
	life    time.Duration // of an incarnation, on average
	calm    atomic.Bool   // nobody is to crash
	actors  []Ref[any]
	leaves  []leafState
	books   books
	over    chan struct{} // nobody is to send any more
	sending sync.WaitGroup

	crashes, exits          atomic.Int64 // on purpose
	accepted, handled, lost atomic.Int64 // messages
	refused                 atomic.Int64
}

// leafState asks a leaf whether it is there.
type leafState func(ctx context.Context) error

func plant(t *testing.T, life time.Duration) *wood {
	t.Helper()
	w := &wood{life: life, served: make(chan error, 1), over: make(chan struct{})}
	w.calm.Store(true)
	w.sys = NewSystem(SystemOptions{Logger: discarded})
	random := rand.New(rand.NewPCG(1, 13))
	root := restless()
	late := map[*supervisor.Supervisor][]supervisor.Spec{} // children that come when it is served
	for len(w.leaves) < 1000 {
		o, size := restless(), 5
		if o.Strategy = supervisor.Strategy(random.IntN(4)); o.Strategy == supervisor.OneForOne || o.Strategy == supervisor.Dynamic {
			size = 20 // the other groups are brought down for one
		}
		for range min(size, 1000-len(w.leaves)) {
			o.Children = append(o.Children, w.leaf(random.IntN(2) == 0))
		}
		children := o.Children
		if o.Strategy == supervisor.Dynamic {
			o.Children = nil
		} else if random.IntN(3) == 0 { // failures go up, and the group comes back as a whole
			o.Budget = supervisor.Budget{Failures: 8, Within: w.life / 5}
		}
		group := supervisor.New(o)
		if o.Strategy == supervisor.Dynamic {
			late[group] = children
		}
		root.Children = append(root.Children, supervisor.Spec{ID: fmt.Sprint("group-", len(root.Children)), Service: group})
	}
	w.root = supervisor.New(root)
	w.serve(t)
	for group, children := range late {
		for _, spec := range children {
			if err := group.StartChild(t.Context(), spec); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 4 {
		w.sending.Go(w.send)
	}
	return w
}

var discarded = slog.New(slog.DiscardHandler)

// restless are the options of a supervisor that restarts without end.
func restless() supervisor.Options {
	return supervisor.Options{
		Logger: discarded, Budget: supervisor.Budget{Failures: -1},
		Backoff: supervisor.Backoff{Initial: time.Millisecond, Max: 20 * time.Millisecond},
	}
}

func (w *wood) serve(t *testing.T) {
	events, unsubscribe := w.root.Subscribe(1 << 16)
	w.books.start(events, unsubscribe)
	ctx, cancel := context.WithCancel(t.Context())
	w.cancel = cancel
	ready := w.root.Ready()
	go func() { w.served <- w.root.Serve(ctx) }()
	select {
	case <-ready:
	case err := <-w.served:
		t.Fatal(err)
	}
}

func (w *wood) leaf(actor bool) supervisor.Spec {
	spec := supervisor.Spec{ID: fmt.Sprint("leaf-", len(w.leaves)), Shutdown: time.Minute}
	if !actor {
		asks := make(chan chan struct{})
		spec.New = func() supervisor.Service {
			w.fail(200)
			return supervisor.ServiceFunc(func(ctx context.Context) error { return w.live(ctx, asks) })
		}
		w.leaves = append(w.leaves, func(ctx context.Context) error {
			answer := make(chan struct{}, 1)
			select {
			case asks <- answer:
				<-answer
				return nil
			case <-ctx.Done():
				return fmt.Errorf("%s: %w", spec.ID, ctx.Err())
			}
		})
		return spec
	}
	p := New(w.sys, Spec[any]{Name: spec.ID, Capacity: 64, New: func() Actor[any] {
		w.fail(200)
		return &crasher{w}
	}})
	spec.Process = p
	w.actors = append(w.actors, p.Ref())
	w.leaves = append(w.leaves, func(ctx context.Context) error {
		for {
			_, err := Ask(ctx, p.Ref(), func(r Reply[int]) any { return presence{r} })
			if err == nil || ctx.Err() != nil {
				return err
			}
		}
	})
	return spec
}

// span is how long a life lasts.
func (w *wood) span() time.Duration { return time.Duration(rand.Int64N(2 * int64(w.life))) }

// fail panics, once in n times.
func (w *wood) fail(n int) {
	if !w.calm.Load() && rand.IntN(n) == 0 {
		panic(crashed(w.crashes.Add(1)))
	}
}

// crash fails in one of all ways, the last of which is returning an error.
func (w *wood) crash() error {
	switch rand.IntN(3) {
	case 0:
		w.fail(1)
	case 1:
		if !w.calm.Load() {
			w.exits.Add(1)
			runtime.Goexit()
		}
	case 2:
		if !w.calm.Load() {
			return crashed(w.crashes.Add(1))
		}
	}
	return nil
}

// live is the life of a service.
func (w *wood) live(ctx context.Context, asks <-chan chan struct{}) error {
	timer := time.NewTimer(w.span())
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case answer := <-asks:
			answer <- struct{}{}
		case <-timer.C:
			if err := w.crash(); err != nil {
				return err
			}
			timer.Reset(w.span())
		}
	}
}

// crasher is the actor.
type crasher struct{ w *wood }

type (
	presence struct{ Reply[int] }
	timeUp   struct{}
	parcel   struct{ w *wood }
)

func (p parcel) NotHandled(error) { p.w.lost.Add(1) }

func (a *crasher) Start(c *Context[any]) error {
	a.w.fail(200)
	c.After(a.w.span(), timeUp{})
	return nil
}

func (a *crasher) Receive(c *Context[any], m any) {
	switch m := m.(type) {
	case presence:
		m.Send(0)
	case parcel:
		a.w.handled.Add(1)
	case timeUp:
		if err := a.w.crash(); err != nil {
			c.Stop(err)
			return
		}
		c.After(a.w.span(), timeUp{})
	}
}

// send has messages flow until the tree stops.
func (w *wood) send() {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-w.over:
			return
		case <-tick.C:
		}
		if w.calm.Load() {
			continue
		}
		if err := w.actors[rand.IntN(len(w.actors))].Offer(parcel{w}); err != nil {
			w.refused.Add(1)
		} else {
			w.accepted.Add(1)
		}
	}
}

// crashFor lets everything crash, and returns when all are there again.
func (w *wood) crashFor(t *testing.T, d time.Duration) {
	t.Helper()
	w.calm.Store(false)
	<-time.NewTimer(d).C
	w.calm.Store(true)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, there := range w.leaves {
		if err := there(ctx); err != nil {
			t.Fatalf("a child is lost: %v", err)
		}
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func (w *wood) stop(t *testing.T) {
	t.Helper()
	close(w.over)
	w.sending.Wait()
	w.cancel()
	if err := <-w.served; err != nil {
		t.Errorf("Serve has returned %v", err)
	}
	w.books.close()
	w.sys.Close()
}
