package supervisor

import (
	"context"
	"sync"
)

// StartChild adds a child after the others and returns when its start is complete. Starts of different children
// run at the same time, without a goroutine that stays for a Process; but where children are restarted together each
// start waits for those before it.
//
// When it returns an error there is no such child: ErrStartFailed with the reason inside, ErrInvalidSpec,
// ErrDuplicate, ErrTooMany, ErrNotRunning, ErrTerminated if the child was stopped meanwhile, or, when ctx is done, its error:
// the child is then being stopped and removed. A child that is still in its own start, which ctx tells, gets
// ErrWouldDeadlock.
func (s *Supervisor) StartChild(ctx context.Context, spec Spec) error {
	if err := spec.validate(s.opts.AutoShutdown); err != nil {
		return err
	}
	for inc := incarnationOf(ctx); inc != nil; inc = inc.outer {
		if inc.s == s && !inc.isUp() {
			return &Error{Code: CodeWouldDeadlock, Child: inc.c.spec.ID}
		}
	}
	c := &child{spec: spec}
	err, answered := s.ask(ctx, event{kind: evAdd, c: c})
	if !answered {
		s.post(event{kind: evForget, c: c})
	}
	return err
}

// Terminate stops the child and waits for its end. It is not started again before Restart asks for it, or its group
// is restarted; a Temporary one, and any child of a Dynamic supervisor, is removed. A child that does not stop in time
// is given up all the same; the error is then ErrAbandoned. If ctx is done earlier the stop goes on. Other errors are
// ErrNotFound, ErrNotRunning, and ErrWouldDeadlock if ctx is the child's own.
func (s *Supervisor) Terminate(ctx context.Context, id string) error {
	return s.askOther(ctx, id, evTerminate)
}

// Restart stops the child if it is running, starts it again, and returns when it is up. A child in back-off is
// started at once. Its siblings are left alone, whatever the strategy is; in a restart of its group it waits for its
// turn.
//
// It spends no budget, unless the start fails: that is returned (ErrStartFailed), and counts like any other failed
// restart, so that the child is tried again unless it is Temporary. Only a child that was down goes back there. If ctx
// is done earlier the restart goes on. Other errors are those of Terminate, and ErrTerminated if the child was stopped
// meanwhile.
func (s *Supervisor) Restart(ctx context.Context, id string) error {
	return s.askOther(ctx, id, evRestart)
}

// Delete forgets a child that is down: its id is free. The error is ErrRunning if the child is in any other state,
// ErrNotFound, ErrNotRunning, or that of ctx.
func (s *Supervisor) Delete(ctx context.Context, id string) error {
	err, _ := s.ask(ctx, event{kind: evDelete, id: id})
	return err
}

func (s *Supervisor) askOther(ctx context.Context, id string, kind eventKind) error {
	for inc := incarnationOf(ctx); inc != nil; inc = inc.outer {
		if inc.s == s && inc.c.spec.ID == id {
			return &Error{Code: CodeWouldDeadlock, Child: id}
		}
	}
	err, _ := s.ask(ctx, event{kind: kind, id: id})
	return err
}

// ask posts ev and waits for the answer, or for the end of ctx.
func (s *Supervisor) ask(ctx context.Context, ev event) (err error, answered bool) {
	if ctx.Err() != nil {
		return context.Cause(ctx), true
	}
	ev.w = &waiter{reply: make(chan error, 1)}
	s.post(ev)
	select {
	case err := <-ev.w.reply:
		return err, true
	case <-ctx.Done():
	}
	select {
	case err := <-ev.w.reply:
		return err, true
	default:
		return context.Cause(ctx), false
	}
}

// callbacks calls OnGiveUp, one call at a time and in order, on a goroutine that lives only while there is a call
// to make.
type callbacks struct {
	mu      sync.Mutex
	pending []func()
	busy    bool
}

func (q *callbacks) add(s *Supervisor, id string, reason error) {
	call := func() {
		protect(func() error { s.opts.OnGiveUp(id, reason); return nil }, func(err error) {
			if err != nil {
				s.opts.Logger.Error("OnGiveUp failed", "supervisor", s.place.Load().path, "actor", id, "err", err)
			}
		})
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.pending = append(q.pending, call)
	if !q.busy {
		q.busy = true
		go q.work()
	}
}

func (q *callbacks) work() {
	// A call that ends the goroutine must not end the calls.
	defer func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		if q.busy = len(q.pending) > 0; q.busy {
			go q.work()
		}
	}()
	for {
		q.mu.Lock()
		if len(q.pending) == 0 {
			q.mu.Unlock()
			return
		}
		call := q.pending[0]
		q.pending = q.pending[1:]
		q.mu.Unlock()
		call()
	}
}
