package supervisor

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// nightly chooses between the size of a test in every run and that in make nightly.
func nightly(normal, night int) int {
	if os.Getenv("PANDO_NIGHTLY") == "1" {
		return night
	}
	return normal
}

// Trees are made at random, live for ten minutes of virtual time in which everything fails in every way, and are
// stopped. Meanwhile and afterwards the promises of the package are checked. A failure names the seed of its tree.
func TestRandomTreesKeepTheirPromises(t *testing.T) {
	t.Parallel()
	const shards = 4
	for shard := range shards {
		t.Run(fmt.Sprint(shard), func(t *testing.T) {
			t.Parallel()
			for seed := shard; seed < nightly(500, 10_000) && !t.Failed(); seed += shards {
				synctest.Test(t, func(t *testing.T) { growTree(t, uint64(seed)) })
			}
		})
	}
}

// A forest is one tree and what is known about it.
type forest struct {
	t       *testing.T
	seed    uint64
	root    *node
	tree    *Supervisor
	release chan struct{} // closed at the end, for those that hang

	mu     sync.Mutex
	random *rand.Rand
	nodes  int
	events []Event
}

// A node is a child, a supervisor or a leaf, through all of its incarnations.
type node struct {
	f          *forest
	id         string
	parent     *node
	index      int // among its siblings
	kids       []*node
	strategy   Strategy
	budget     Budget
	perChild   bool
	spec       Spec
	auto       AutoShutdown
	supervises bool
	living     map[*leaf]bool // guarded by the forest
}

func growTree(t *testing.T, seed uint64) {
	f := &forest{t: t, seed: seed, release: make(chan struct{}), random: rand.New(rand.NewPCG(seed, 5))}
	f.root = f.node(nil, 0)
	f.tree = f.root.supervisor()
	events, cancel := f.tree.Subscribe(4096)
	var collected sync.WaitGroup
	collected.Go(func() {
		for e := range events {
			f.mu.Lock()
			f.events = append(f.events, e)
			f.mu.Unlock()
		}
	})
	ctx, stop := context.WithCancelCause(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- f.root.serve(ctx, f.tree) }()
	var err error
	select {
	case err = <-ended:
	case <-time.After(10 * time.Minute):
		stop(nil)
		err = <-ended
	}
	stop(nil)
	synctest.Wait()
	f.checkStopped()
	close(f.release)
	later(time.Minute)
	if left := f.tree.Snapshot().Abandoned; len(left) > 0 {
		f.fail("abandoned ones are listed after their end: %+v", left)
	}
	cancel()
	collected.Wait()
	f.checkEvents(err)
}

func (f *forest) fail(format string, args ...any) {
	f.t.Errorf("seed %d: %s", f.seed, fmt.Sprintf(format, args...))
}

// chance reports true once in n times. All that is random is drawn under the lock.
func (f *forest) chance(n int) bool { return f.pick(n) == 0 }

func (f *forest) pick(n int) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.random.IntN(n)
}

func (f *forest) node(parent *node, depth int) *node {
	n := &node{f: f, parent: parent, id: fmt.Sprint("n", f.nodes), living: map[*leaf]bool{}}
	f.nodes++
	n.supervises = depth == 0 || depth < 3 && f.chance(3)
	n.spec = Spec{ID: n.id, Restart: []Restart{Permanent, Permanent, Transient, Temporary}[f.pick(4)]}
	if n.spec.Restart != Permanent {
		n.spec.Significant = parent != nil && parent.auto != Never && f.chance(2)
	}
	if !n.supervises {
		n.spec.Shutdown = []time.Duration{0, time.Second, 2 * time.Second, Kill}[f.pick(4)]
		n.spec.StartTimeout = []time.Duration{0, time.Second}[f.pick(2)]
		switch f.pick(3) {
		case 0:
			n.spec.Process = &actorLeaf{}
		case 1:
			n.spec.Service = ServiceFunc(func(ctx context.Context) error { return n.leaf().live(ctx, nil) })
		case 2:
			n.spec.New = n.fresh
		}
		return n
	}
	n.strategy = Strategy(f.pick(4))
	n.auto = []AutoShutdown{Never, Never, AnySignificant, AllSignificant}[f.pick(4)]
	n.budget = Budget{Failures: []int{1, 3, 3, 10}[f.pick(4)], Within: 5 * time.Second}
	if depth == 0 {
		n.budget.Failures = 50
	}
	n.perChild = (n.strategy == OneForOne || n.strategy == Dynamic) && f.chance(3)
	n.spec.New = func() Service { return &branch{n.supervisor(), n} }
	for i := range 1 + f.pick(4) {
		kid := f.node(n, depth+1)
		kid.index = i
		n.kids = append(n.kids, kid)
	}
	return n
}

