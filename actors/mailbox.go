package actors

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/pando-agents/pando/internal/ring"
)

// keepBatch is the batch capacity that an idle mailbox keeps: enough for
// steady traffic, small enough for many thousand idle actors.
const keepBatch = 8

// mailbox is a queue with three lanes and, at the same time, the task that
// empties them. System messages go first and are handled even while the
// mailbox is suspended; control messages overtake user messages; user messages
// are taken in batches, so that a producer and the actor meet at the mutex once
// a batch. It is part of its shell, and its fields are ordered to keep an idle
// actor small.
type mailbox[M any] struct {
	owner *shell[M] // handles messages, and recovers from what they do

	mu      sync.Mutex
	lanes   *lanes[M] // nil while nothing is in them
	in      []M
	room    chan struct{} // closed when room appears; nil while nobody waits
	asked   chan struct{} // closed when an incarnation ends; nil while nobody asks
	owes    *asked        // the latest request from afar that has no answer yet
	pushed  uint64        // user messages accepted, ever
	gone    uint64        // those of pushed that went with incarnations that have ended
	dropped uint64        // user messages that a policy has dropped

	out       []M          // the batch being handled, set by the running task
	next      atomic.Int32 // what of it has been claimed, by the task or by others
	highWater int32
	urgent    atomic.Bool // the task has to look up before the next user message
	worked    bool        // the task has handled a message since the last idle hook
	active    bool        // scheduled or running
	suspended bool
	closed    bool
}

// lanes are what overtakes user messages.
type lanes[M any] struct {
	sys     []any
	ctl     ring.Ring[M]
	control bool // the control lane is in use: keep its memory
}

func (l *lanes[M]) empty() bool { return l == nil || len(l.sys) == 0 && l.ctl.Len() == 0 }

// lane returns the lanes, made when they are needed. It is called with the
// mutex held.
func (m *mailbox[M]) lane() *lanes[M] {
	if m.lanes == nil {
		m.lanes = new(lanes[M])
	}
	return m.lanes
}

// push adds a user message. Full mailboxes do what their policy says.
func (m *mailbox[M]) push(v M) error {
	m.mu.Lock()
	return m.add(v)
}

// add is push with the mutex held, which it releases. It returns errDropped
// when the policy has dropped v.
func (m *mailbox[M]) add(v M) error {
	if m.closed {
		m.mu.Unlock()
		return ErrStopped
	}
	n := len(m.in)
	spec := &m.owner.p.spec
	if spec.Overflow == DropOldest {
		n += m.rest()
	}
	if n >= spec.Capacity {
		switch spec.Overflow {
		case Unbounded:
		case DropOldest:
			return m.replace(v)
		case DropNewest:
			m.dropped++
			m.mu.Unlock()
			m.owner.p.lost(v, ErrMailboxFull)
			return errDropped
		default:
			m.mu.Unlock()
			return ErrMailboxFull
		}
	}
	m.accept(v)
	m.wake()
	return nil
}

func (m *mailbox[M]) accept(v M) {
	m.in = append(m.in, v)
	m.pushed++
	m.highWater = max(m.highWater, int32(len(m.in)))
}

// replace adds v in the place of the oldest message that waits. It is called
// with the mutex held and releases it.
func (m *mailbox[M]) replace(v M) error {
	old, drops := m.claim()
	if !drops && len(m.in) >= m.owner.p.spec.Capacity { // otherwise the task has just made room
		var zero M
		old, m.in[0] = m.in[0], zero
		m.in, drops = m.in[1:], true
	}
	m.accept(v)
	if !drops {
		m.wake()
		return nil
	}
	m.dropped++
	m.wake()
	m.owner.p.lost(old, ErrMailboxFull)
	return nil
}

// rest is how much of the batch has not been claimed.
func (m *mailbox[M]) rest() int { return max(0, len(m.out)-int(m.next.Load())) }

// waits reports whether a sender with ctx may wait for room.
func (m *mailbox[M]) waits(ctx context.Context) bool {
	return m.owner.p.spec.Overflow == Block && ctx.Value(insideActor{}) == nil
}

// pushWait is push that waits for room until ctx ends.
func (m *mailbox[M]) pushWait(ctx context.Context, v M) error {
	for {
		if err := m.awaitRoom(ctx); err != nil {
			return err
		}
		if err := m.push(v); err != ErrMailboxFull {
			return err
		}
	}
}

