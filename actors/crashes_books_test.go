package actors

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/pando-agents/pando/supervisor"
)

// books are kept of what the events of a tree tell.
type books struct {
	cancel  func()
	reading sync.WaitGroup

	events, missed, abandoned uint64
	crashes, exits            int64             // of leaves
	failed                    map[string]uint64 // by supervisor, since it was served last
	groups                    int               // that have failed
	odd                       []supervisor.Event
	told                      [1 << 17]bool // crashes, by their number
}

func (b *books) start(events <-chan supervisor.Event, cancel func()) {
	b.cancel, b.failed = cancel, map[string]uint64{}
	b.reading.Go(func() {
		for e := range events {
			b.enter(e)
		}
	})
}

func (b *books) close() {
	b.cancel()
	b.reading.Wait()
}

func (b *books) enter(e supervisor.Event) {
	b.events++
	b.missed += e.Missed
	if e.Kind == supervisor.Abandoned {
		b.abandoned++
	}
	if e.Kind == supervisor.Failed {
		b.failed[e.Supervisor]++
	}
	if !strings.HasPrefix(e.Child, "leaf-") {
		if e.Kind == supervisor.Failed {
			b.groups++
			delete(b.failed, e.Supervisor+"/"+e.Child)
		}
		return
	}
	var n crashed
	switch {
	case errors.As(e.Reason, &n):
		if b.crashes++; b.told[n] {
			b.odd = append(b.odd, e)
		}
		b.told[n] = true
	case errors.Is(e.Reason, supervisor.ErrGoexit):
		b.exits++
	case e.Reason != nil:
		b.odd = append(b.odd, e)
	}
}

// checkBooks checks that each failure was told, and nothing else.
func (w *wood) checkBooks(t *testing.T, snap supervisor.Snapshot) {
	t.Helper()
	b := &w.books
	t.Logf("%d crashes and %d exits, %d events, %d groups failed, %d messages, %d of them lost, %d refused",
		w.crashes.Load(), w.exits.Load(), b.events, b.groups, w.accepted.Load(), w.lost.Load(), w.refused.Load())
	if b.crashes != w.crashes.Load() || b.exits != w.exits.Load() || b.missed+b.abandoned > 0 || len(b.odd) > 0 {
		t.Errorf("told were %d crashes, %d exits, %d abandoned, %d missed, and %v", b.crashes, b.exits, b.abandoned, b.missed, b.odd)
	}
	if w.crashes.Load() < 100 || w.exits.Load() < 100 || b.groups == 0 {
		t.Error("too little has failed")
	}
	if sum := w.handled.Load() + w.lost.Load(); sum != w.accepted.Load() || w.handled.Load() == 0 {
		t.Errorf("%d messages were handled and %d told, of %d", w.handled.Load(), w.lost.Load(), w.accepted.Load())
	}
	children := 0
	for _, g := range snap.Children {
		if g.Supervisor == nil || g.State != supervisor.Running {
			t.Errorf("%s is %v", g.ID, g.State)
			continue
		}
		if told := b.failed[g.Supervisor.Path]; g.Supervisor.Restarts != told {
			t.Errorf("%s has restarted %d times, told were %d", g.Supervisor.Path, g.Supervisor.Restarts, told)
		}
		for _, c := range g.Supervisor.Children {
			children++
			if c.State != supervisor.Running {
				t.Errorf("%s is %v", c.ID, c.State)
			}
		}
	}
	if told := b.failed[snap.Path]; snap.Restarts != told || children != 1000 {
		t.Errorf("the root has restarted %d times, told were %d; %d children", snap.Restarts, told, children)
	}
}
