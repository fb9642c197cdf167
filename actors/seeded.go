package actors

import (
	"math/rand/v2"
	"slices"
	"sync"
)

// Seeded makes a System repeatable: its actors run on one goroutine at a time,
// one message after the other, and a seed decides whose turn it is. Give it to
// SystemOptions.Seeded and let what is to be repeated begin in Play. An actor
// that blocks holds up all others.
//
// Repeated is all that actors cause on that goroutine: what they send to one
// another, change with Behave, and answer; their failures, and what these cause by
// Watch and Link. A start between two plays, one at a time, is repeated too.
//
// Not repeated is what comes from other goroutines, because it comes when it
// comes: a start during a play, and so each restart by a supervisor, from which on
// the messages that have waited are handled; a stop; a timer; what a goroutine does
// that is waiting in Ask. Nor is what an actor takes from elsewhere, like the
// time, the order of a map, or random numbers.
type Seeded struct {
	d    *Dispatcher
	seed uint64
}

// NewSeeded returns a dispatcher for one System.
func NewSeeded(seed uint64) *Seeded {
	d := NewDispatcher()
	d.lottery = &lottery{}
	d.lottery.quiet.L = &d.mu
	s := &Seeded{d: d, seed: seed}
	d.lottery.draw(seed)
	return s
}

// Play waits until no actor has anything to do, runs f on the goroutine of the
// actors, and returns when all that it has caused among them is done. For the
// same seed, and the same actors that f sends the same messages to, the order
// is the same. It is not for use inside an actor.
func (s *Seeded) Play(f func()) {
	l := s.d.lottery
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	l.await()
	l.draw(s.seed)
	l.add(s.d, taskFunc(f))
	l.await()
}

// lottery is the queue of a seeded dispatcher, guarded by its mutex.
type lottery struct {
	random *rand.Rand
	tasks  []task
	busy   bool // there is a worker
	quiet  sync.Cond
}

func (l *lottery) draw(seed uint64) { l.random = rand.New(rand.NewPCG(seed, seed)) }

func (l *lottery) await() {
	for l.busy {
		l.quiet.Wait()
	}
}

func (l *lottery) add(d *Dispatcher, t task) {
	l.tasks = append(l.tasks, t)
	if !l.busy {
		l.busy = true
		go l.work(d)
	}
}

// work runs what there is and leaves.
func (l *lottery) work(d *Dispatcher) {
	finished := false
	defer func() {
		if !finished { // runtime.Goexit in an activation
			go l.work(d)
		}
	}()
	for {
		d.mu.Lock()
		if len(l.tasks) == 0 {
			l.busy = false
			l.quiet.Broadcast()
			d.mu.Unlock()
			finished = true
			return
		}
		i := l.random.IntN(len(l.tasks))
		t := l.tasks[i]
		l.tasks = slices.Delete(l.tasks, i, i+1)
		d.mu.Unlock()
		t.run()
	}
}
