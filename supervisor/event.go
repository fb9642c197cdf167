package supervisor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// A Kind is what an [Event] tells.
type Kind uint8

// The kinds of events. An incarnation that has started is told by Started, and then by one of the others, which tells
// its end; one that has not is told by that one only, but for Stopped. Two more may follow: Cancelled a Failed, and, when
// a start has taken too long and was abandoned, an Abandoned that by which it would be told otherwise. Returned is told
// whenever it comes.
const (
	// Started: an incarnation is up.
	Started Kind = iota + 1
	// Failed: an incarnation has failed because of Reason; the next one is started after Delay.
	Failed
	// Ended: a child has ended by itself, its first start failed, or it ended while its supervisor was stopping.
	// It is not started again of itself.
	Ended
	// Stopped: an incarnation that was up and was asked to stop has ended, or one that was about to be asked because
	// its group is being restarted. Reason is set if it did so with a failure.
	Stopped
	// GaveUp: a child is removed because a budget was exceeded, or a start failed for good. Unless budgets are
	// per child the supervisor fails with it.
	GaveUp
	// Abandoned: an incarnation did not stop in time, or its Shutdown is Kill. Reason is why it had to stop.
	Abandoned
	// Returned: an incarnation that was abandoned has ended at last.
	Returned
	// Cancelled: as Stopped, of an incarnation that was not up; or the next incarnation, which Failed has announced,
	// is not started because its back-off was cut short.
	Cancelled
)

// String returns the name of k.
func (k Kind) String() string {
	names := [...]string{"unknown", "started", "failed", "ended", "stopped", "gave up", "abandoned", "returned", "cancelled"}
	if int(k) >= len(names) {
		k = 0
	}
	return names[k]
}

// An Event is something that happened to a child, anywhere in the tree under the supervisor that is watched.
type Event struct {
	Kind Kind
	// Supervisor is the path of the child's supervisor, like "agent/channels".
	Supervisor string
	Child      string
	Generation uint64
	// Reason is nil for a normal end.
	Reason error
	At     time.Time
	// Delay is the back-off before the next start. Set for Failed only.
	Delay time.Duration
	// Missed is the number of events that this subscriber has lost just before this one, by being slow.
	Missed uint64
}

// String returns e in one line, without the time.
func (e Event) String() string {
	text := fmt.Sprintf("%s/%s#%d %s", e.Supervisor, e.Child, e.Generation, e.Kind)
	if e.Reason != nil {
		text += ": " + e.Reason.Error()
	}
	if e.Kind == Failed {
		text += fmt.Sprintf(", next start in %v", e.Delay)
	}
	if e.Missed > 0 {
		text += fmt.Sprintf(" (%d events missed before)", e.Missed)
	}
	return text
}

// Subscribe returns the events of the tree from now on, in a channel with room for n (at least one), until cancel
// is called, which closes it. Whoever falls behind loses events, and is told how many by [Event.Missed]: the tree
// never waits. The subscription outlives Serve. Both may be called on any goroutine.
func (s *Supervisor) Subscribe(n int) (events <-chan Event, cancel func()) {
	sub := &subscriber{events: make(chan Event, max(n, 1))}
	s.subs.add(sub)
	return sub.events, sync.OnceFunc(func() { s.subs.remove(sub) })
}

type subscriber struct {
	events chan Event
	missed uint64
}

type subscribers struct {
	n    atomic.Int32 // spares the lock when nobody listens
	mu   sync.Mutex
	list []*subscriber
}

func (l *subscribers) add(sub *subscriber) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, sub)
	l.n.Add(1)
}

func (l *subscribers) remove(sub *subscriber) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, other := range l.list {
		if other == sub {
			l.list = append(l.list[:i:i], l.list[i+1:]...)
			l.n.Add(-1)
			close(sub.events)
			return
		}
	}
}

func (l *subscribers) send(e Event) {
	if l.n.Load() == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, sub := range l.list {
		e.Missed = sub.missed
		select {
		case sub.events <- e:
			sub.missed = 0
		default:
			sub.missed++
		}
	}
}

// note hands e to the subscribers, and has it logged. It is called with the turn.
func (s *Supervisor) note(e Event) {
	e = s.publish(e, s.now)
	s.logLater(e, e.level())
}

// logEntry is an event that is to be logged.
type logEntry struct {
	Event
	level slog.Level
}

// logLater has Serve log e. It is called with the turn.
func (s *Supervisor) logLater(e Event, level slog.Level) {
	if s.opts.Logger.Enabled(context.Background(), level) {
		s.unlogged = append(s.unlogged, logEntry{e, level})
	}
}

// tell logs e and hands it to the subscribers.
func (s *Supervisor) tell(e Event) {
	e = s.publish(e, s.opts.Now())
	s.log(e, e.level(), nil)
}

// publish completes e and hands it to the subscribers of this supervisor and of those above it.
func (s *Supervisor) publish(e Event, at time.Time) Event {
	e.At = at
	e.Supervisor = s.place.Load().path
	for up := s; up != nil; up = up.place.Load().parent {
		up.subs.send(e)
	}
	return e
}

func (s *Supervisor) log(e Event, level slog.Level, stack []byte) {
	if !s.opts.Logger.Enabled(context.Background(), level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("supervisor", e.Supervisor), slog.String("actor", e.Child), slog.Uint64("incarnation", e.Generation),
	}
	if e.Reason != nil {
		attrs = append(attrs, slog.Any("err", e.Reason))
	}
	if e.Kind == Failed {
		attrs = append(attrs, slog.Duration("delay", e.Delay))
	}
	if p := (*PanicError)(nil); stack == nil && errors.As(e.Reason, &p) {
		stack = p.Stack()
	}
	if stack != nil {
		attrs = append(attrs, slog.String("stack", string(stack)))
	}
	s.opts.Logger.LogAttrs(context.Background(), level, "child "+e.Kind.String(), attrs...)
}

// level: what healed is a warning, what needs a person is an error.
func (e *Event) level() slog.Level {
	switch e.Kind {
	case GaveUp, Abandoned:
		return slog.LevelError
	case Failed:
		return slog.LevelWarn
	case Started:
		if e.Generation > 1 {
			return slog.LevelInfo
		}
	case Ended, Stopped, Cancelled:
		if e.Reason != nil {
			return slog.LevelWarn
		}
	case Returned:
		return slog.LevelInfo
	}
	return slog.LevelDebug
}
