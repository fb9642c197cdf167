package channel

import (
	"context"
	"errors"
	"sync"
	"time"
)

// errHandlerDone is the cause under which the context of a handler ends when
// the handler has returned.
var errHandlerDone = errors.New("handler has returned")

// scope is the context of one running handler. It is cheaper than a
// context.WithDeadline: the channel's own timer watches the deadline, and the
// Done channel is only made for handlers that ask for it.
type scope struct {
	deadline time.Time
	job      *job

	mu    sync.Mutex
	done  chan struct{}
	err   error
	after map[*func()]struct{}
}

var _ context.Context = (*scope)(nil)

// jobKey finds the job that a context belongs to.
type jobKey struct{}

// Deadline returns when the handler will be abandoned.
func (s *scope) Deadline() (time.Time, bool) { return s.deadline, true }

// Done returns a channel that is closed when the handler has to end.
func (s *scope) Done() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done == nil {
		s.done = make(chan struct{})
		if s.err != nil {
			close(s.done)
		}
	}
	return s.done
}

// Err returns why the handler has to end, nil before.
func (s *scope) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Value finds the job; there are no other values.
func (s *scope) Value(key any) any {
	if _, ok := key.(jobKey); ok {
		return s.job
	}
	return nil
}

// AfterFunc lets the context package derive contexts without a goroutine each.
func (s *scope) AfterFunc(f func()) (stop func() bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		go f()
		return func() bool { return false }
	}
	if s.after == nil {
		s.after = make(map[*func()]struct{})
	}
	s.after[&f] = struct{}{}
	return func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		_, there := s.after[&f]
		delete(s.after, &f)
		return there
	}
}

// cancel ends the context; the first cause counts.
func (s *scope) cancel(err error) {
	s.mu.Lock()
	if s.err != nil {
		s.mu.Unlock()
		return
	}
	s.err = err
	if s.done != nil {
		close(s.done)
	}
	after := s.after
	s.after = nil
	s.mu.Unlock()
	for f := range after {
		go (*f)()
	}
}

// InHandler reports whether ctx is, or was made from, the context of a handler.
func InHandler(ctx context.Context) bool {
	_, ok := ctx.Value(jobKey{}).(*job)
	return ok
}
