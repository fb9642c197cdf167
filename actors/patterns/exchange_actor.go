package patterns

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/pando-agents/pando/actors"
	"github.com/pando-agents/pando/supervisor"
)

// exchanges says how an actor takes part in exchanges.
type exchanges[I, O any] struct {
	name               string
	most               int
	idle, total, lease time.Duration // 0: none, but for lease
	log                *slog.Logger
	accept             func(*I) error
	serve              func(x *exchange[I, O]) error
}

func (e exchanges[I, O]) spec() actors.Spec[exchangeMessage[I, O]] {
	if e.log == nil {
		e.log = slog.Default()
	}
	return actors.Spec[exchangeMessage[I, O]]{Name: e.name, New: func() actors.Actor[exchangeMessage[I, O]] {
		return &exchanger[I, O]{exchanges: e, byID: make(map[string]*exchange[I, O])}
	}}
}

// exchanger is one incarnation of the actor.
type exchanger[I, O any] struct {
	exchanges[I, O]
	ctx   context.Context
	byID  map[string]*exchange[I, O]
	going int // that have not ended
	ticks bool
	tick  time.Duration
}

// What the actor tells itself.
type (
	ticked[I, O any] struct{}
	isOver[I, O any] struct{ x *exchange[I, O] }
)

func (ticked[I, O]) exchangeMessage(I, O) {}
func (isOver[I, O]) exchangeMessage(I, O) {}

const longestID = 64

// Start begins without any exchange.
func (e *exchanger[I, O]) Start(c *actors.Context[exchangeMessage[I, O]]) error {
	e.ctx = patient(c)
	e.tick = time.Second
	for _, d := range []time.Duration{e.idle, e.total, e.lease} {
		if d > 0 {
			e.tick = max(min(e.tick, d/8), time.Millisecond)
		}
	}
	return nil
}

// Receive handles one message.
func (e *exchanger[I, O]) Receive(c *actors.Context[exchangeMessage[I, O]], m exchangeMessage[I, O]) {
	switch m := m.(type) {
	case begin[I, O]:
		if err := e.begin(c, m); err != nil {
			m.Fail(err)
			return
		}
		m.Send(struct{}{})
	case say[I, O]:
		x := e.byID[m.ID]
		if x == nil {
			m.Fail(errNoExchange)
			return
		}
		if err := x.take(m.N, m.Turn); err != nil {
			m.Fail(err)
			return
		}
		m.Send(struct{}{})
	case hear[I, O]:
		if x := e.byID[m.ID]; x != nil {
			x.hear(m.After, m.Reply)
			return
		}
		m.Fail(errNoExchange)
	case end[I, O]:
		if x := e.byID[m.ID]; x != nil {
			code := ErrEnded.Code
			if m.Cancelled {
				code = ErrCancelled.Code
			}
			x.finish(&Error{Code: code, Reason: m.Reason})
			delete(e.byID, m.ID)
		}
		m.Send(struct{}{})
	case isOver[I, O]:
		e.going--
	case ticked[I, O]:
		e.ticked(c)
	}
}

// errNoExchange is what those are told who go on with what this incarnation does
// not know.
var errNoExchange = &Error{Code: ErrPartnerLost.Code, Reason: "no such exchange"}

// begin begins an exchange.
func (e *exchanger[I, O]) begin(c *actors.Context[exchangeMessage[I, O]], m begin[I, O]) (err error) {
	switch {
	case e.byID[m.ID] != nil:
		return nil
	case m.ID == "" || len(m.ID) > longestID:
		return &Error{Code: ErrRefused.Code, Reason: "not an id"}
	case e.going >= e.most || len(e.byID) >= 4*e.most: // some have ended, and nobody has asked
		return &Error{Code: ErrRefused.Code, Reason: "too many at once"}
	}
	if e.accept != nil {
		guarded(e.ctx, func(context.Context, struct{}) (struct{}, error) {
			return struct{}{}, e.accept(m.First)
		}, struct{}{}, func(_ struct{}, e error) { err = e })
	}
	if err != nil {
		return &Error{Code: ErrRefused.Code, Err: err}
	}
	x := newExchange[I, O](e.ctx, m.ID)
	if m.First != nil {
		x.in = append(x.in, *m.First)
	}
	e.byID[m.ID] = x
	e.going++
	self, log, name := c.Self(), e.log, e.name
	go guarded(x.ctx, func(context.Context, struct{}) (struct{}, error) { return struct{}{}, e.serve(x) },
		struct{}{}, func(_ struct{}, err error) {
			var panicked *supervisor.PanicError
			if errors.As(err, &panicked) {
				log.Error("exchange panicked", "actor", name, "err", err, "stack", panicked.Stack())
			}
			switch {
			case err == nil:
				err = ErrEnded
			case x.ctx.Err() == nil:
				err = &Error{Code: ErrFailed.Code, Err: err}
			}
			x.finish(err)
			_ = self.Control(isOver[I, O]{x}) // an actor that has stopped has none
		})
	if !e.ticks {
		e.ticks = true
		c.After(e.tick, ticked[I, O]{})
	}
	return nil
}

// ticked lets time pass for all exchanges.
func (e *exchanger[I, O]) ticked(c *actors.Context[exchangeMessage[I, O]]) {
	for id, x := range e.byID {
		x.mu.Lock()
		x.quiet, x.still, x.age, x.asking = x.quiet+1, x.still+1, x.age+1, x.asking+1
		quiet, still, age := e.after(x.quiet), e.after(x.still), e.after(x.age)
		if e.after(x.asking) >= e.lease/4 {
			x.asks.Send(heard[O]{}) // the beginner asks again, if it lives
			x.asks = actors.Reply[heard[O]]{}
		}
		over := x.ended != nil
		x.mu.Unlock()
		switch {
		case over && quiet >= e.lease:
			delete(e.byID, id)
		case over:
		case quiet >= e.lease:
			x.finish(&Error{Code: ErrPartnerLost.Code, Reason: "it was not heard of any more", Err: actors.ErrLost})
			delete(e.byID, id)
		case e.idle > 0 && still >= e.idle:
			x.finish(ErrIdle)
		case e.total > 0 && age >= e.total:
			x.finish(ErrTooLong)
		}
	}
	e.ticks = len(e.byID) > 0
	if e.ticks {
		c.After(e.tick, ticked[I, O]{})
	}
}

func (e *exchanger[I, O]) after(ticks int) time.Duration { return time.Duration(ticks) * e.tick }
