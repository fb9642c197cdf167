package channel

import (
	"context"
	"sync"
)

// lingering are the handler queues of channels that have ended in an orderly
// way and still have events to handle.
type lingering struct {
	mu     sync.Mutex
	queues map[*queue]struct{}
}

func (l *lingering) add(q *queue) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.queues == nil {
		l.queues = make(map[*queue]struct{})
	}
	l.queues[q] = struct{}{}
}

func (l *lingering) remove(q *queue) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.queues, q)
}

func (l *lingering) all() []*queue {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]*queue, 0, len(l.queues))
	for q := range l.queues {
		all = append(all, q)
	}
	return all
}

// Settle waits until the events of channels that have ended are handled, or ctx
// ends. A handler that ctx belongs to is not waited for.
func (e *Env) Settle(ctx context.Context) error {
	self, _ := ctx.Value(jobKey{}).(*job)
	for _, q := range e.lingering.all() {
		idle := q.wait(self)
		if idle == nil {
			continue
		}
		select {
		case <-idle:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// Abandon drops the events that Settle would wait for and ends the contexts of
// their handlers.
func (e *Env) Abandon(cause error) {
	for _, q := range e.lingering.all() {
		q.close(cause, false)
	}
}
