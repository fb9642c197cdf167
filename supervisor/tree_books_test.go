package supervisor

import (
	"errors"
	"strings"
	"time"
)

// checkEvents checks that each budget was kept, that each that was exceeded was told upwards, and that each incarnation
// was told as the kinds of events say.
func (f *forest) checkEvents(result error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	books := &books{f: f, nodes: map[string]*node{}, failures: map[string][]time.Time{}, broken: map[string]bool{}}
	stories := stories{f: f, now: map[string]story{}, lost: map[string]int{}}
	f.root.register(f.root.id, books.nodes)
	for _, e := range f.events {
		if e.Missed > 0 {
			f.t.Fatalf("seed %d: %d events missed", f.seed, e.Missed)
		}
		books.enter(e)
		stories.enter(e)
	}
	stories.close(f.root.id)
	if broken := books.broken[f.root.id]; broken != (result != nil) {
		f.fail("Serve has returned %v, budget exceeded: %v", result, broken)
	}
}

func (n *node) register(path string, nodes map[string]*node) {
	nodes[path] = n
	for _, kid := range n.kids {
		kid.register(path+"/"+kid.id, nodes)
	}
}

// The books are kept of all failures, from the events.
type books struct {
	f        *forest
	nodes    map[string]*node       // by path
	failures map[string][]time.Time // by account: the path of a supervisor, or "child " and that of a child
	broken   map[string]bool        // by path: the supervisor has to fail
}

func (b *books) enter(e Event) {
	path, above := e.Supervisor+"/"+e.Child, b.nodes[e.Supervisor]
	account := e.Supervisor
	if above.perChild {
		account = "child " + path
	}
	switch e.Kind {
	case Started, Abandoned, Returned:
		return
	case Failed:
		if b.broken[e.Supervisor] {
			b.f.fail("%v after the budget was exceeded", e)
		}
		b.failures[account] = append(b.failures[account], e.At)
		if n := spell(b.failures[account], above.budget.Within); n > above.budget.Failures {
			b.f.fail("%v: %d failures without a quiet period", e, n)
		}
	case GaveUp:
		exceeded := errors.Is(topmost(e.Reason), ErrBudgetExceeded)
		if n := len(b.failures[account]); exceeded && n < above.budget.Failures {
			b.f.fail("%v after %d failures", e, n)
		}
		if !exceeded || !above.perChild {
			b.broken[e.Supervisor] = true
		}
	}
	if b.broken[path] && !errors.Is(e.Reason, ErrBudgetExceeded) && !errors.Is(e.Reason, ErrStartFailed) {
		b.f.fail("%v: does not tell of what was exceeded below", e)
	}
	b.closeBelow(path)
	if e.Kind != Failed {
		delete(b.failures, "child "+path)
	}
}

// closeBelow forgets what an incarnation of a supervisor has known.
func (b *books) closeBelow(path string) {
	if !b.nodes[path].supervises {
		return
	}
	for below := range b.nodes {
		if below == path || strings.HasPrefix(below, path+"/") {
			delete(b.failures, below)
			delete(b.broken, below)
			if below != path {
				delete(b.failures, "child "+below)
			}
		}
	}
}

// spell returns the number of the latest failures without a quiet period between them.
func spell(at []time.Time, quiet time.Duration) int {
	n := 1
	for i := len(at) - 1; i > 0 && at[i].Sub(at[i-1]) < quiet; i-- {
		n++
	}
	return n
}

// topmost returns the error of this package that err is, without what is inside.
func topmost(err error) error {
	var e *Error
	if errors.As(err, &e) {
		return &Error{Code: e.Code}
	}
	return err
}
