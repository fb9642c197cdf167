package actors

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/pando-agents/pando/supervisor"
)

// nightly chooses between the size of a test in every run and that in make nightly.
func nightly[T any](normal, night T) T {
	if os.Getenv("PANDO_NIGHTLY") == "1" {
		return night
	}
	return normal
}

// Each actor of a random graph of links ends at most once, for the reason of one
// that has failed and that links lead to, and lives if there is none, whether
// links, unlinks and failures come one after the other or at the same time.
func TestLinkedActorsEndOnceForTheReasonOfOneThatHasFailed(t *testing.T) {
	t.Parallel()
	total := webCounts{}
	for seed := range uint64(nightly(500, 20_000)) {
		synctest.Test(t, func(t *testing.T) { spin(t, seed, &total) })
		if t.Failed() {
			return
		}
	}
	t.Logf("%+v", total)
	if total.linkedEnds == 0 || total.survivors == 0 || total.late == 0 {
		t.Errorf("the graphs are not mixed: %+v", total)
	}
}

type webCounts struct{ failures, linkedEnds, late, survivors int }

// web is one graph of actors on two systems.
type web struct {
	t        *testing.T
	seed     uint64
	atOnce   bool // links and failures come at the same time
	nodes    []*webNode
	mu       sync.Mutex
	attempts []webLink // all links
	made     []webLink // those that are to hold
}

type webLink struct{ a, b *webNode }

type webNode struct {
	*Process[webMessage]
	i     int
	ends  int
	downs []Down
	why   error // with which it was made to fail
	quits bool  // it was made to end normally
}

type webMessage func(c *Context[webMessage])

type webActor struct{}

func (webActor) Receive(c *Context[webMessage], m webMessage) { m(c) }

func spin(t *testing.T, seed uint64, total *webCounts) {
	random := rand.New(rand.NewPCG(seed, 11))
	w := &web{t: t, seed: seed, atOnce: seed%2 == 0}
	systems := [2]*System{}
	for i := range systems {
		systems[i] = NewSystem(SystemOptions{Logger: slog.New(slog.DiscardHandler)})
		defer systems[i].Close()
	}
	for i := range 2 + random.IntN(12) {
		w.add(systems[i%2], i)
		defer w.nodes[i].Kill(nil)
	}
	deeds := make([]func(), 0, 64)
	for range random.IntN(2 * len(w.nodes)) {
		l := webLink{w.nodes[random.IntN(len(w.nodes))], w.nodes[random.IntN(len(w.nodes))]}
		undo := random.IntN(4) == 0
		deeds = append(deeds, func() { w.link(l, undo) })
	}
	if !w.atOnce {
		w.run(deeds)
	}
	normal := len(w.nodes) / 4
	order := random.Perm(len(w.nodes))
	var quits, fails []func()
	for _, i := range order[:normal] {
		quits = append(quits, w.quit(w.nodes[i]))
	}
	for _, i := range order[normal : normal+random.IntN(3)%(len(w.nodes)-normal)] {
		fails = append(fails, w.fail(w.nodes[i], random.IntN(6)))
	}
	if w.atOnce {
		all := append(append(deeds, quits...), fails...)
		random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		w.run(all)
	} else {
		w.run(quits)
		w.run(fails)
	}
	total.failures += len(fails)
	w.check(total)
}

func (w *web) add(sys *System, i int) {
	n := &webNode{i: i}
	n.Process = New(sys, Spec[webMessage]{Name: strconv.Itoa(i), New: func() Actor[webMessage] { return webActor{} }})
	err := n.Start(w.t.Context(), supervisor.Incarnation{Generation: 1, Exit: func(error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		n.ends++
	}})
	if err != nil {
		w.t.Fatal(err)
	}
	n.Ref().OnDown(func(d Down) {
		w.mu.Lock()
		defer w.mu.Unlock()
		n.downs = append(n.downs, d)
	})
	w.nodes = append(w.nodes, n)
}

// run does everything at the same time and waits until nothing moves.
func (w *web) run(deeds []func()) {
	for _, deed := range deeds {
		go deed()
	}
	synctest.Wait()
}

func (w *web) link(l webLink, undo bool) {
	_ = l.a.Ref().Offer(func(c *Context[webMessage]) {
		w.mu.Lock()
		w.attempts = append(w.attempts, l)
		w.mu.Unlock()
		unlink := Link(c, l.b.Ref())
		if undo {
			unlink()
			return
		}
		l.a.mu.Lock()
		over := c.over // somebody has ended it meanwhile, and so perhaps before
		l.a.mu.Unlock()
		if !over && l.a != l.b {
			w.mu.Lock()
			w.made = append(w.made, l)
			w.mu.Unlock()
		}
	})
}

