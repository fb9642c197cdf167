package actors

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/pando-agents/pando/internal/ring"
)

// DefaultCapacity is how many user messages a mailbox holds when its spec says
// nothing.
const DefaultCapacity = 1024

// keepBatch is the batch capacity that an idle mailbox keeps: enough for
// steady traffic, small enough for many thousand idle actors.
const keepBatch = 8

// mailbox is a bounded queue with three lanes and, at the same time, the task
// that empties them. System messages go first and are handled even while the
// mailbox is suspended; control messages overtake user messages; user messages
// are taken in batches, so that a producer and the actor meet at the mutex once
// a batch.
type mailbox[M any] struct {
	owner *shell[M] // handles messages, and recovers from what they do
	runFn func()    // m.run as a value, made once

	mu        sync.Mutex
	sys       []any
	ctl       ring.Ring[M]
	in        []M
	capacity  int
	active    bool // scheduled or running
	suspended bool
	closed    bool
	room      chan struct{} // closed when room appears; nil while nobody waits
	highWater int

	urgent atomic.Bool  // the task has to look up before the next user message
	out    []M          // the batch being handled, set by the running task
	next   atomic.Int64 // what of it has been claimed, by the task or by close
	depth  atomic.Int64 // user messages waiting
}

var _ actor.Mailbox = (*mailbox[int])(nil)

// push adds a user message.
func (m *mailbox[M]) push(v M) error {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return ErrStopped
	}
	n := int(m.depth.Load())
	if n >= m.capacity {
		m.mu.Unlock()
		return ErrMailboxFull
	}
	m.in = append(m.in, v)
	m.depth.Store(int64(n + 1))
	m.highWater = max(m.highWater, n+1)
	m.wake()
	return nil
}

// pushWait is push that waits for room until ctx ends.
func (m *mailbox[M]) pushWait(ctx context.Context, v M) error {
	for {
		err := m.push(v)
		if err != ErrMailboxFull {
			return err
		}
		m.mu.Lock()
		if int(m.depth.Load()) < m.capacity || m.closed {
			m.mu.Unlock()
			continue
		}
		if m.room == nil {
			m.room = make(chan struct{})
		}
		room := m.room
		m.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return ErrMailboxFull
		}
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
	m.ctl.Push(v)
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
	m.sys = append(m.sys, v)
	m.attend()
	m.wake()
	return true
}

// attend says whether the task has to look up before the next user message. It
// is called with the mutex held, after each change of what it looks at.
func (m *mailbox[M]) attend() {
	m.urgent.Store(len(m.sys) > 0 || m.ctl.Len() > 0 || m.suspended || m.closed)
}

// wake schedules the task unless it is active. It is called with the mutex
// held and releases it.
func (m *mailbox[M]) wake() {
	start := !m.active && (len(m.sys) > 0 || !m.suspended)
	if start {
		m.active = true
	}
	m.mu.Unlock()
	if start {
		m.owner.schedule(m.runFn)
	}
}

// run is one activation: it handles what there is and returns when the lanes
// are empty.
func (m *mailbox[M]) run() {
	finished := false
	defer func() {
		if !finished { // runtime.Goexit in user code unwound us: go on elsewhere
			m.owner.schedule(m.runFn)
		}
	}()
	worked := false
	for {
		for !m.urgent.Load() {
			v, ok := m.claim()
			if !ok {
				break
			}
			worked = true
			m.owner.handle(v)
		}
		more, quiet := m.take(&worked)
		if quiet {
			finished = true
			return
		}
		if !more && worked {
			worked = false
			m.owner.idle()
		}
	}
}

// claim takes the next message of the batch. Close claims what is left of it
// when the task is held up in user code.
func (m *mailbox[M]) claim() (v M, ok bool) {
	if m.next.Load() >= int64(len(m.out)) {
		return v, false
	}
	i := m.next.Add(1) - 1
	if i >= int64(len(m.out)) {
		return v, false
	}
	var zero M
	v, m.out[i] = m.out[i], zero
	return v, true
}

