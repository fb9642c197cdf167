package supervisor

import (
	"bytes"
	"fmt"
	"log/slog"
	"runtime/pprof"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// goroutineLabel is the profiler label of the goroutines of a Service, and of those it starts.
const goroutineLabel = "supervised"

// maxStack is where the stacks of an incarnation that hangs are cut.
const maxStack = 16 << 10

// An AbandonedChild is an incarnation that was given up on and has not ended.
type AbandonedChild struct {
	// Supervisor is the path of its supervisor, which may be gone.
	Supervisor string
	ID         string
	Generation uint64
	Since      time.Time
	// Reason is why it had to stop.
	Reason error
	// Stack shows where its goroutines were when it was abandoned, if it is a Service and its Shutdown is not
	// Kill. It may come a moment later than the rest.
	Stack []byte
}

// lost is an AbandonedChild and the places where it is listed: its supervisor and those above it, so that it stays
// visible when its supervisor is gone.
type lost struct {
	AbandonedChild
	label   string // finds its goroutines in a profile
	stack   atomic.Pointer[[]byte]
	holders []*lostList
	early   *error          // its end, if that was told before its Start has returned
	fenced  <-chan struct{} // closed when Abandon has returned, if it is a Process
}

type lostKey struct {
	c   *child
	gen uint64
}

type lostList struct {
	mu    sync.Mutex
	items map[lostKey]*lost
	total uint64
}

func (l *lostList) put(key lostKey, item *lost) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.items == nil {
		l.items = make(map[lostKey]*lost)
	}
	l.items[key] = item
	l.total++
}

func (l *lostList) get(key lostKey) *lost {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.items[key]
}

func (l *lostList) take(key lostKey) *lost {
	l.mu.Lock()
	defer l.mu.Unlock()
	item := l.items[key]
	delete(l.items, key)
	return item
}

func (l *lostList) list() (children []AbandonedChild, total uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, item := range l.items {
		c := item.AbandonedChild
		if stack := item.stack.Load(); stack != nil {
			c.Stack = *stack
		}
		children = append(children, c)
	}
	slices.SortFunc(children, func(a, b AbandonedChild) int { return a.Since.Compare(b.Since) })
	return children, l.total
}

// abandon fences an incarnation off, lists it until it ends, and tells so.
func (s *Supervisor) abandon(c *child, act action) {
	gen, reason := act.gen, act.err
	e := s.publish(Event{Kind: Abandoned, Child: c.spec.ID, Generation: gen, Reason: reason}, s.now)
	item := &lost{AbandonedChild: AbandonedChild{
		Supervisor: e.Supervisor, ID: e.Child, Generation: gen, Since: e.At, Reason: reason,
	}, early: act.early}
	if c.run != nil {
		item.label = c.run.label
		c.run.giveUp(c, reason)
	}
	if c.spec.Process != nil {
		s.fencing.Add(1)
		item.fenced = s.call(c, gen, "Abandon", func() {
			defer s.fencing.Done()
			c.spec.Process.Abandon(gen)
		})
	}
	for up := s; up != nil; up = up.place.Load().parent {
		item.holders = append(item.holders, &up.lost)
		up.lost.put(lostKey{c, gen}, item)
	}
	switch {
	case c.shutdown() == Kill: // as it was wished
		s.logLater(e, slog.LevelDebug)
	case item.label == "":
		s.logLater(e, e.level())
	default:
		s.inquests.add(s, inquest{item, e})
	}
}

// An inquest finds out where an abandoned incarnation hangs, and logs it. The profile that this needs takes too
// long for the goroutine of the supervisor.
type inquest struct {
	item  *lost
	event Event
}

type inquests struct {
	mu      sync.Mutex
	pending []inquest
	busy    bool
	done    sync.WaitGroup
}

func (q *inquests) add(s *Supervisor, next inquest) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.pending = append(q.pending, next)
	if !q.busy {
		q.busy = true
		q.done.Go(func() { q.work(s) })
	}
}

func (q *inquests) take() []inquest {
	q.mu.Lock()
	defer q.mu.Unlock()
	batch := q.pending
	q.pending, q.busy = nil, len(batch) > 0
	return batch
}

// work takes one profile for all that are pending, until there are none.
func (q *inquests) work(s *Supervisor) {
	for batch := q.take(); len(batch) > 0; batch = q.take() {
		labels := make([]string, len(batch))
		for i := range batch {
			labels[i] = batch[i].item.label
		}
		stacks := goroutineStacks(labels)
		for _, in := range batch {
			stack := stacks[in.item.label]
			in.item.stack.Store(&stack)
			s.log(in.event, in.event.level(), stack)
		}
	}
}

// late takes the end of an incarnation that is not the present one. Only one that was abandoned matters, and is told.
func (s *Supervisor) late(c *child, gen uint64, err error, tell func(Event)) {
	key := lostKey{c, gen}
	item := s.lost.take(key)
	if item == nil {
		return
	}
	for _, holder := range item.holders[1:] {
		holder.take(key)
	}
	tell(Event{Kind: Returned, Child: c.spec.ID, Generation: gen, Reason: err})
}

// lateStart takes the return of a Start that was abandoned. If it has succeeded nevertheless, it is undone, unless
// the end of what it has started was told before: it is not told twice.
func (s *Supervisor) lateStart(c *child, gen uint64, err error, tell func(Event)) {
	item := s.lost.get(lostKey{c, gen})
	switch {
	case err != nil:
		s.late(c, gen, err, tell)
	case c.spec.Process == nil || item == nil:
	case item.early != nil:
		s.late(c, gen, *item.early, tell)
	default:
		go func() {
			<-item.fenced
			s.attempt(c, gen, "Stop", func() { c.spec.Process.Stop(gen, ErrAbandoned) })
		}()
	}
}

// goroutineStacks returns the stacks of the goroutines with these labels, by label. It takes a profile of all
// goroutines, which does not stop them for long, but takes some time if there are many.
func goroutineStacks(labels []string) map[string][]byte {
	var all bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&all, 1); err != nil {
		return nil
	}
	stacks := make(map[string][]byte, len(labels))
	for block := range bytes.SplitSeq(all.Bytes(), []byte("\n\n")) {
		for _, label := range labels {
			mark := fmt.Sprintf("%q:%q", goroutineLabel, label)
			if bytes.Contains(block, []byte(mark)) && len(stacks[label]) < maxStack {
				stacks[label] = append(append(stacks[label], block...), '\n')
			}
		}
	}
	return stacks
}
