package main

import (
	"context"
	"errors"
	"sync"

	"github.com/pando-agents/pando"
	"github.com/pando-agents/pando/actors"
)

// together holds the market in this process: agents that reach each other
// through memory.
func together(ctx context.Context, t *town, s *scenario, out *screen) (_ report, err error) {
	neighbours := pando.WithNeighbours(pando.NewNeighbours())
	where := place{ids: t.ids(), journal: t.file(theBank, ".journal")}
	var agents []*running
	defer func() {
		for i := len(agents) - 1; i >= 0; i-- {
			err = errors.Join(err, agents[i].stop())
		}
	}()
	var home sync.WaitGroup
	for _, name := range s.everybody() {
		a, err := run(t.credentials[name], nil, neighbours)
		if err != nil {
			return report{}, err
		}
		agents = append(agents, a)
		done, err := trade(ctx, a.Agent, &trader{name: name, out: out.says}, s, where)
		if err != nil {
			return report{}, err
		}
		if done != nil {
			home.Go(func() {
				select {
				case <-done:
				case <-ctx.Done():
				}
			})
		}
	}
	home.Wait()
	if ctx.Err() != nil {
		return report{}, context.Cause(ctx)
	}
	a, err := run(t.credentials[clerk], nil, neighbours)
	if err != nil {
		return report{}, err
	}
	agents = append(agents, a)
	return read(ctx, a.Agent, where)
}

// read has the clerk read the books of the bank.
func read(ctx context.Context, a *pando.Agent, p place) (report, error) {
	bank, err := pando.RefTo(a, p.ids[theBank]+"/bank", ledgers)
	if err != nil {
		return report{}, err
	}
	return patiently(ctx, bank, func(r actors.Reply[report]) ledger { return books{r} })
}
