package actors

import "context"

// Deliver puts a message that has come from afar in the mailbox of to, as Tell
// does. m is a pointer to it; message makes of that what the actor takes, after
// the Reply that m embeds, if it does, has been bound to answer, which gets what
// a local Ask would return: once, on any goroutine. It must not block. When
// Deliver returns an error, answer is not called.
func Deliver[M any](ctx context.Context, to Ref[M], m any, message func() M, answer func(v any, err error)) error {
	b, ok := m.(binder)
	if !ok || answer == nil {
		return to.Tell(ctx, message())
	}
	box := to.box()
	if box == nil {
		return ErrStopped
	}
	a := &asked{box: box, answer: answer}
	a.pending = b.bind(a)
	return box.pushAsked(ctx, message(), a)
}

// asked is a request from afar that an actor has and has not answered. Those of
// one mailbox are linked, so that the end of an incarnation finds them.
type asked struct {
	box     interface{ forget(*asked) }
	answer  func(v any, err error)
	pending Answer

	// The rest is guarded by the mutex of the mailbox.
	number     uint64 // of the message
	prev, next *asked
	linked     bool
}

// answered hands the answer over. It is called once.
func (a *asked) answered(v any, err error) {
	a.box.forget(a)
	a.answer(v, err)
}

// pushAsked is a push, with waiting, of a message that wants an answer.
func (m *mailbox[M]) pushAsked(ctx context.Context, v M, a *asked) error {
	for {
		m.mu.Lock()
		if !m.closed {
			m.link(a)
		}
		err := m.add(v)
		if err == nil || err == errDropped {
			return nil // dropped, it has been answered: the Reply was told
		}
		m.forget(a)
		if err != ErrMailboxFull || !m.waits(ctx) {
			return err
		}
		if err := m.awaitRoom(ctx); err != nil {
			return err
		}
	}
}

// link is called with the mutex held, before the message is pushed: its answer
// may come at once.
func (m *mailbox[M]) link(a *asked) {
	a.number, a.linked, a.prev, a.next = m.pushed, true, nil, m.owes
	if a.next != nil {
		a.next.prev = a
	}
	m.owes = a
}

func (m *mailbox[M]) unlink(a *asked) {
	if !a.linked {
		return
	}
	a.linked = false
	if a.prev != nil {
		a.prev.next = a.next
	} else {
		m.owes = a.next
	}
	if a.next != nil {
		a.next.prev = a.prev
	}
}

func (m *mailbox[M]) forget(a *asked) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.unlink(a)
}

// failAsked answers those requests from afar whose messages have gone with the
// incarnation, as Ask would. It is called with the mutex held.
func (m *mailbox[M]) failAsked() {
	err := ErrNotRun
	if m.closed {
		err = ErrStopped
	}
	var gone []*asked
	for a := m.owes; a != nil; a = a.next {
		if m.closed || a.number < m.gone {
			gone = append(gone, a)
		}
	}
	if gone == nil {
		return
	}
	for _, a := range gone {
		m.unlink(a)
	}
	m.owner.p.sys.dispatcher.Schedule(func() {
		for _, a := range gone {
			a.pending.Fail(err)
		}
	})
}
