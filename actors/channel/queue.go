package channel

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pando-agents/pando/internal/ring"
	"github.com/pando-agents/pando/protocol"
)

// job is one message and how it is handled.
type job struct {
	message *Message
	spec    *Spec
	ordered bool
	scope   scope
	// abandoned is set when the deadline passed: the answer is given already,
	// and the runner that still has the job must not take another.
	abandoned bool
	// detached is set when the handler itself waits for the queue to drain.
	detached bool
}

// verdict is what the queue says to a new job.
type verdict uint8

const (
	queued verdict = iota
	overloaded
	flooded
	ended
)

// queue holds the messages that wait for handlers and the handlers that run:
// one lane in which messages are handled one after the other (events and
// ordered types), and one in which they start in order and run concurrently.
// Runners are goroutines of the dispatcher, made when there is work; one leaves
// only when the mutex has shown it an empty lane.
type queue struct {
	ch *Channel

	mu         sync.Mutex
	serial     ring.Ring[*job]
	parallel   ring.Ring[*job]
	bytes      int
	running    []*job
	runners    int // of the parallel lane
	serialBusy bool
	closed     bool
	timerAt    time.Time
	stopTimer  func() bool
	drained    chan struct{} // closed when nothing waits or runs

	panics    atomic.Uint64
	timeouts  atomic.Uint64
	abandoned atomic.Int64 // handlers past their deadline that have not returned
}

// push queues m for spec. force lets messages that cannot be refused use the
// same room once more.
func (q *queue) push(m *Message, spec *Spec, ordered, force bool) verdict {
	limits := &q.ch.env.Limits
	factor := 1
	if force {
		factor = 2
	}
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return ended
	}
	full := q.waiting() >= factor*limits.QueuedMessages ||
		q.bytes+len(m.Data) > factor*limits.QueuedBytes && q.bytes > 0
	if full {
		q.mu.Unlock()
		if force {
			return flooded
		}
		return overloaded
	}
	j := &job{message: m, spec: spec, ordered: ordered}
	j.scope.job = j
	q.bytes += len(m.Data)
	var run func()
	if ordered {
		q.serial.Push(j)
		if !q.serialBusy {
			q.serialBusy, run = true, q.runSerial
		}
	} else {
		q.parallel.Push(j)
		if q.runners < limits.Concurrency {
			q.runners++
			run = q.runParallel
		}
	}
	q.mu.Unlock()
	if run != nil {
		q.ch.env.System.Dispatcher().Schedule(run)
	}
	return queued
}

func (q *queue) runSerial()   { q.run(true) }
func (q *queue) runParallel() { q.run(false) }

// run is the life of a runner. A handler that calls runtime.Goexit ends this
// goroutine, but not the runner: it goes on in another.
func (q *queue) run(serial bool) {
	left := false
	defer func() {
		if !left {
			if serial {
				q.ch.env.System.Dispatcher().Schedule(q.runSerial)
			} else {
				q.ch.env.System.Dispatcher().Schedule(q.runParallel)
			}
		}
	}()
	for {
		j := q.next(serial)
		if j == nil {
			left = true
			return
		}
		if !q.ch.runJob(j) {
			left = true // abandoned while we were in it; a successor runs already
			return
		}
	}
}

// next takes the next job, or ends the runner when there is none.
func (q *queue) next(serial bool) *job {
	q.mu.Lock()
	defer q.mu.Unlock()
	lane := &q.parallel
	if serial {
		lane = &q.serial
	}
	j, ok := lane.Pop()
	if !ok {
		if serial {
			q.serialBusy = false
		} else {
			q.runners--
		}
		q.checkDrained()
		return nil
	}
	q.bytes -= len(j.message.Data)
	j.scope.deadline = q.ch.env.Now().Add(q.ch.env.HandlerTimeout)
	q.running = append(q.running, j)
	q.armLocked(j.scope.deadline)
	return j
}

// finish takes a job off the running ones; false means that it had been
// abandoned and its answer is not wanted any more.
func (q *queue) finish(j *job) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if j.abandoned {
		q.abandoned.Add(-1)
		q.checkDrained()
		return false
	}
	q.removeRunning(j)
	return true
}

