package supervisor

import "time"

// A watch is one timer for the deadlines of many starts. Almost all starts are complete long before, and so it is
// not set anew for each: when it fires, it looks which are overdue, and it is set again only if others are under way.
type watch struct {
	stop func() bool // nil while the timer is not set
	at   time.Duration
}

func (w *watch) end() {
	if w.stop != nil {
		w.stop()
		w.stop = nil
	}
}

// watch makes sure that starts are looked at then. It is called with the turn.
func (s *Supervisor) watch(at time.Duration) {
	w := &s.starts
	if w.stop != nil && w.at <= at {
		return
	}
	w.end()
	w.at = at
	w.stop = s.opts.AfterFunc(at-s.now.Sub(s.epoch), func() { s.post(event{kind: evWatch, at: at}) })
}

// overdue has the core hear of the starts whose deadline has passed, as the timer says that was set for then. It is
// called with the turn, and with the mutex held, which it releases.
func (s *Supervisor) overdue(then time.Duration) {
	s.now = s.opts.Now()
	now, next := max(then, s.now.Sub(s.epoch)), Infinity
	var late []event
	for c := s.core.first; c != nil; c = c.next {
		if c.state != Starting || c.run == nil || !c.run.begun || c.startTimeout() == Infinity {
			continue
		}
		if at := c.since + c.startTimeout(); at > now {
			next = min(next, at)
		} else {
			late = append(late, event{kind: evTimer, timer: timerStart, c: c, gen: c.gen})
		}
	}
	s.mu.Unlock()
	s.starts.end()
	if next != Infinity {
		s.watch(next)
	}
	for _, ev := range late {
		s.mu.Lock()
		s.handle(ev)
	}
}
