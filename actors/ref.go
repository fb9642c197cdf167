package actors

import (
	"context"

	"github.com/pando-agents/pando/supervisor"
)

// Ref is the address of an actor that takes messages of type M. It is a small
// value, stays valid over restarts, and is safe for concurrent use.
type Ref[M any] struct{ process *Process[M] }

func (r Ref[M]) box() *mailbox[M] {
	if s := r.process.shell.Load(); s != nil {
		return &s.box
	}
	return nil
}

// Tell puts m in the mailbox. When that is full, what happens is for the
// Overflow of the spec to say; with Block, Tell waits for room until ctx ends,
// unless ctx comes from a Context.Context: then it fails at once. Errors:
// ErrMailboxFull, ErrStopped.
func (r Ref[M]) Tell(ctx context.Context, m M) error {
	box := r.box()
	if box == nil {
		return r.process.beyond(ctx, m)
	}
	err := box.push(m)
	switch {
	case err == errDropped:
		return nil
	case err == ErrMailboxFull && box.waits(ctx):
		return box.pushWait(ctx, m)
	}
	return err
}

// Offer is Tell that never waits.
func (r Ref[M]) Offer(m M) error {
	box := r.box()
	if box == nil {
		return r.process.beyond(Impatient(context.Background()), m)
	}
	if err := box.push(m); err != errDropped {
		return err
	}
	return nil
}

// Control puts m in the control lane, before all user messages. The lane is
// not bounded; it is for the owner of the actor, not for what strangers can
// cause, and not for actors that live elsewhere.
func (r Ref[M]) Control(m M) error {
	box := r.box()
	if box == nil {
		return ErrStopped
	}
	return box.pushControl(m)
}

// Waits reports whether Tell waits for room in a full mailbox.
func (r Ref[M]) Waits() bool { return r.process.spec.Overflow == Block }

// Stats returns how many user messages wait in the present mailbox, the most
// that ever did, and how many its policies have dropped.
func (r Ref[M]) Stats() supervisor.Stats { return r.process.Stats() }
