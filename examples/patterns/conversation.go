package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/pando-agents/pando"
	"github.com/pando-agents/pando/actors/patterns"
)

// offer is a turn of either side.
type offer struct {
	Price int `json:"price"`
}

var haggling = patterns.ConversationProtocol[offer]("example.haggle")

// sell goes down by 10, but not below 70.
func sell(ctx context.Context, c *patterns.Conversation[offer]) error {
	for price := 100; ; {
		bid, err := c.Hear(ctx)
		if err != nil {
			return err
		}
		if bid.Price >= price-10 {
			c.End(fmt.Sprintf("sold for %d", bid.Price))
			return nil
		}
		price = max(price-10, 70)
		if err := c.Say(ctx, offer{price}); err != nil {
			return err
		}
	}
}

// showConversation has two agents haggle over a connection that breaks.
func showConversation(ctx context.Context, g *grove, w io.Writer) error {
	ann, bob := g.agents["ann"], g.agents["bob"]
	open := func() (*patterns.Conversation[offer], error) {
		seller, err := pando.Spawn(ctx, bob.Agent, patterns.Conversations[offer]{Name: "seller", Converse: sell}.Spec())
		if err != nil {
			return nil, err
		}
		if err := pando.Expose(bob.Agent, "seller", seller, haggling); err != nil {
			return nil, err
		}
		far, err := pando.RefTo(ann.Agent, bob.ID()+"/seller", haggling)
		if err != nil {
			return nil, err
		}
		return patterns.Begin(ctx, far)
	}
	c, err := open()
	if err != nil {
		return err
	}
	bid := func(price int) error {
		fmt.Fprintf(w, "ann: %d\n", price)
		if err := c.Say(ctx, offer{price}); err != nil {
			return err
		}
		asked, err := c.Hear(ctx)
		if err == nil {
			fmt.Fprintf(w, "bob: %d\n", asked.Price)
		}
		return err
	}
	if err := bid(50); err != nil {
		return err
	}
	fmt.Fprintln(w, "(the connection breaks)")
	bob.cut(false)
	if err := bid(60); err != nil {
		return err
	}
	var why *patterns.Error
	if err := bid(70); !errors.Is(err, patterns.ErrEnded) || !errors.As(err, &why) {
		return fmt.Errorf("not sold: %w", err)
	}
	fmt.Fprintln(w, "bob:", why.Reason)
	return lose(ctx, bob, open, w)
}

// lose begins a conversation with an agent that is killed, and started again: it
// does not remember.
func lose(ctx context.Context, bob *agent, open func() (*patterns.Conversation[offer], error), w io.Writer) error {
	bob.kill()
	if err := bob.run(); err != nil {
		return err
	}
	c, err := open()
	if err != nil {
		return err
	}
	fmt.Fprintln(w, "(bob is killed in another conversation, and started again)")
	bob.kill()
	if err := bob.run(); err != nil {
		return err
	}
	if _, err := c.Hear(ctx); !errors.Is(err, patterns.ErrPartnerLost) {
		return fmt.Errorf("nobody noticed: %w", err)
	}
	fmt.Fprintln(w, "ann hears that bob is lost")
	return nil
}
