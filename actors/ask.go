package actors

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
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
	callTaken  int32 = 1 << iota // somebody gives the answer, or nobody waits for it any more
	callReady                    // the answer is there
	callParked                   // the asker waits on done
)

type call[R any] struct {
	state atomic.Int32
	done  chan struct{} // has room for one; set when the asker parks
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

// Waits reports whether somebody waits for the answer: work for nobody need not
// be begun. That of an asker far away who has left may be true for a while.
func (r Reply[R]) Waits() bool { return r.call != nil && r.call.state.Load()&callTaken == 0 }

// NotHandled makes a message that embeds a Reply an Unhandled one.
func (r Reply[R]) NotHandled(err error) { r.Fail(err) }

func (r Reply[R]) answer(v R, err error) bool {
	c := r.call
	if c == nil || !c.leave() {
		return false
	}
	if c.asked != nil {
		c.asked.answered(v, err)
		return true
	}
	c.value, c.err = v, err
	if c.state.Or(callReady)&callParked != 0 {
		c.done <- struct{}{}
	}
	return true
}

// leave makes sure that no answer counts that is not under way. It reports false
// when one is.
func (c *call[R]) leave() bool { return c.state.Or(callTaken)&callTaken == 0 }

func (c *call[R]) ready() bool { return c.state.Load()&callReady != 0 }

// park has the asker told on done when the answer is there. It reports false
// when it is there already.
func (c *call[R]) park(done chan struct{}) bool {
	c.done = done
	return c.state.Or(callParked)&callReady == 0
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
	return ask(ctx, time.Time{}, to, request)
}

// AskWithin is Ask with a deadline of its own, after d. It costs less than a
// context with a deadline for each request: a timer is made only when the answer
// is not there as soon as the actor has had its turn.
func AskWithin[M, R any](ctx context.Context, d time.Duration, to Ref[M], request func(Reply[R]) M) (R, error) {
	return ask(ctx, time.Now().Add(d), to, request)
}

func ask[M, R any](ctx context.Context, until time.Time, to Ref[M], request func(Reply[R]) M) (R, error) {
	box := to.box()
	if box == nil {
		ctx, cancel := within(ctx, until)
		defer cancel()
		return askFar(ctx, to.process.far, request)
	}
	c := new(call[R])
	m := request(Reply[R]{c})
	number, ended, err := box.pushAsk(m)
	if err == nil {
		runtime.Gosched() // most answers are there when the actor has had its turn
		if c.ready() {
			return c.value, c.err
		}
	}
	ctx, cancel := within(ctx, until)
	defer cancel()
	if err == ErrMailboxFull && box.waits(ctx) {
		number, ended, err = box.pushAskWait(ctx, m)
	}
	return c.await(ctx, box, number, ended, err)
}

// within returns a context that ends then, if that is set.
func within(ctx context.Context, until time.Time) (context.Context, context.CancelFunc) {
	if until.IsZero() {
		return ctx, func() {}
	}
	return context.WithDeadline(ctx, until)
}

// asker is what an asker needs of the mailbox, whatever its messages are.
type asker interface {
	name() string
	signals() *sync.Pool
	askAgain(number uint64) (ended <-chan struct{}, err error)
}

// await waits for the answer to message number, if err does not say already why
// there is none.
func (c *call[R]) await(ctx context.Context, box asker, number uint64, ended <-chan struct{}, err error) (R, error) {
	signals := box.signals()
	done, ok := signals.Get().(chan struct{})
	if !ok {
		done = make(chan struct{}, 1)
	}
	defer signals.Put(done)
	if !c.park(done) {
		return c.value, c.err
	}
	for err == nil {
		select {
		case <-done:
			return c.value, c.err
		case <-ctx.Done():
			err = fmt.Errorf("ask actor %s: %w", box.name(), context.Cause(ctx))
		case <-ended:
			ended, err = box.askAgain(number)
		}
	}
	if c.leave() {
		var none R
		return none, err
	}
	<-done // the answer is there, or about to be
	return c.value, c.err
}

func (m *mailbox[M]) name() string { return m.owner.p.spec.Name }

func (m *mailbox[M]) signals() *sync.Pool { return &m.owner.p.sys.signals }

// pushAsk is a push that returns the number of the message and a channel that is
// closed when an incarnation has ended.
func (m *mailbox[M]) pushAsk(v M) (number uint64, ended <-chan struct{}, err error) {
	m.mu.Lock()
	if m.asked == nil && !m.closed {
		m.asked = make(chan struct{})
	}
	number, ended = m.pushed, m.asked
	if err = m.add(v); err == errDropped {
		err = ErrMailboxFull
	}
	return number, ended, err
}

// pushAskWait is pushAsk that waits for room until ctx ends.
func (m *mailbox[M]) pushAskWait(ctx context.Context, v M) (number uint64, ended <-chan struct{}, err error) {
	for {
		if err := m.awaitRoom(ctx); err != nil {
			return 0, nil, err
		}
		if number, ended, err = m.pushAsk(v); err != ErrMailboxFull {
			return number, ended, err
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
