package supervisor

import "sync"

// The queue takes the events of one supervisor. It is unbounded, because putting must never block, but it holds
// no more than what the children and callers can cause in the time that a step takes.
type queue struct {
	mu    sync.Mutex
	open  bool
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
	first := len(q.items) == 1
	q.mu.Unlock()
	if first {
		select {
		case q.wake <- struct{}{}:
		default:
		}
	}
	return true
}

// take returns all that is queued. The list is to be given back before the next call.
func (q *queue) take() []event {
	q.mu.Lock()
	defer q.mu.Unlock()
	items := q.items
	q.items, q.spare = q.spare, nil
	return items
}

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
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// close returns what was left.
func (q *queue) close() []event {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.open = false
	items := q.items
	q.items, q.spare = nil, nil
	return items
}