// child returns the spec for one life of the supervisor.
func (n *node) child() Spec {
	spec := n.spec
	if spec.Process != nil {
		spec.Process = &actorLeaf{n: n, stops: map[uint64]context.CancelCauseFunc{}}
		if n.f.chance(2) {
			spec.Process = prompt{Process: spec.Process}
		}
	}
	return spec
}

func (n *node) supervisor() *Supervisor {
	o := Options{
		Name: n.id, Strategy: n.strategy, Budget: n.budget, BudgetPerChild: n.perChild, AutoShutdown: n.auto,
		Logger: discard(), Rand: func() float64 { return float64(n.f.pick(1000)) / 1000 },
	}
	if n.strategy != Dynamic {
		for _, kid := range n.kids {
			o.Children = append(o.Children, kid.child())
		}
	}
	return New(o)
}

// A branch is a supervisor as a child.
type branch struct {
	*Supervisor
	n *node
}

func (b *branch) Serve(ctx context.Context) error { return b.n.serve(ctx, b.Supervisor) }

// serve serves the supervisor, and gives it its children if it is a dynamic one.
func (n *node) serve(ctx context.Context, s *Supervisor) error {
	if n.strategy == Dynamic {
		go func() {
			select {
			case <-s.Ready():
			case <-ctx.Done():
			}
			for _, kid := range n.kids {
				if s.StartChild(ctx, kid.child()) != nil && ctx.Err() != nil {
					return
				}
			}
		}()
	}
	return s.Serve(ctx)
}

// A leaf is one incarnation of a child that is no supervisor.
type leaf struct{ n *node }

func (n *node) fresh() Service {
	if n.f.chance(50) {
		panic("no")
	}
	return &serviceLeaf{n: n, ready: make(chan struct{})}
}

type serviceLeaf struct {
	n     *node
	ready chan struct{}
}

func (s *serviceLeaf) Ready() <-chan struct{} { return s.ready }

func (s *serviceLeaf) Serve(ctx context.Context) error { return s.n.leaf().live(ctx, s.ready) }

