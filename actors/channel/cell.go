package channel

import (
	"sync"
	"sync/atomic"

	"github.com/pando-agents/pando/protocol/session"
)

// cell is the state of a channel that survives its incarnations. What a step
// of the session decided stays here until it is carried out, so that a crash
// between deciding and doing loses nothing: the next incarnation goes on with
// the effect that was not finished.
type cell struct {
	// owner is the generation in charge, shifted left, and one bit that says
	// that it is at work.
	owner atomic.Uint64

	// The rest belongs to whoever is inside do.
	session  *session.Session
	input    *input            // what is being taken, until it has been
	attempts int               // how often it was begun
	buffer   *[]session.Effect // what effects is a part of
	effects  []session.Effect
	next     int  // the first effect that is not carried out
	tries    int  // how often that one has been begun
	broken   bool // inside a step of the session, or stuck there by a panic
	link     *link
}

const busyBit = 1

// do runs fn with the cell, if gen is the generation in charge. Otherwise it
// returns errFenced.
func (c *cell) do(gen uint64, fn func()) error {
	if !c.owner.CompareAndSwap(gen<<1, gen<<1|busyBit) {
		return errFenced
	}
	defer c.owner.CompareAndSwap(gen<<1|busyBit, gen<<1) // fails when taken over meanwhile
	fn()
	return nil
}

// take puts generation gen in charge. It reports false when an older one is
// still at work inside the cell, or left the session in the middle of a step:
// nobody can use it any more.
func (c *cell) take(gen uint64) bool {
	for {
		old := c.owner.Load()
		if c.owner.CompareAndSwap(old, gen<<1) {
			return old&busyBit == 0 && !c.broken
		}
	}
}

// step asks the session what to do about ev.
func (c *cell) step(ev *session.Event) {
	if c.buffer == nil {
		c.buffer = effectBuffers.Get().(*[]session.Effect)
	}
	c.effects, c.next, c.tries = c.session.AppendStep((*c.buffer)[:0], ev), 0, 0
	*c.buffer = c.effects[:0]
}

// current returns the next effect to carry out, or nil. done goes on to the
// one behind it.
func (c *cell) current() *session.Effect {
	if c.next == len(c.effects) {
		return nil
	}
	return &c.effects[c.next]
}

func (c *cell) done() {
	c.effects[c.next] = session.Effect{}
	c.next++
	c.tries = 0
}

// rest gives the effect buffer back when there is nothing to do: a channel at
// rest holds neither the buffer nor its last message.
func (c *cell) rest() {
	if c.buffer == nil || c.next < len(c.effects) {
		return
	}
	effectBuffers.Put(c.buffer)
	c.buffer, c.effects, c.next = nil, nil, 0
}

var effectBuffers = sync.Pool{New: func() any {
	b := make([]session.Effect, 0, 8)
	return &b
}}
