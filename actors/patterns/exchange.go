package patterns

import (
	"context"
	"sync"

	"github.com/pando-agents/pando/actors"
	"github.com/pando-agents/pando/actors/remote"
)

// An exchange is a number of messages (turns) between one who has begun it and an
// actor, each way numbered from 1. All messages go from the beginner to the
// actor and are answered: it needs no address, and a turn that may have been lost
// is sent, or asked for, again, and counts once.
type exchangeMessage[I, O any] interface{ exchangeMessage(I, O) }

type (
	// begin begins one. One that is there already is meant again.
	begin[I, O any] struct {
		actors.Reply[struct{}]
		ID    string `json:"id"`
		First *I     `json:"first,omitempty"`
	}
	// say is a turn of the beginner.
	say[I, O any] struct {
		actors.Reply[struct{}]
		ID   string `json:"id"`
		N    uint64 `json:"n"`
		Turn I      `json:"turn"`
	}
	// hear asks for the turns after those that were heard. When there are none
	// any more, the answer is why it has ended.
	hear[I, O any] struct {
		actors.Reply[heard[O]]
		ID    string `json:"id"`
		After uint64 `json:"after"`
	}
	// end ends it, or says that its end has been heard.
	end[I, O any] struct {
		actors.Reply[struct{}]
		ID        string `json:"id"`
		Reason    string `json:"reason,omitempty"`
		Cancelled bool   `json:"cancelled,omitempty"`
	}
	heard[O any] struct {
		First uint64 `json:"first"`
		Turns []O    `json:"turns"`
	}
)

func (begin[I, O]) exchangeMessage(I, O) {}
func (say[I, O]) exchangeMessage(I, O)   {}
func (hear[I, O]) exchangeMessage(I, O)  {}
func (end[I, O]) exchangeMessage(I, O)   {}

// exchangeProtocol names the messages.
func exchangeProtocol[I, O any](name string, errors []remote.Entry) *remote.Protocol[exchangeMessage[I, O]] {
	return remote.NewProtocol[exchangeMessage[I, O]](append(append([]remote.Entry{}, errors...),
		remote.Message[begin[I, O]](name+".begin"), remote.Message[say[I, O]](name+".say"),
		remote.Message[hear[I, O]](name+".hear"), remote.Message[end[I, O]](name+".end"),
		named(ErrRefused), named(ErrEnded), named(ErrCancelled), named(ErrIdle), named(ErrTooLong), named(ErrPartnerLost),
	)...)
}

// turnsMost is how many turns wait at either side.
const turnsMost = 64

// exchange is one, at the side of the actor. It is safe for concurrent use.
type exchange[I, O any] struct {
	id     string
	ctx    context.Context // of the function that does its part; its cause says why it has ended
	cancel context.CancelCauseFunc

	mu      sync.Mutex
	in      []I
	took    uint64 // the number of the last one
	out     []O
	acked   uint64 // how many of them have been heard, and are not in out
	given   uint64 // the number of the last one that has been told
	asks    actors.Reply[heard[O]]
	ended   error
	changed chan struct{} // closed, and made anew, when anything of this changes

	// How long ago, in ticks, something was heard, a turn was taken, and it began.
	quiet, still, age, asking int
}

func newExchange[I, O any](ctx context.Context, id string) *exchange[I, O] {
	x := &exchange[I, O]{id: id, changed: make(chan struct{})}
	x.ctx, x.cancel = context.WithCancelCause(ctx)
	return x
}

// change is called with the mutex held.
func (x *exchange[I, O]) change() {
	close(x.changed)
	x.changed = make(chan struct{})
	x.tell()
}

// tell answers whoever asks for turns, if there is something to tell. It is
// called with the mutex held.
func (x *exchange[I, O]) tell() {
	switch {
	case len(x.out) > 0:
		if x.asks.Send(heard[O]{First: x.acked + 1, Turns: append([]O(nil), x.out...)}) {
			x.given = x.acked + uint64(len(x.out))
		}
	case x.ended != nil:
		x.asks.Fail(x.ended)
	default:
		return
	}
	x.asks = actors.Reply[heard[O]]{}
}

// take takes a turn of the beginner.
func (x *exchange[I, O]) take(n uint64, turn I) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.quiet = 0
	switch {
	case x.ended != nil:
		return x.ended
	case n <= x.took:
		return nil // once more
	case n != x.took+1:
		return &Error{Code: ErrRefused.Code, Reason: "a turn is missing"}
	case len(x.in) >= turnsMost:
		return actors.ErrMailboxFull
	}
	x.still = 0
	x.took = n
	x.in = append(x.in, turn)
	x.change()
	return nil
}

// hear answers with turns, now or later.
func (x *exchange[I, O]) hear(after uint64, reply actors.Reply[heard[O]]) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.quiet, x.asking = 0, 0
	x.asks.Send(heard[O]{}) // another one has taken its place
	x.asks = reply
	if after > x.acked {
		n := min(after-x.acked, uint64(len(x.out)))
		x.out, x.acked = x.out[n:], x.acked+n
		x.change()
		return
	}
	x.tell()
}

// say is a turn of this side. replaces, if it is not nil, says whether it takes
// the place of the last one, which has not been told yet.
func (x *exchange[I, O]) say(ctx context.Context, turn O, replaces func(last O) bool) error {
	for {
		x.mu.Lock()
		last := len(x.out) - 1
		switch {
		case x.ended != nil:
			x.mu.Unlock()
			return x.ended
		case replaces != nil && last >= 0 && x.given < x.acked+uint64(len(x.out)) && replaces(x.out[last]):
			x.out[last] = turn
			x.mu.Unlock()
			return nil
		case len(x.out) < turnsMost:
			x.still = 0
			x.out = append(x.out, turn)
			x.change()
			x.mu.Unlock()
			return nil
		}
		changed := x.changed
		x.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// next returns the next turn of the beginner; after the last one, why it has
// ended.
func (x *exchange[I, O]) next(ctx context.Context) (I, error) {
	return await(ctx, &x.mu, &x.in, &x.ended, &x.changed)
}

// await takes the next of the turns, which mu guards together with the rest: with
// the reason of the end, that comes after the last of them, and the channel that is
// closed when anything of this changes.
func await[T any](ctx context.Context, mu *sync.Mutex, turns *[]T, ended *error, changed *chan struct{}) (turn T, err error) {
	for {
		mu.Lock()
		if len(*turns) > 0 {
			turn, *turns = (*turns)[0], (*turns)[1:]
			mu.Unlock()
			return turn, nil
		}
		end, wake := *ended, *changed
		mu.Unlock()
		if end != nil {
			return turn, end
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return turn, context.Cause(ctx)
		}
	}
}

// finish ends it. The first reason counts.
func (x *exchange[I, O]) finish(reason error) {
	x.mu.Lock()
	if x.ended == nil {
		x.ended = reason
		x.change()
	}
	x.mu.Unlock()
	x.cancel(reason)
}