// leaf notes that an incarnation begins to live.
func (n *node) leaf() *leaf {
	l := &leaf{n: n}
	f := n.f
	f.mu.Lock()
	beside := len(n.living) > 0
	f.mu.Unlock()
	if beside { // somebody else has not ended: he has to be known as abandoned
		n.checkFenced()
	}
	// A service without readiness may begin when others have been started already.
	if g := n.parent.strategy; n.spec.Service == nil && (g == OneForAll || g == RestForOne) {
		n.checkLaterOnesAreGone("started")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	n.living[l] = true
	return l
}

func (l *leaf) end() {
	l.n.f.mu.Lock()
	defer l.n.f.mu.Unlock()
	delete(l.n.living, l)
}

// checkFenced checks that all incarnations of n that live were abandoned.
func (n *node) checkFenced() {
	listed := 0
	for _, lost := range n.f.tree.Snapshot().Abandoned {
		if lost.ID == n.id {
			listed++
		}
	}
	n.f.mu.Lock()
	defer n.f.mu.Unlock()
	if len(n.living) > listed {
		n.f.fail("%s: %d incarnations live, %d are abandoned", n.id, len(n.living), listed)
	}
}

// checkLaterOnesAreGone checks that what was started after n has stopped, or was abandoned.
func (n *node) checkLaterOnesAreGone(what string) {
	for _, later := range n.parent.kids[n.index+1:] {
		for _, l := range later.leaves() {
			n.f.mu.Lock()
			lives := len(l.living) > 0
			n.f.mu.Unlock()
			if lives {
				n.f.t.Helper()
				before := n.f.t.Failed()
				if l.checkFenced(); n.f.t.Failed() && !before {
					n.f.fail("%s was %s while %s lived", n.id, what, l.id)
				}
			}
		}
	}
}

func (n *node) leaves() (all []*node) {
	if !n.supervises {
		return []*node{n}
	}
	for _, kid := range n.kids {
		all = append(all, kid.leaves()...)
	}
	return all
}

// live is a life that ends in one of all ways. It closes ready, if there is one, when it is up.
func (l *leaf) live(ctx context.Context, ready chan struct{}) error {
	defer l.end()
	if up, err := l.begin(ctx, ready != nil); !up {
		return err
	}
	if ready != nil {
		close(ready)
	}
	select {
	case <-ctx.Done():
		return l.stop(context.Cause(ctx))
	case <-l.lifetime():
		return l.fail()
	}
}

// begin takes some time, and fails sometimes.
func (l *leaf) begin(ctx context.Context, visible bool) (up bool, err error) {
	f := l.n.f
	if !visible || !f.chance(3) {
		return true, nil
	}
	select {
	case <-time.After(time.Duration(f.pick(1100)) * time.Millisecond):
	case <-ctx.Done():
		return false, l.stop(context.Cause(ctx))
	}
	if f.chance(12) {
		return false, l.fail()
	}
	return true, nil
}

func (l *leaf) lifetime() <-chan time.Time {
	switch l.n.f.pick(4) {
	case 0:
		return time.After(time.Duration(l.n.f.pick(3000)) * time.Millisecond)
	case 1:
		return nil
	}
	return time.After(time.Duration(l.n.f.pick(200)) * time.Second)
}

func (l *leaf) fail() error {
	switch l.n.f.pick(5) {
	case 0:
		return nil
	case 1:
		panic("random")
	case 2:
		runtime.Goexit()
	}
	return errBoom
}

// stop ends a life that was asked to end.
func (l *leaf) stop(cause error) error {
	// One that is killed hears of it when others may have been started again.
	if l.n.parent.strategy != Dynamic && l.n.spec.Shutdown != Kill && !errors.Is(cause, ErrStartTimeout) {
		l.n.checkLaterOnesAreGone(fmt.Sprintf("stopped (%v)", cause))
	}
	switch l.n.f.pick(30) {
	case 0:
		<-l.n.f.release
	case 1, 2, 3:
		time.Sleep(time.Duration(l.n.f.pick(3000)) * time.Millisecond)
	case 4, 5:
		return l.fail()
	}
	return nil
}

// An actorLeaf is a Process.
type actorLeaf struct {
	n     *node
	mu    sync.Mutex
	stops map[uint64]context.CancelCauseFunc
}

func (a *actorLeaf) Start(ctx context.Context, inc Incarnation) error {
	l := a.n.leaf()
	handed := false
	defer func() {
		if !handed {
			l.end()
		}
	}()
	if up, err := l.begin(ctx, true); !up {
		return errors.Join(errBoom, err) // a Start that does not succeed says so
	}
	life, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	a.mu.Lock()
	a.stops[inc.Generation] = stop
	a.mu.Unlock()
	handed = true
	go protect(func() error {
		select {
		case <-life.Done():
			defer l.end()
			return l.stop(context.Cause(life))
		case <-l.lifetime():
			defer l.end()
			return l.fail()
		}
	}, inc.Exit)
	return nil
}

// Stop fails sometimes, too.
func (a *actorLeaf) Stop(gen uint64, reason error) {
	switch a.n.f.pick(40) {
	case 0:
		panic("random")
	case 1:
		runtime.Goexit()
	case 2:
		<-a.n.f.release
	}
	a.cancel(gen, reason)
}

func (a *actorLeaf) Abandon(gen uint64) {
	defer a.cancel(gen, ErrStartTimeout) // the order does not matter any more
	if a.n.f.chance(10) {
		panic("random")
	}
}

func (a *actorLeaf) cancel(gen uint64, reason error) {
	a.mu.Lock()
	stop := a.stops[gen]
	delete(a.stops, gen)
	a.mu.Unlock()
	if stop != nil {
		stop(reason)
	}
}

// checkStopped checks that when Serve has returned only those live that are known as abandoned.
func (f *forest) checkStopped() {
	for _, n := range f.root.leaves() {
		n.checkFenced()
	}
}
