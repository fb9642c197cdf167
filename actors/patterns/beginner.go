package patterns

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/pando-agents/pando/actors"
	"github.com/pando-agents/pando/actors/remote"
)

// beginner is an exchange at the side that has begun it. One goroutine at a time
// says; next is safe for concurrent use.
type beginner[I, O any] struct {
	id    string
	to    actors.Ref[exchangeMessage[I, O]]
	lease time.Duration

	ctx    context.Context // ends with it; the cause says why
	cancel context.CancelCauseFunc
	lost   *time.Timer // when nothing has been heard

	// replaces, if it is not nil, says whether a turn takes the place of the one
	// before, which nobody has taken yet.
	replaces func(last, next O) bool

	said uint64

	mu      sync.Mutex
	heard   uint64
	turns   []O           // heard, and not taken yet
	ended   error         // after them
	changed chan struct{} // closed, and made anew, when anything of this changes
}

// attemptsAgain is how long after a turn that did not go through it is tried
// again.
const attemptsAgain = 100 * time.Millisecond

// beginWith begins an exchange, for as long as ctx lasts.
func beginWith[I, O any](ctx context.Context, to actors.Ref[exchangeMessage[I, O]], lease time.Duration, first *I, replaces func(last, next O) bool) (*beginner[I, O], error) {
	b := &beginner[I, O]{id: rand.Text(), to: to, lease: lease, replaces: replaces, changed: make(chan struct{})}
	b.ctx, b.cancel = context.WithCancelCause(ctx)
	b.lost = time.AfterFunc(lease, func() {
		b.cancel(&Error{Code: ErrPartnerLost.Code, Reason: "it does not answer any more", Err: actors.ErrLost})
	})
	_, err := persist(ctx, b, func(ctx context.Context) (struct{}, error) {
		return actors.Ask(ctx, to, func(r actors.Reply[struct{}]) exchangeMessage[I, O] { return begin[I, O]{r, b.id, first} })
	}, func(err error) bool { return mayPass(err) && fateOf(err) == mayHaveRun })
	if err != nil {
		b.lost.Stop()
		b.cancel(err)
		if fateOf(err) == mayHaveRun {
			go b.leave(err)
		}
		if errors.Is(err, ErrRefused) {
			err = explain(err)
		}
		return nil, err
	}
	go b.run()
	return b, nil
}

// persist tries again, as long as the exchange lasts, what did not go through. One
// attempt ends in time for the other side to hear of this one before its lease
// does.
func persist[I, O, R any](ctx context.Context, b *beginner[I, O], try func(context.Context) (R, error), again func(error) bool) (R, error) {
	var none R
	for {
		attempt, cancel := context.WithTimeout(ctx, b.lease/2)
		stop := context.AfterFunc(b.ctx, cancel)
		v, err := try(attempt)
		stop()
		cancel()
		switch {
		case err == nil:
			b.lost.Reset(b.lease)
			return v, nil
		case b.ctx.Err() != nil:
			return none, context.Cause(b.ctx)
		case ctx.Err() != nil:
			return none, context.Cause(ctx)
		case !again(err):
			return none, err
		}
		pause(b.ctx, attemptsAgain)
	}
}

// mayPass reports whether what has failed may go through later.
func mayPass(err error) bool {
	var ours *Error
	return !errors.As(err, &ours) && (errors.Is(err, actors.ErrLost) || errors.Is(err, actors.ErrUnreachable) ||
		errors.Is(err, actors.ErrMailboxFull) || errors.Is(err, context.DeadlineExceeded))
}

// say is a turn of this side. A turn that does not go through while ctx lasts
// ends the exchange: nobody knows who has heard what.
func (b *beginner[I, O]) say(ctx context.Context, turn I) error {
	b.said++
	_, err := persist(ctx, b, func(ctx context.Context) (struct{}, error) {
		return actors.Ask(ctx, b.to, func(r actors.Reply[struct{}]) exchangeMessage[I, O] {
			return say[I, O]{r, b.id, b.said, turn}
		})
	}, mayPass)
	if err != nil {
		err = explain(err)
		b.cancel(err)
	}
	return err
}