// take handles one urgent message or fetches the next batch. more says that
// there is work; quiet, that there was none and the task has ended.
func (m *mailbox[M]) take(worked *bool) (more, quiet bool) {
	m.mu.Lock()
	if len(m.sys) > 0 {
		v := m.sys[0]
		m.sys[0] = nil
		m.sys = m.sys[1:]
		if len(m.sys) == 0 {
			m.sys = nil
		}
		m.attend()
		m.mu.Unlock()
		m.owner.system(v)
		return true, false
	}
	if m.closed {
		m.out, m.active = nil, false
		m.mu.Unlock()
		return false, true
	}
	if m.suspended {
		m.active = false
		m.mu.Unlock()
		return false, true
	}
	if v, ok := m.ctl.Pop(); ok {
		m.attend()
		m.mu.Unlock()
		*worked = true
		m.owner.handle(v)
		return true, false
	}
	m.attend()
	if m.next.Load() < int64(len(m.out)) {
		m.mu.Unlock()
		return true, false
	}
	if len(m.in) > 0 {
		m.swap()
		m.mu.Unlock()
		return true, false
	}
	if *worked {
		m.mu.Unlock()
		return false, false // let the idle hook run before we leave
	}
	m.release()
	m.active = false
	m.mu.Unlock()
	return false, true
}

// swap makes the collected messages the batch that is handled next.
func (m *mailbox[M]) swap() {
	m.in, m.out = m.out[:0], m.in
	m.next.Store(0)
	m.depth.Store(0)
	if m.room != nil {
		close(m.room)
		m.room = nil
	}
}

// release gives the memory of a burst back.
func (m *mailbox[M]) release() {
	if cap(m.in) > keepBatch {
		m.in = nil
	}
	if cap(m.out) > keepBatch {
		m.out = nil
	}
	m.out = m.out[:0]
	m.next.Store(0)
}

// suspend stops the delivery of control and user messages; resume undoes it.
func (m *mailbox[M]) suspend() {
	m.mu.Lock()
	m.suspended = true
	m.attend()
	m.mu.Unlock()
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
	batch := m.out[min(m.next.Swap(int64(len(m.out))), int64(len(m.out))):]
	in, ctl := m.in, m.ctl
	m.in, m.ctl = nil, ring.Ring[M]{}
	m.depth.Store(0)
	if m.room != nil {
		close(m.room)
		m.room = nil
	}
	m.mu.Unlock()
	for _, rest := range [][]M{batch, in} {
		for _, v := range rest {
			m.owner.p.lost(v, ErrStopped)
		}
	}
	for v, ok := ctl.Pop(); ok; v, ok = ctl.Pop() {
		m.owner.p.lost(v, ErrStopped)
	}
}

// stats returns the user messages waiting and the most that ever waited.
func (m *mailbox[M]) stats() (depth, highWater int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return int(m.depth.Load()), m.highWater
}

// PostUserMessage is how protoactor-go code reaches the actor through its PID.
// It has no way to refuse: what is not an M, or finds no room, is a dead letter.
func (m *mailbox[M]) PostUserMessage(message any) {
	_, body, _ := actor.UnwrapEnvelope(message)
	v, ok := body.(M)
	if !ok {
		m.owner.p.lost(body, ErrNotRun)
		return
	}
	if err := m.push(v); err != nil {
		m.owner.p.lost(v, err)
	}
}

// PostSystemMessage takes protoactor-go's own system messages. Whoever has the
// PID may hold on to this mailbox after its end.
func (m *mailbox[M]) PostSystemMessage(message any) {
	if w, ok := message.(*actor.Watch); !m.pushSystem(message) && ok {
		m.owner.terminated(w.Watcher)
	}
}

// RegisterHandlers is part of actor.Mailbox. The shell has registered itself.
func (m *mailbox[M]) RegisterHandlers(actor.MessageInvoker, actor.Dispatcher) {}

// Start is part of actor.Mailbox; there is nothing to do.
func (m *mailbox[M]) Start() {}

// UserMessageCount returns the user messages waiting.
func (m *mailbox[M]) UserMessageCount() int { return int(m.depth.Load()) }
