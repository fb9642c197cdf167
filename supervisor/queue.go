package supervisor

import "sync"

// The queue takes the events of one supervisor. It is unbounded, because putting must never block, but it holds
// no more than what the children and callers can cause in the time that a step takes.
//
// Events are taken by whoever has the turn: one goroutine at a time, that of Serve or one that brings an event.
type queue struct {
	mu    sync.Mutex
	open  bool
	turn  bool // somebody has it
	items []event
	spare []event
	wake  chan struct{} // has room for one
}

// keptEvents is how long a list may be to be used again: a burst must not hold its memory for ever.
const keptEvents = 1024

// put adds an event. It reports false when the supervisor is not being served.
func (q *queue) put(ev event) bool {
	q.mu.Lock()
	if !q.open {
		q.mu.Unlock()
		return false
	}
	q.items = append(q.items, ev)
	first := len(q.items) == 1 && !q.turn
	q.mu.Unlock()
	if first {
		q.signal()
	}
	return true
}

// overtake gives the caller the turn, for one event that it has not put, unless it would come before others.
func (q *queue) overtake() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.open || q.turn || len(q.items) > 0 {
		return false
	}
	q.turn = true
	return true
}

// release gives the turn back. Serve is woken if there are events, or if that is wished.
func (q *queue) release(wake bool) {
	q.mu.Lock()
	q.turn = false
	wake = wake || len(q.items) > 0
	q.mu.Unlock()
	if wake {
		q.signal()
	}
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take returns all that is queued, and the turn. The list is to be given back before the next call. It reports
// false when somebody else has the turn, who wakes Serve if there is anything left to do.
func (q *queue) take() ([]event, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.turn {
		return nil, false
	}
	items := q.items
	q.turn, q.items, q.spare = true, q.spare, nil
	return items, true
}

// giveBack gives a list back, but not the turn.
func (q *queue) giveBack(items []event) {
	clear(items)
	if cap(items) > keptEvents {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.spare = items[:0]
}

func (q *queue) start(first event) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.open = true
	q.items = append(q.items[:0], first)
	q.signal()
}

// close returns what was left, and frees the turn, which the caller has.
func (q *queue) close() []event {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.open, q.turn = false, false
	items := q.items
	q.items, q.spare = nil, nil
	return items
}
