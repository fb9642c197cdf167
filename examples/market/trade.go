package main

import (
	"context"
	"slices"

	"github.com/pando-agents/pando"
	"github.com/pando-agents/pando/actors"
	"github.com/pando-agents/pando/supervisor"
)

// trade has an agent play its part in the market: the same wherever the others
// are. done is closed when it is a buyer that has gone home.
func trade(ctx context.Context, agent *pando.Agent, t *trader, s *scenario, p place) (done <-chan struct{}, err error) {
	if t.name == theBank {
		return nil, openBank(ctx, agent, t, s, p.journal)
	}
	bank, err := pando.RefTo(agent, p.ids[theBank]+"/bank", ledgers)
	if err != nil {
		return nil, err
	}
	if goods := s.stall(t.name); slices.Contains(s.sellers, t.name) {
		return nil, openStall(ctx, agent, t, bank, goods)
	}
	b := &buyer{trader: t, scenario: s, bank: bank, sellers: map[string]actors.Ref[stall]{}}
	for _, seller := range s.sellers {
		address := p.ids[seller] + "/stall"
		if seller == p.python {
			address = p.ids[seller] // it knows no actors, and goes by the types of messages
		}
		if b.sellers[seller], err = pando.RefTo(agent, address, stalls); err != nil {
			return nil, err
		}
	}
	home := make(chan struct{})
	return home, agent.Supervise(ctx, supervisor.Spec{ID: "buyer", Restart: supervisor.Transient,
		Service: supervisor.ServiceFunc(func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, shopTime)
			defer cancel()
			if err := b.Serve(ctx); err != nil {
				return err
			}
			close(home)
			return nil
		})})
}

// place is where the others are.
type place struct {
	ids     map[string]string // by name
	python  string            // the seller that is a Python agent, if one is
	journal string            // the file of the bank
}

// openBank has an agent keep the accounts.
func openBank(ctx context.Context, agent *pando.Agent, t *trader, s *scenario, journal string) error {
	spec := actors.Spec[ledger]{Name: "bank", New: func() actors.Actor[ledger] {
		return &bank{trader: t, scenario: s, file: journal}
	}}
	ref, err := pando.Spawn(ctx, agent, spec, func(s *supervisor.Spec) { s.Restart = supervisor.Permanent })
	if err != nil {
		return err
	}
	return pando.Expose(agent, "bank", ref, ledgers, pando.ByType())
}
