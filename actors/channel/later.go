package channel

import (
	"context"
	"sync"
	"time"

	"github.com/pando-agents/pando/protocol"
)

// Later, returned by a handler, says that the answer to the message will come
// from a Promise.
var Later any = promised{}

type promised struct{ _ int }

// Promise is an answer that is owed. It is kept until it is given, or until the
// sender of the message has stopped waiting.
type Promise struct {
	message  *Message
	deadline time.Time
	broken   func(error) // guarded by the mutex of later
}

// later holds the promises of one channel.
type later struct {
	mu       sync.Mutex
	ended    error
	promises map[*Promise]struct{}
	pruneAt  int
	kept     chan struct{} // closed when none is left; nil while nobody asks
}

// fewPromises is how many a channel holds before it looks for those that nobody
// waits for any more.
const fewPromises = 64

// Promise makes the answer to m one that comes later: the handler returns Later.
// The error, for the handler to return, says that the channel has ended or that
// the peer has too many requests that wait for answers.
func (m *Message) Promise() (*Promise, error) {
	c := m.channel
	patience := m.Timeout
	if patience <= 0 {
		patience = c.env.HandlerTimeout
	}
	now := c.env.Now()
	p := &Promise{message: m, deadline: now.Add(patience)}
	l := &c.later
	l.mu.Lock()
	var late []func(error)
	if len(l.promises) >= max(l.pruneAt, fewPromises) {
		late = l.prune(now)
		l.pruneAt = 2 * len(l.promises)
	}
	ended := l.ended
	full := len(l.promises) >= c.env.Limits.Pending
	if !full && ended == nil {
		if l.promises == nil {
			l.promises = make(map[*Promise]struct{})
		}
		l.promises[p] = struct{}{}
	}
	l.mu.Unlock()
	for _, f := range late {
		f(context.DeadlineExceeded)
	}
	if ended != nil {
		return nil, ended
	}
	if full {
		return nil, &RemoteError{Code: protocol.CodeOverloaded, Message: "too many messages wait for their answers"}
	}
	return p, nil
}

// prune drops the promises whose time is over and returns whom to tell. It is
// called with the mutex held.
func (l *later) prune(now time.Time) (late []func(error)) {
	for p := range l.promises {
		if now.After(p.deadline) {
			delete(l.promises, p)
			if p.broken != nil {
				late = append(late, p.broken)
			}
		}
	}
	l.check()
	return late
}

// check tells those who wait for the last promise.
func (l *later) check() {
	if l.kept != nil && len(l.promises) == 0 {
		close(l.kept)
		l.kept = nil
	}
}

// OnBroken calls f when nobody waits for the answer any more, at the latest when
// the channel ends: at once, if that is so already.
func (p *Promise) OnBroken(f func(error)) {
	l := &p.message.channel.later
	l.mu.Lock()
	_, there := l.promises[p]
	if there {
		p.broken = f
	}
	l.mu.Unlock()
	if !there {
		f(context.DeadlineExceeded)
	}
}

// Answer keeps the promise: value and err are what a handler returns. The first
// call counts, if it comes in time.
func (p *Promise) Answer(value any, err error) {
	c := p.message.channel
	c.later.mu.Lock()
	_, there := c.later.promises[p]
	delete(c.later.promises, p)
	c.later.check()
	c.later.mu.Unlock()
	if there {
		c.answer(p.message, value, err)
	}
}

// end breaks all promises.
func (l *later) end(err error) {
	l.mu.Lock()
	all := l.promises
	l.promises, l.ended = nil, err
	l.check()
	var broken []func(error)
	for p := range all {
		if p.broken != nil {
			broken = append(broken, p.broken)
		}
	}
	l.mu.Unlock()
	for _, f := range broken {
		f(err)
	}
}

// wait returns a channel that is closed when no answer is owed any more; nil
// when that is so already.
func (l *later) wait(now time.Time) <-chan struct{} {
	l.mu.Lock()
	late := l.prune(now)
	if len(l.promises) > 0 && l.kept == nil {
		l.kept = make(chan struct{})
	}
	kept := l.kept
	l.mu.Unlock()
	for _, f := range late {
		f(context.DeadlineExceeded)
	}
	return kept
}
