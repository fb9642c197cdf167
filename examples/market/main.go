// Command market is a market in which agents negotiate about prices: sellers and
// buyers, and a bank that exchanges goods for money. They are in one process, or
// each in its own, one of them in Python if wanted, and are killed while they
// negotiate. README.md says what there is to see.
package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"github.com/pando-agents/pando/actors"
	"github.com/pando-agents/pando/actors/remote"
	"github.com/pando-agents/pando/supervisor"
	"github.com/pando-agents/pando/system"
	"github.com/pando-agents/pando/system/systemcmd"
)

func main() { os.Exit(systemcmd.Main(catalogue())) }

// What the file says of each.
type (
	bankConfig struct {
		Seed uint64 // what prices and wishes follow from: the same for all
	}
	sellerConfig struct {
		Seed uint64
		Bank system.Address
	}
	buyerConfig struct {
		Seed    uint64
		Bank    system.Address
		Sellers []system.Address
	}
	clerkConfig struct {
		Seed   uint64
		Bank   system.Address
		Buyers []system.Address
	}
)

// catalogue has the constructors that the file names.
func catalogue() *system.Catalogue {
	c := new(system.Catalogue)
	system.Register(c, "market.bank", "exchanges goods for money, and never forgets it", newBank)
	system.Register(c, "market.seller", "sells what it owns", newSeller)
	system.Register(c, "market.buyer", "buys what it wants", newBuyer)
	system.Register(c, "market.clerk", "shows the deals when all have gone home", newClerk)
	return c
}

// newTrader returns the trader of an agent of the file.
func newTrader(h *system.Host) *trader {
	name, _, _ := strings.Cut(h.Name(), "/")
	return &trader{name: name, say: h.Say}
}

func always(s *supervisor.Spec) { s.Restart = supervisor.Permanent }

func newBank(ctx context.Context, h *system.Host, c bankConfig) error {
	// The id outlives the process, and the next market has another.
	journal := filepath.Join(os.TempDir(), "market-"+h.Agent().ID()+".journal")
	_, err := system.Spawn(ctx, h, bankSpec(newTrader(h), newScenario(c.Seed), journal), ledgers, always)
	return err
}

func newSeller(ctx context.Context, h *system.Host, c sellerConfig) error {
	bank, err := system.RefTo(h, c.Bank, ledgers)
	if err != nil {
		return err
	}
	t := newTrader(h)
	_, err = system.Spawn(ctx, h, stallSpec(t, bank, newScenario(c.Seed).stall(t.name)), stalls, always)
	return err
}

func newBuyer(ctx context.Context, h *system.Host, c buyerConfig) error {
	bank, err := system.RefTo(h, c.Bank, ledgers)
	if err != nil {
		return err
	}
	sellers := map[string]actors.Ref[stall]{}
	for _, a := range c.Sellers {
		if sellers[a.Agent], err = system.RefTo(h, a, stalls); err != nil {
			return err
		}
	}
	_, err = system.Spawn(ctx, h, buyerSpec(newTrader(h), newScenario(c.Seed), bank, sellers), customers, always)
	return err
}

func newClerk(ctx context.Context, h *system.Host, c clerkConfig) error {
	bank, err := system.RefTo(h, c.Bank, ledgers)
	if err != nil {
		return err
	}
	k := &clerk{scenario: newScenario(c.Seed), bank: bank}
	if k.buyers, err = refs(h, c.Buyers, customers); err != nil {
		return err
	}
	_, err = system.Spawn(ctx, h, actors.Spec[office]{New: func() actors.Actor[office] { return k }}, offices, always)
	return err
}

func refs[M any](h *system.Host, to []system.Address, p *remote.Protocol[M]) (all []actors.Ref[M], err error) {
	for _, a := range to {
		ref, err := system.RefTo(h, a, p)
		if err != nil {
			return nil, err
		}
		all = append(all, ref)
	}
	return all, nil
}
