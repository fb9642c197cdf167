package main

import (
	"context"
	"errors"
	"time"

	"github.com/pando-agents/pando/actors"
)

// seller is the actor behind a stall. It knows nothing that it could not ask the
// bank again: a new incarnation starts with what the bank says it still owns.
type seller struct {
	*trader
	bank  actors.Ref[ledger]
	goods map[string]terms

	units map[string][]string     // by item, those that nobody has spoken for; nil: not known yet
	early []offer                 // that have come before that
	kept  map[string]*reservation // by deal
}

// reservation is a unit that was agreed on, for holdTime.
type reservation struct {
	sale    sale
	drop    func() // stops the clock
	settles bool   // the bank is being asked
}

// stallSpec is the spec of a seller.
func stallSpec(t *trader, bank actors.Ref[ledger], goods map[string]terms) actors.Spec[stall] {
	return actors.Spec[stall]{Name: "stall", New: func() actors.Actor[stall] {
		return &seller{trader: t, bank: bank, goods: goods, kept: map[string]*reservation{}}
	}}
}

// Start has the bank asked what there is to sell. Buyers wait for the answer.
func (s *seller) Start(c *actors.Context[stall]) error {
	self := c.Self()
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), bankPatience)
		defer cancel()
		have, err := patiently(ctx, s.bank, func(r actors.Reply[balance]) ledger { return account{r, s.name} })
		_ = self.Tell(ctx, stocked{have.Units, err}) // if it has stopped, its successor asks
	}()
	return nil
}

// stock takes what the bank says there is to sell.
func (s *seller) stock(c *actors.Context[stall], m stocked) {
	if m.err != nil {
		c.Stop(m.err)
		return
	}
	s.units = map[string][]string{}
	for _, u := range m.units {
		s.units[itemOf(u)] = append(s.units[itemOf(u)], u)
	}
	if n := len(m.units); n < shelf*len(s.goods) {
		s.say("still has %d things to sell", n)
	}
	early := s.early
	s.early = nil
	for _, m := range early {
		s.Receive(c, m)
	}
}

// Receive does what the messages say.
func (s *seller) Receive(c *actors.Context[stall], m stall) {
	switch m := m.(type) {
	case stocked:
		s.stock(c, m)
	case offer:
		if s.units == nil {
			s.early = append(s.early, m)
			return
		}
		if answer, err := s.hear(c, m); err != nil {
			m.Fail(err)
		} else {
			m.Send(answer)
		}
	case handshake:
		s.settle(c, m)
	case settled:
		s.close(m)
	case expired:
		r := s.kept[m.deal]
		if r == nil || r.settles {
			return // the bank decides
		}
		s.release(m.deal)
		s.say("keeps %s for %s no longer", itemOf(r.sale.Unit), r.sale.Buyer)
	}
}

// hear answers an offer.
func (s *seller) hear(c *actors.Context[stall], m offer) (counter, error) {
	if r := s.kept[m.Deal]; r != nil { // said again
		return counter{Cents: r.sale.Cents, Agreed: true, Unit: r.sale.Unit}, nil
	}
	free := s.units[m.Item]
	switch {
	case len(free) == 0:
		return counter{}, errSoldOut
	case m.Round < 0 || m.Round >= maxRounds:
		return counter{}, errEnough
	}
	price := s.goods[m.Item].ask(m.Round)
	if m.Cents < price {
		return counter{Cents: price}, nil
	}
	s.units[m.Item] = free[1:]
	s.kept[m.Deal] = &reservation{
		sale: sale{Buyer: m.Buyer, Seller: s.name, Unit: free[0], Cents: m.Cents},
		drop: c.After(holdTime, expired{m.Deal}),
	}
	s.say("agrees with %s on %s for %s", m.Buyer, m.Item, euros(m.Cents))
	s.at("agreed")
	return counter{Cents: m.Cents, Agreed: true, Unit: free[0]}, nil
}

// settle asks the bank for the exchange. The answer comes by message: Receive
// does not wait.
func (s *seller) settle(c *actors.Context[stall], m handshake) {
	r := s.kept[m.Deal]
	if r == nil {
		m.Fail(errExpired)
		return
	}
	r.settles = true
	r.drop()
	self := c.Self()
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), bankPatience)
		defer cancel()
		done, err := patiently(ctx, s.bank, func(reply actors.Reply[sale]) ledger { return settle{reply, r.sale} })
		if self.Tell(ctx, settled{m.Deal, m.Reply, done, err}) != nil {
			m.Fail(actors.ErrStopped)
		}
	}()
}

// close ends a deal.
func (s *seller) close(m settled) {
	r := s.kept[m.deal]
	if r == nil {
		m.reply.Fail(errExpired) // it was asked for twice
		return
	}
	switch {
	case errors.Is(m.err, errNotOwner):
		delete(s.kept, m.deal) // sold in a former life
	case m.err != nil || m.sale != r.sale:
		s.release(m.deal) // the buyer has it from somebody else, or cannot pay
	default:
		delete(s.kept, m.deal)
		s.at("sold")
	}
	if m.err != nil {
		m.reply.Fail(m.err)
		return
	}
	m.reply.Send(m.sale)
}

func (s *seller) release(deal string) {
	r := s.kept[deal]
	delete(s.kept, deal)
	r.drop()
	item := itemOf(r.sale.Unit)
	s.units[item] = append(s.units[item], r.sale.Unit)
}

// bankPatience is how long traders wait for a bank that is away.
const bankPatience = 20 * time.Second

// The pauses between attempts to reach somebody who is away.
const (
	firstPause = 50 * time.Millisecond
	lastPause  = 400 * time.Millisecond
)

// patiently asks until there is an answer, also again: what the bank is asked
// may be repeated.
func patiently[M, R any](ctx context.Context, to actors.Ref[M], request func(actors.Reply[R]) M) (R, error) {
	for wait := firstPause; ; wait = min(2*wait, lastPause) {
		got, err := actors.Ask(ctx, to, request)
		if err == nil || !away(err) || !pause(ctx, wait) {
			return got, err
		}
	}
}

// away reports whether it is worth to try again later.
func away(err error) bool {
	for _, temporary := range []error{actors.ErrUnreachable, actors.ErrLost, actors.ErrNotRun, actors.ErrStopped, actors.ErrNoActor, actors.ErrMailboxFull} {
		if errors.Is(err, temporary) {
			return true
		}
	}
	return false
}

// pause reports false when ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