// awaitRoom waits until there is room, perhaps, or the mailbox is closed.
func (m *mailbox[M]) awaitRoom(ctx context.Context) error {
	m.mu.Lock()
	if len(m.in) < m.owner.p.spec.Capacity || m.closed {
		m.mu.Unlock()
		return nil
	}
	if m.room == nil {
		m.room = make(chan struct{})
	}
	room := m.room
	m.mu.Unlock()
	select {
	case <-room:
		return nil
	case <-ctx.Done():
		return ErrMailboxFull
	}
}

// pushControl adds a message to the control lane, which is not bounded: only
// the shell and the owner of the actor write there.
func (m *mailbox[M]) pushControl(v M) error {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return ErrStopped
	}
	l := m.lane()
	l.control = true
	l.ctl.Push(v)
	m.attend()
	m.wake()
	return nil
}

// pushSystem adds a system message, which also reaches a suspended mailbox.
func (m *mailbox[M]) pushSystem(v any) bool {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return false
	}
	l := m.lane()
	l.sys = append(l.sys, v)
	m.attend()
	m.wake()
	return true
}

// attend says whether the task has to look up before the next user message. It
// is called with the mutex held, after each change of what it looks at.
func (m *mailbox[M]) attend() {
	if urgent := !m.lanes.empty() || m.suspended || m.closed; urgent != m.urgent.Load() {
		m.urgent.Store(urgent)
	}
}

// wake schedules the task unless it is active. It is called with the mutex
// held and releases it.
func (m *mailbox[M]) wake() {
	start := !m.active && (!m.suspended || m.lanes != nil && len(m.lanes.sys) > 0)
	if start {
		m.active = true
	}
	m.mu.Unlock()
	if start {
		m.owner.schedule()
	}
}

// suspend stops the delivery of control and user messages; resume undoes it.
// What waits is kept, or not, as the spec says.
func (m *mailbox[M]) suspend() {
	m.mu.Lock()
	m.suspended = true
	m.attend()
	choice := m.owner.p.spec.OnFailure
	var waiting queued[M]
	if choice != KeepQueued {
		waiting = m.seize()
	}
	if choice == DropQueued {
		m.dropped += uint64(len(waiting.batch) + len(waiting.in) + waiting.ctl.Len())
	}
	m.tellAskers()
	m.mu.Unlock()
	if choice == DeadLetterQueued {
		waiting.bury(m.owner.p, ErrNotRun)
	}
	clear(waiting.batch) // what is left of it stays in the mailbox
}

func (m *mailbox[M]) resume() {
	m.mu.Lock()
	m.suspended = false
	m.attend()
	m.wake()
}

// close refuses further messages and buries those that wait, what is left of
// the batch under way included: a task that hangs in user code must not keep
// them.
func (m *mailbox[M]) close() {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return
	}
	m.closed = true
	m.attend()
	waiting := m.seize()
	m.tellAskers()
	m.mu.Unlock()
	waiting.bury(m.owner.p, ErrStopped)
}

// queued is what was taken out of a mailbox without being handled.
type queued[M any] struct {
	batch, in []M
	ctl       ring.Ring[M]
}

// seize takes out everything but system messages. It is called with the mutex
// held.
func (m *mailbox[M]) seize() queued[M] {
	end := int32(len(m.out))
	q := queued[M]{batch: m.out[min(m.next.Swap(end), end):], in: m.in}
	m.in = nil
	if m.lanes != nil {
		q.ctl, m.lanes.ctl = m.lanes.ctl, ring.Ring[M]{}
	}
	m.freeRoom()
	return q
}

func (q *queued[M]) bury(p *Process[M], err error) {
	for _, rest := range [][]M{q.batch, q.in} {
		for _, v := range rest {
			p.lost(v, err)
		}
	}
	for v, ok := q.ctl.Pop(); ok; v, ok = q.ctl.Pop() {
		p.lost(v, err)
	}
}

// freeRoom wakes those who wait for room. It is called with the mutex held.
func (m *mailbox[M]) freeRoom() {
	if m.room != nil {
		close(m.room)
		m.room = nil
	}
}

// load returns how full the mailbox is and was.
func (m *mailbox[M]) load() (waiting, highWater int, dropped uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	waiting = len(m.in) + m.rest()
	return waiting, max(waiting, int(m.highWater)), m.dropped
}