// run hears what the other side says, until it ends, and tells it of the end.
func (b *beginner[I, O]) run() {
	go b.look()
	var reason error
	for full := false; reason == nil; {
		if full {
			pause(b.ctx, b.lease/4) // and show that there is somebody
		}
		after := b.heard
		var h heard[O]
		h, reason = persist(b.ctx, b, func(ctx context.Context) (heard[O], error) {
			return actors.Ask(ctx, b.to, func(r actors.Reply[heard[O]]) exchangeMessage[I, O] { return hear[I, O]{r, b.id, after} })
		}, mayPass)
		if reason == nil {
			full = !b.keep(h)
		}
	}
	b.lost.Stop()
	reason = explain(reason)
	b.cancel(reason)
	b.mu.Lock()
	b.ended = reason
	b.change()
	b.mu.Unlock()
	b.leave(reason)
}

// look ends the exchange when the actor ends. A connection that is lost may come
// back as long as the lease lasts.
func (b *beginner[I, O]) look() {
	for b.ctx.Err() == nil {
		down := make(chan error, 1)
		unwatch := b.to.OnDown(func(d actors.Down) { down <- ending(d) })
		select {
		case <-b.ctx.Done():
		case why := <-down:
			if !errors.Is(why, actors.ErrLost) {
				b.cancel(&Error{Code: ErrPartnerLost.Code, Err: why})
				return
			}
			pause(b.ctx, retryAfter)
		}
		unwatch()
	}
}

// explain says in our words why an exchange has ended, or was not begun.
func explain(err error) error {
	var ours *Error
	var far *remote.FarError
	switch {
	case errors.As(err, &far) && errors.As(far.Err, &ours): // the reason is in what was told
		said := strings.TrimPrefix(far.Told.Message, texts[ours.Code])
		return &Error{Code: ours.Code, Reason: strings.TrimPrefix(said, ": ")}
	case errors.As(err, &ours), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case fateOf(err) != answered:
		return &Error{Code: ErrPartnerLost.Code, Err: err}
	}
	return &Error{Code: ErrFailed.Code, Err: err}
}

// change is called with the mutex held.
func (b *beginner[I, O]) change() {
	close(b.changed)
	b.changed = make(chan struct{})
}

// keep reports whether there is room for more.
func (b *beginner[I, O]) keep(h heard[O]) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(h.Turns) > 0 && h.First == b.heard+1 && len(b.turns) < turnsMost {
		for _, turn := range h.Turns {
			if last := len(b.turns) - 1; last >= 0 && b.replaces != nil && b.replaces(b.turns[last], turn) {
				b.turns = b.turns[:last]
			}
			b.turns = append(b.turns, turn)
		}
		b.heard += uint64(len(h.Turns))
		b.change()
	}
	return len(b.turns) < turnsMost
}

// next returns the next turn of the other side; after the last one, why the
// exchange has ended.
func (b *beginner[I, O]) next(ctx context.Context) (O, error) {
	return await(ctx, &b.mu, &b.turns, &b.ended, &b.changed)
}

// leave tells the other side that this one has ended, and why.
func (b *beginner[I, O]) leave(why error) {
	var ours *Error
	m := end[I, O]{ID: b.id, Reason: why.Error(), Cancelled: true}
	if errors.As(why, &ours) {
		if ours.Code == ErrPartnerLost.Code {
			return
		}
		m.Reason, m.Cancelled = ours.Reason, ours.Code != ErrEnded.Code
	}
	ctx, cancel := context.WithTimeout(context.Background(), b.lease)
	defer cancel()
	for ctx.Err() == nil {
		_, err := actors.Ask(ctx, b.to, func(r actors.Reply[struct{}]) exchangeMessage[I, O] {
			m.Reply = r
			return m
		})
		if err == nil || !mayPass(err) {
			return
		}
		pause(ctx, attemptsAgain)
	}
}