func (q *queue) removeRunning(j *job) {
	for i, r := range q.running {
		if r == j {
			last := len(q.running) - 1
			q.running[i] = q.running[last]
			q.running[last] = nil
			q.running = q.running[:last]
			return
		}
	}
}

// armLocked makes sure that the timer fires no later than at.
func (q *queue) armLocked(at time.Time) {
	if !q.timerAt.IsZero() && !at.Before(q.timerAt) {
		return
	}
	if q.stopTimer != nil {
		q.stopTimer()
	}
	q.timerAt = at
	q.stopTimer = q.ch.env.AfterFunc(at.Sub(q.ch.env.Now()), q.expire)
}

// expire abandons the handlers whose deadline has passed.
func (q *queue) expire() {
	now := q.ch.env.Now()
	var late []*job
	var replace []func()
	q.mu.Lock()
	q.timerAt, q.stopTimer = time.Time{}, nil
	for i := 0; i < len(q.running); {
		j := q.running[i]
		if j.scope.deadline.After(now) {
			q.armLocked(j.scope.deadline)
			i++
			continue
		}
		q.removeRunning(j)
		j.abandoned = true
		q.abandoned.Add(1)
		q.timeouts.Add(1)
		late = append(late, j)
		replace = append(replace, q.replaceLocked(j.ordered))
	}
	q.mu.Unlock()
	for _, j := range late {
		j.scope.cancel(context.DeadlineExceeded)
		q.ch.handlerLate(j)
	}
	for _, run := range replace {
		q.ch.env.System.Dispatcher().Schedule(run)
	}
}

// replaceLocked gives the place of a runner that hangs to a new one.
func (q *queue) replaceLocked(serial bool) func() {
	if serial {
		return q.runSerial
	}
	return q.runParallel
}

// close takes no more messages, drops those that wait and ends the contexts of
// the handlers that run. After an orderly end events are kept: the peer has sent
// them before it left, and nobody waits for an answer.
func (q *queue) close(cause error, orderly bool) {
	keep := func(j *job) bool { return orderly && j.message.Type == protocol.TypeEvent }
	q.mu.Lock()
	q.closed = true
	events := ring.Ring[*job]{}
	for j, ok := q.serial.Pop(); ok; j, ok = q.serial.Pop() {
		if keep(j) {
			events.Push(j)
		}
	}
	q.serial, q.parallel, q.bytes = events, ring.Ring[*job]{}, 0
	var cancel []*job
	for _, j := range q.running {
		if !keep(j) {
			cancel = append(cancel, j)
		}
	}
	if len(cancel) == len(q.running) && q.stopTimer != nil {
		q.stopTimer()
		q.stopTimer, q.timerAt = nil, time.Time{}
	}
	if orderly && q.busy() > 0 {
		q.ch.env.lingering.add(q)
	}
	q.checkDrained()
	q.mu.Unlock()
	for _, j := range cancel {
		j.scope.cancel(cause)
	}
}

func (q *queue) waiting() int { return q.serial.Len() + q.parallel.Len() }

// busy counts what waits and what runs, without the handlers that themselves
// wait for the rest.
func (q *queue) busy() int {
	n := q.waiting()
	for _, j := range q.running {
		if !j.detached {
			n++
		}
	}
	return n
}

// checkDrained tells those who wait for an empty queue.
func (q *queue) checkDrained() {
	if q.busy() > 0 {
		return
	}
	if q.drained != nil {
		close(q.drained)
		q.drained = nil
	}
	if q.closed {
		q.ch.env.lingering.remove(q)
	}
}

// wait returns a channel that is closed when nothing waits or runs any more,
// not counting self, the job that asks; nil when that is so already.
func (q *queue) wait(self *job) <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	if self != nil && self.message.channel == q.ch {
		self.detached = true
	}
	if q.busy() == 0 {
		return nil
	}
	if q.drained == nil {
		q.drained = make(chan struct{})
	}
	return q.drained
}

// depth returns how many messages wait and how many handlers run.
func (q *queue) depth() (waiting, running int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.waiting(), len(q.running)
}