func (w *web) quit(n *webNode) func() {
	n.quits = true
	return func() { _ = n.Ref().Offer(func(c *Context[webMessage]) { c.Stop(nil) }) }
}

// fail makes an actor fail in one of all ways.
func (w *web) fail(n *webNode, way int) func() {
	n.why = fmt.Errorf("failure of %d", n.i)
	tell := func(m webMessage) func() { return func() { _ = n.Ref().Offer(m) } }
	switch way {
	case 0:
		return tell(func(*Context[webMessage]) { panic(n.why) })
	case 1:
		return tell(func(c *Context[webMessage]) { c.Stop(n.why) })
	case 2:
		return func() { n.Kill(n.why) }
	case 3:
		return func() { n.Stop(1, n.why) }
	case 4:
		n.why = ErrFenced
		return func() { n.Abandon(1) }
	}
	n.why = supervisor.ErrGoexit
	return tell(func(*Context[webMessage]) { runtime.Goexit() })
}

func (w *web) check(total *webCounts) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range w.nodes {
		switch {
		case n.ends != len(n.downs) || n.ends > 1:
			w.t.Errorf("seed %d: %d has ended %d times, the watcher was told %v", w.seed, n.i, n.ends, n.downs)
		case n.ends == 1:
			w.checkReason(n, n.downs[0].Reason, total)
		case n.why != nil || n.quits:
			w.t.Errorf("seed %d: %d lives", w.seed, n.i)
		default:
			total.survivors++
			w.checkLinksLead(n)
		}
	}
	for _, l := range w.made {
		if l.a.failed() && l.b.ends == 0 || l.b.failed() && l.a.ends == 0 {
			w.t.Errorf("seed %d: of %d and %d, which are linked, one has failed and the other lives", w.seed, l.a.i, l.b.i)
		}
	}
}

// checkLinksLead checks that what lives is linked to what lives.
func (w *web) checkLinksLead(n *webNode) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for l := range n.shell.Load().cx.Load().kin().ties {
		from, to := l.from.(*Context[webMessage]).shell.p.spec.Name, l.to.(*Context[webMessage]).shell.p.spec.Name
		if l.cut.Load() || w.node(from).ends+w.node(to).ends > 0 {
			w.t.Errorf("seed %d: %d keeps a link from %s to %s", w.seed, n.i, from, to)
		}
	}
}

func (w *web) node(name string) *webNode {
	i, _ := strconv.Atoi(name)
	return w.nodes[i]
}

func (n *webNode) failed() bool { return n.ends > 0 && n.downs[0].Reason != nil }

// checkReason checks why n has ended.
func (w *web) checkReason(n *webNode, reason error, total *webCounts) {
	var e *LinkError
	if !errors.As(reason, &e) {
		if n.why != nil && errors.Is(reason, n.why) || n.quits && reason == nil {
			return
		}
		w.t.Errorf("seed %d: %d has ended with %v", w.seed, n.i, reason)
		return
	}
	total.linkedEnds++
	first := w.node(e.Actor)
	switch {
	case errors.Is(e.Reason, ErrStopped) && w.atOnce && first.ends > 0:
		total.late++
	case first.why == nil || !errors.Is(e.Reason, first.why) || e.Generation != 1:
		w.t.Errorf("seed %d: %d has ended with %v", w.seed, n.i, reason)
	case !errors.Is(first.downs[0].Reason, first.why) || errors.As(first.downs[0].Reason, new(*LinkError)):
		w.t.Errorf("seed %d: %d has ended with %v, which itself has ended with %v", w.seed, n.i, reason, first.downs)
	}
	if !w.leads(n, first) {
		w.t.Errorf("seed %d: %d has ended with %v, and no link leads there", w.seed, n.i, reason)
	}
}

// leads reports whether links lead from one actor to the other: those that hold,
// or, when all came at the same time, any.
func (w *web) leads(from, to *webNode) bool {
	links := w.made
	if w.atOnce {
		links = w.attempts
	}
	seen, todo := map[*webNode]bool{from: true}, []*webNode{from}
	for len(todo) > 0 {
		n := todo[0]
		todo = todo[1:]
		for _, l := range links {
			for _, pair := range []webLink{l, {l.b, l.a}} {
				passes := w.atOnce || !pair.b.quits
				if pair.a == n && passes && !seen[pair.b] {
					seen[pair.b] = true
					todo = append(todo, pair.b)
				}
			}
		}
	}
	return seen[to]
}
