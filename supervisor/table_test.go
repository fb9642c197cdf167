package supervisor

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/datadriven"
)

// TestTables runs testdata/tables: what follows, for each strategy and restart type, when child b of a, b and c ends in
// each of the ways there are, at each of the moments there are. A line lists the events in order, each with the
// children and generations it is about, and then what Serve has returned if it did so by itself.
//
//	exits strategy=S when=...
//	    running         b ends while all are up
//	    first-start     b ends before it is ready for the first time
//	    restart         b fails, and its next incarnation ends before it is ready
//	    sibling-fails   a fails, and b ends like that if it is asked to stop
//	    back-off        c has failed twice, and b ends during its back-off
//	    stop            the supervisor is asked to stop, and b ends like that when it is its turn
func TestTables(t *testing.T) {
	t.Parallel()
	datadriven.Walk(t, "testdata/tables", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			var when string
			d.ScanArgs(t, "when", &when)
			return table(t, strategyOf(t, d), when)
		})
	})
}

func table(t *testing.T, strategy Strategy, when string) string {
	var b strings.Builder
	ways := []string{"normal", "error", "panic", "goexit"}
	switch when {
	case "first-start", "restart", "sibling-fails", "stop":
		ways = append(ways, "hang")
	}
	for restart := Permanent; restart <= Temporary; restart++ {
		for _, way := range ways {
			synctest.Test(t, func(t *testing.T) {
				fmt.Fprintf(&b, "%-9v  %-6s  %s\n", restart, way, play(t, strategy, restart, way, when))
			})
		}
	}
	return b.String()
}

// play returns one line of a table.
func play(t *testing.T, strategy Strategy, restart Restart, way, when string) string {
	a, b, c := newPuppet("a"), newPuppet("b"), newPuppet("c")
	defer close(b.release)
	switch when {
	case "first-start":
		b.starts = []string{way}
	case "restart":
		b.starts = []string{"", way}
	case "sibling-fails", "stop":
		b.stops = way
	}
	specs := []Spec{
		{ID: "a", New: a.incarnation}, {ID: "b", New: b.incarnation, Restart: restart}, {ID: "c", New: c.incarnation},
	}
	o := Options{Strategy: strategy, Rand: half}
	if strategy != Dynamic {
		o.Children = specs
	}
	sup := New(o)
	sup.opts.Logger = discard()
	events, cancel := sup.Subscribe(100)
	defer cancel()
	s := serveOn(t, t.Context(), sup)
	if strategy == Dynamic {
		for _, spec := range specs {
			_ = s.StartChild(t.Context(), spec)
		}
	}
	if when != "first-start" {
		later(time.Hour)
		told(events, strategy == Dynamic)
	}
	switch when {
	case "running":
		b.do <- way
	case "restart":
		b.do <- "error"
	case "sibling-fails":
		a.do <- "error"
	case "back-off":
		c.do <- "error"
		c.do <- "error"
		synctest.Wait()
		told(events, strategy == Dynamic)
		select {
		case b.do <- way:
		default: // it is waiting for the end of the back-off too
		}
	case "stop":
		s.cancel(nil)
	}
	later(time.Hour)
	line := told(events, strategy == Dynamic)
	select {
	case <-s.ended:
		line += fmt.Sprintf("; Serve: %v", s.err)
	default:
	}
	return line
}

// told condenses the events up to now. The order of what happens at the same time is left open.
func told(events <-chan Event, sameTime bool) string {
	var parts []string
	var who []string
	last := Kind(0)
	flush := func() {
		if len(who) == 0 {
			return
		}
		if sameTime {
			slices.Sort(who)
		}
		parts = append(parts, strings.Join(who, " ")+" "+last.String())
		who = nil
	}
	for {
		select {
		case e := <-events:
			if e.Kind != last {
				flush()
			}
			last = e.Kind
			who = append(who, fmt.Sprintf("%s%d", e.Child, e.Generation))
		default:
			if flush(); len(parts) == 0 {
				return "nothing"
			}
			return strings.Join(parts, "; ")
		}
	}
}

// A puppet is a child that ends as it is told to.
type puppet struct {
	id      string
	do      chan string
	starts  []string // how its incarnations end before they are ready, by number; "" means that they come up
	stops   string   // how it ends when it is asked to stop
	release chan struct{}
	lives   int
}

func newPuppet(id string) *puppet {
	return &puppet{id: id, do: make(chan string), stops: "normal", release: make(chan struct{})}
}

func (p *puppet) incarnation() Service {
	p.lives++
	life := &puppetLife{puppet: p, ready: make(chan struct{})}
	if p.lives <= len(p.starts) {
		life.start = p.starts[p.lives-1]
	}
	return life
}

type puppetLife struct {
	*puppet
	start string
	ready chan struct{}
}

func (l *puppetLife) Ready() <-chan struct{} { return l.ready }

func (l *puppetLife) Serve(ctx context.Context) error {
	if l.start != "" {
		return l.end(ctx, l.start)
	}
	close(l.ready)
	select {
	case way := <-l.do:
		return l.end(ctx, way)
	case <-ctx.Done():
		return l.end(ctx, l.stops)
	}
}

func (l *puppetLife) end(ctx context.Context, way string) error {
	switch way {
	case "normal":
		return nil
	case "error":
		return errors.New("no")
	case "panic":
		panic("no")
	case "goexit":
		runtime.Goexit()
	case "hang":
		if ctx.Err() == nil { // a start that takes too long heeds its context, a stop does not
			<-ctx.Done()
			return ctx.Err()
		}
		<-l.release
		return nil
	}
	panic("unknown way to end")
}
