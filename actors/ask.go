package actors

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
)

// Reply takes the answer to a request. A message that wants one embeds it:
//
//	type get struct {
//		actors.Reply[int]
//		key string
//	}
//
// and the actor answers with m.Send(value) or m.Fail(err), now or later, on any
// goroutine. The first answer counts. The zero Reply is for nobody: the message
// may be sent with Tell too. Embedded, it tells the asker that a policy of the
// mailbox has dropped the message; as a field it works as well, but for that.
type Reply[R any] struct{ call *call[R] }

const (
	callWaits int32 = iota
	callAnswered
	callLeft
)

type call[R any] struct {
	state atomic.Int32
	done  chan struct{} // has room for one; the answer is there
	value R
	err   error
	asked *asked // set when the asker is far away: the answer goes there
}

// Send answers the request. It reports whether the asker still waited.
func (r Reply[R]) Send(v R) bool { return r.answer(v, nil) }

// Fail answers the request with an error, which must not be nil. It reports
// whether the asker still waited.
func (r Reply[R]) Fail(err error) bool {
	var none R
	return r.answer(none, err)
}

// NotHandled makes a message that embeds a Reply an Unhandled one.
func (r Reply[R]) NotHandled(err error) { r.Fail(err) }

func (r Reply[R]) answer(v R, err error) bool {
	c := r.call
	if c == nil || !c.state.CompareAndSwap(callWaits, callAnswered) {
		return false
	}
	if c.asked != nil {
		c.asked.answered(v, err)
		return true
	}
	c.value, c.err = v, err
	c.done <- struct{}{}
	return true
}

// Ask sends the message that request makes and waits for the answer, until ctx
// ends: that is its deadline. It fails at once with ErrNotRun when the
// incarnation that has taken the message fails without an answer, even if
// another actor was to give it, and with ErrStopped when the actor stops. A
// message that still waits when an incarnation fails waits for the next one.
// Other errors: those of Tell, that of Reply.Fail, and the cause of ctx,
// wrapped. It blocks, and so is not for use inside Receive; a goroutine that the
// actor has started may use it.
func Ask[M, R any](ctx context.Context, to Ref[M], request func(Reply[R]) M) (R, error) {
	var none R
	box := to.box()
	if box == nil {
		return askFar(ctx, to.process.far, request)
	}
	signals := &to.process.sys.signals
	done, ok := signals.Get().(chan struct{})
	if !ok {
		done = make(chan struct{}, 1)
	}
	c := &call[R]{done: done}
	number, ended, err := box.pushAsk(ctx, request(Reply[R]{c}))
	if err == nil {
		runtime.Gosched() // most answers are there when the actor has had its turn
	}
	for err == nil && c.state.Load() == callWaits {
		select {
		case <-done:
			signals.Put(done)
			return c.value, c.err
		case <-ctx.Done():
			err = fmt.Errorf("ask actor %s: %w", to.process.spec.Name, context.Cause(ctx))
		case <-ended:
			ended, err = box.askAgain(number)
		}
	}
	if !c.state.CompareAndSwap(callWaits, callLeft) {
		<-done // the answer is there, or about to be
		signals.Put(done)
		return c.value, c.err
	}
	signals.Put(done)
	return none, err
}

// pushAsk is a push, with waiting, that returns the number of the message and
// a channel that is closed when an incarnation has ended.
func (m *mailbox[M]) pushAsk(ctx context.Context, v M) (number uint64, ended <-chan struct{}, err error) {
	for {
		m.mu.Lock()
		if m.asked == nil && !m.closed {
			m.asked = make(chan struct{})
		}
		number, ended = m.pushed, m.asked
		err = m.add(v)
		switch {
		case err == errDropped:
			return 0, nil, ErrMailboxFull
		case err != ErrMailboxFull || !m.waits(ctx):
			return number, ended, err
		}
		if err := m.awaitRoom(ctx); err != nil {
			return 0, nil, err
		}
	}
}

// askAgain looks whether a message has gone with the incarnations that have
// ended. If not, it returns the channel for the next end.
func (m *mailbox[M]) askAgain(number uint64) (ended <-chan struct{}, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.closed:
		return nil, ErrStopped
	case number < m.gone:
		return nil, ErrNotRun
	case m.asked == nil:
		m.asked = make(chan struct{})
	}
	return m.asked, nil
}

// tellAskers wakes those who wait for an answer, to look whether their message
// has gone with the incarnation. It is called with the mutex held.
func (m *mailbox[M]) tellAskers() {
	m.gone = m.pushed - uint64(len(m.in)+m.rest())
	if m.asked != nil {
		close(m.asked)
		m.asked = nil
	}
	if m.owes != nil {
		m.failAsked()
	}
}
