package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/pando-agents/pando/actors"
)

// buyer goes for what it wants, one thing after the other, and so in a goroutine:
// the actor itself only knows whether it has gone home.
type buyer struct {
	*trader
	scenario *scenario
	bank     actors.Ref[ledger]
	sellers  map[string]actors.Ref[stall]

	stop    context.CancelFunc
	home    bool
	waiting []shop
}

// buyerSpec is the spec of a buyer.
func buyerSpec(t *trader, s *scenario, bank actors.Ref[ledger], sellers map[string]actors.Ref[stall]) actors.Spec[customer] {
	return actors.Spec[customer]{Name: "buyer", New: func() actors.Actor[customer] {
		return &buyer{trader: t, scenario: s, bank: bank, sellers: sellers}
	}}
}

// shopTime bounds the shopping of one buyer, whatever happens to the others.
const shopTime = time.Minute

// Stop ends the shopping.
func (b *buyer) Stop(error) {
	if b.stop != nil {
		b.stop()
	}
}

// Receive does what the messages say.
func (b *buyer) Receive(c *actors.Context[customer], m customer) {
	switch m := m.(type) {
	case shop:
		b.waiting = append(b.waiting, m)
		if b.stop == nil {
			b.leave(c.Self())
		}
	case home:
		if m.err != nil {
			c.Stop(m.err)
			return
		}
		b.home = true
	}
	if b.home {
		for _, w := range b.waiting {
			w.Send(struct{}{})
		}
		b.waiting = nil
	}
}

// leave goes shopping.
func (b *buyer) leave(self actors.Ref[customer]) {
	ctx, cancel := context.WithTimeout(context.Background(), shopTime)
	b.stop = cancel
	go func() {
		defer cancel()
		err := b.buyAll(ctx)
		_ = self.Tell(context.Background(), home{err}) // if it has stopped, its successor goes
	}()
}

// How a visit to a seller ends.
var (
	errDeal    = errors.New("deal")
	errTooDear = errors.New("too dear")
)

// buyAll buys and returns nil when there is nothing more to buy. What it has
// bought in a former life the bank knows.
func (b *buyer) buyAll(ctx context.Context) error {
	have, err := patiently(ctx, b.bank, func(r actors.Reply[balance]) ledger { return account{r, b.name} })
	if err != nil {
		return err
	}
	bought := map[string]bool{}
	for _, s := range have.Bought {
		bought[itemOf(s.Unit)] = true
	}
	for _, item := range b.scenario.wants(b.name) {
		if bought[item] {
			b.say("has %s already", item)
			continue
		}
		if err := b.get(ctx, item); err != nil {
			return err
		}
	}
	b.say("goes home")
	return nil
}

// get goes from seller to seller, and round again while one of those who may
// have the thing is away or has promised it to somebody else.
func (b *buyer) get(ctx context.Context, item string) error {
	for wait := firstPause; ; wait = min(2*wait, lastPause) {
		again := false
		for _, seller := range b.scenario.route(b.name, item) {
			switch err := b.visit(ctx, seller, item); {
			case errors.Is(err, errDeal):
				return nil
			case errors.Is(err, errTooDear):
				b.say("finds %s of %s too dear", item, seller)
			case away(err) || errors.Is(err, context.DeadlineExceeded):
				b.say("hears that %s is %s", seller, what(err))
				again = true
			case errors.Is(err, errSoldOut), errors.Is(err, errNotOwner):
				b.say("hears that %s has no %s at the moment", seller, item)
				again = true
			case errors.Is(err, errExpired):
				b.say("hears that %s keeps no %s for it any more", seller, item)
				again = true
			default:
				return fmt.Errorf("%s at %s: %w", item, seller, err)
			}
		}
		if !again {
			b.say("goes without %s", item)
			return nil
		}
		if !pause(ctx, wait) {
			return context.Cause(ctx)
		}
		if done, err := b.bought(ctx, item); done || err != nil {
			return err
		}
	}
}

// what says in a word why somebody does not answer.
func what(err error) string {
	switch {
	case errors.Is(err, actors.ErrLost):
		return "lost"
	case errors.Is(err, context.DeadlineExceeded):
		return "too slow"
	}
	return "away"
}

// bought asks the bank whether an exchange has taken place of which the seller
// could not tell any more.
func (b *buyer) bought(ctx context.Context, item string) (bool, error) {
	have, err := patiently(ctx, b.bank, func(r actors.Reply[balance]) ledger { return account{r, b.name} })
	if err != nil {
		return false, err
	}
	for _, s := range have.Bought {
		if itemOf(s.Unit) == item {
			b.say("learns from the bank that it has bought %s", item)
			return true, nil
		}
	}
	return false, nil
}

// visit is one negotiation. It ends after maxRounds, at its deadline, or when the
// seller is lost, which whoever watches hears even when it waits for nothing.
func (b *buyer) visit(ctx context.Context, name, item string) error {
	seller := b.sellers[name]
	ctx, cancel := context.WithTimeout(ctx, talkTime)
	defer cancel()
	ctx, give := context.WithCancelCause(ctx)
	defer give(nil)
	unwatch := seller.OnDown(func(d actors.Down) { give(ended(d)) })
	defer unwatch()

	err := b.negotiate(ctx, name, item)
	if cause := context.Cause(ctx); errors.Is(err, context.Canceled) && cause != nil {
		return cause
	}
	return err
}

// ended says of the end of a seller that the buyer may come again.
func ended(d actors.Down) error {
	if d.Reason == nil || !away(d.Reason) {
		return fmt.Errorf("%w: %v", actors.ErrStopped, d.Reason)
	}
	return d.Reason
}

func (b *buyer) negotiate(ctx context.Context, name, item string) error {
	seller, deal, limit := b.sellers[name], uuid.NewString(), b.scenario.limit(b.name, item)
	for round := range maxRounds {
		cents := bid(limit, round)
		b.say("offers %s %s for %s", name, euros(cents), item)
		b.at("offered")
		said, err := actors.Ask(ctx, seller, func(r actors.Reply[counter]) stall {
			return offer{Reply: r, Deal: deal, Buyer: b.name, Item: item, Cents: cents, Round: round}
		})
		switch {
		case errors.Is(err, errEnough):
			return errTooDear
		case err != nil:
			return err
		case said.Agreed:
			return b.shake(ctx, name, deal)
		case said.Cents > limit && round >= steps:
			return errTooDear
		}
	}
	return errTooDear
}

// shake makes a deal of an agreement.
func (b *buyer) shake(ctx context.Context, name, deal string) error {
	b.at("agreed")
	done, err := actors.Ask(ctx, b.sellers[name], func(r actors.Reply[sale]) stall { return handshake{r, deal} })
	if err != nil {
		return err
	}
	b.say("buys %s from %s for %s", itemOf(done.Unit), done.Seller, euros(done.Cents))
	b.at("bought")
	return errDeal
}
