package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pando-agents/pando/actors"
	"github.com/pando-agents/pando/system"
)

// clerk is the actor that holds the market: when the buyers have gone home it
// reads the books of the bank, and audits them.
type clerk struct {
	scenario *scenario
	bank     actors.Ref[ledger]
	buyers   []actors.Ref[customer]
}

// openHours bounds the whole market.
const openHours = 2 * time.Minute

// Receive does what the messages say.
func (k *clerk) Receive(_ *actors.Context[office], m office) {
	q, _ := m.(question)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), openHours)
		defer cancel()
		if text, err := k.hold(ctx); err != nil {
			q.Fail(err)
		} else {
			q.Send(system.Answer{Text: text})
		}
	}()
}

func (k *clerk) hold(ctx context.Context) (string, error) {
	shopping := make(chan error, len(k.buyers))
	for _, b := range k.buyers {
		go func() {
			_, err := patiently(ctx, b, func(r actors.Reply[struct{}]) customer { return shop{r} })
			shopping <- err
		}()
	}
	for range k.buyers {
		if err := <-shopping; err != nil {
			return "", err
		}
	}
	r, err := patiently(ctx, k.bank, func(r actors.Reply[report]) ledger { return books{r} })
	if err != nil {
		return "", err
	}
	if err := k.scenario.audit(r); err != nil {
		return "", errors.Join(errBooks, err)
	}
	return fmt.Sprintf("%s\n%d things have changed hands, none of them twice. %s is in the purses, as before.\n",
		k.scenario.table(r), len(r.Sales), euros(purse*len(k.scenario.buyers))), nil
}
