package actors

import (
	"sync"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/pando-agents/pando/internal/ring"
)

// idleWorkers is how many parked workers a dispatcher keeps. Each holds one
// grown stack; more than a few only cost memory.
const idleWorkers = 8

// Dispatcher runs activations on resident goroutines whose stacks are already
// grown. An activation never waits for a running function: whenever
// activations are queued, one worker is on its way to take them, and a running
// worker that finishes first takes the next one itself, which is the common
// case and costs no wake-up. It neither polls nor ticks. Safe for concurrent
// use.
type Dispatcher struct {
	mu      sync.Mutex
	queue   ring.Ring[task]
	idle    []*worker
	onWay   bool // a worker was woken or started and has not looked yet
	started int
	closed  bool
	lottery *lottery // of a seeded one, instead of the queue and the workers
}

var _ actor.Dispatcher = (*Dispatcher)(nil)

// task is what a worker runs. A mailbox is one itself, so that an activation
// allocates nothing.
type task interface{ run() }

type taskFunc func()

func (f taskFunc) run() { f() }

type worker struct{ wake chan struct{} }

// NewDispatcher returns a dispatcher without workers; the first activation
// starts one.
func NewDispatcher() *Dispatcher { return &Dispatcher{} }

// Throughput tells protoactor-go's own mailboxes how many messages to handle
// before yielding.
func (d *Dispatcher) Throughput() int { return 300 }

// Schedule queues fn to run on a worker. It never blocks.
func (d *Dispatcher) Schedule(fn func()) { d.schedule(taskFunc(fn)) }

func (d *Dispatcher) schedule(t task) {
	d.mu.Lock()
	if d.lottery != nil {
		d.lottery.add(d, t)
		d.mu.Unlock()
		return
	}
	d.queue.Push(t)
	d.send()
}

// yields reports whether actors handle one message at a time.
func (d *Dispatcher) yields() bool { return d.lottery != nil }

// send makes sure that a worker is on its way while the queue is not empty. It
// is called with the mutex held and releases it.
func (d *Dispatcher) send() {
	if d.onWay || d.queue.Len() == 0 {
		d.mu.Unlock()
		return
	}
	d.onWay = true
	if n := len(d.idle); n > 0 {
		w := d.idle[n-1]
		d.idle[n-1] = nil
		d.idle = d.idle[:n-1]
		d.mu.Unlock()
		w.wake <- struct{}{}
		return
	}
	d.started++
	d.mu.Unlock()
	go d.work(&worker{wake: make(chan struct{}, 1)})
}

// work is the life of one worker.
func (d *Dispatcher) work(w *worker) {
	finished := false
	defer func() {
		if finished {
			return
		}
		// runtime.Goexit in an activation unwinds this goroutine. The
		// activation has seen to its own mailbox, and for what is queued another
		// worker is on its way.
		d.mu.Lock()
		d.started--
		d.mu.Unlock()
	}()
	d.mu.Lock()
	d.onWay = false
	for {
		t, ok := d.queue.Pop()
		if !ok {
			if d.closed || len(d.idle) >= idleWorkers {
				d.started--
				d.mu.Unlock()
				finished = true
				return
			}
			d.idle = append(d.idle, w)
			d.mu.Unlock()
			if _, open := <-w.wake; !open {
				finished = true
				return
			}
			d.mu.Lock()
			d.onWay = false
			continue
		}
		d.send() // whoever is queued behind t must not wait for it
		t.run()
		d.mu.Lock()
	}
}

// Close lets the parked workers leave; running ones leave when they are done
// with what is queued. It does not wait.
func (d *Dispatcher) Close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return
	}
	d.closed = true
	for _, w := range d.idle {
		d.started--
		close(w.wake)
	}
	d.idle = nil
}

// Workers returns how many workers exist, parked ones included.
func (d *Dispatcher) Workers() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.started
}
