package channel

import (
	"context"
	"sync"

	"github.com/pando-agents/pando/internal/ring"
)

// inbox holds the messages that wait for Receive.
type inbox struct {
	mu       sync.Mutex
	messages ring.Ring[*Message]
	bytes    int
	max      int
	maxBytes int
	err      error
	arrived  chan struct{} // closed at the next change; nil while nobody waits
}

func newInbox(messages, bytes int) *inbox { return &inbox{max: messages, maxBytes: bytes} }

// push adds a message; false means that there is no room.
func (b *inbox) push(m *Message) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.messages.Len() >= b.max || b.bytes > 0 && b.bytes+len(m.Data) > b.maxBytes {
		return false
	}
	b.messages.Push(m)
	b.bytes += len(m.Data)
	b.wake()
	return true
}

// end lets receivers have what is queued and then err.
func (b *inbox) end(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.err = err
	b.wake()
}

func (b *inbox) wake() {
	if b.arrived != nil {
		close(b.arrived)
		b.arrived = nil
	}
}

// pop takes the oldest message. With none it returns the end of the inbox, or a
// channel to wait on.
func (b *inbox) pop() (*Message, <-chan struct{}, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if m, ok := b.messages.Pop(); ok {
		b.bytes -= len(m.Data)
		return m, nil, nil
	}
	if b.err != nil {
		return nil, nil, b.err
	}
	if b.arrived == nil {
		b.arrived = make(chan struct{})
	}
	return nil, b.arrived, nil
}

// Receive returns the next message that no handler takes, in order of arrival.
// It blocks until there is one, ctx ends (ErrTimeout, ErrCanceled) or the
// channel has ended: then what is queued comes first, and the end after it. It
// needs a channel that was opened with an inbox (ErrNoInbox).
func (c *Channel) Receive(ctx context.Context) (*Message, error) {
	if c.inbox == nil {
		return nil, &Error{Code: CodeNoInbox, Op: "receive", Peer: c.peer}
	}
	for {
		m, arrived, err := c.inbox.pop()
		switch {
		case m != nil:
			return m, nil
		case err != nil:
			return nil, c.ending("receive")
		}
		select {
		case <-arrived:
		case <-ctx.Done():
			return nil, c.ctxError(ctx, "receive")
		}
	}
}
