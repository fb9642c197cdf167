package main

import (
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/pando-agents/pando"
	"github.com/pando-agents/pando/actors"
	"github.com/pando-agents/pando/actors/patterns"
	"github.com/pando-agents/pando/actors/remote"
)

// square asks for the square of a number.
type square struct {
	actors.Reply[int]
	N int `json:"n"`
}

var squarers = remote.NewProtocol[square](remote.Message[square]("example.square"))

// squarer squares; the first job is the last of one that is to be killed.
type squarer struct{ begun chan struct{} }

func (s squarer) Receive(_ *actors.Context[square], m square) {
	if s.begun == nil {
		m.Send(m.N * m.N)
		return
	}
	select {
	case s.begun <- struct{}{}:
	default:
	}
}

// showPool gives jobs to two agents, of which one is killed while it has one.
func showPool(ctx context.Context, g *grove, w io.Writer) error {
	boss := g.agents["boss"].Agent
	begun := make(chan struct{}, 1)
	var workers []patterns.Target[int, int]
	for name, s := range map[string]squarer{"ann": {begun}, "bob": {}} {
		there := g.agents[name].Agent
		ref, err := pando.Spawn(ctx, there, actors.Spec[square]{Name: "squarer", New: func() actors.Actor[square] { return s }})
		if err != nil {
			return err
		}
		if err := pando.Expose(there, "squarer", ref, squarers); err != nil {
			return err
		}
		far, err := pando.RefTo(boss, there.ID()+"/squarer", squarers)
		if err != nil {
			return err
		}
		workers = append(workers, patterns.To(name, far, func(n int, r actors.Reply[int]) square { return square{r, n} }))
	}
	pool, err := pando.Spawn(ctx, boss, patterns.Pool[int, int]{Workers: workers}.Spec())
	if err != nil {
		return err
	}
	var squares [8]int
	var errs [8]error
	var all sync.WaitGroup
	for i := range squares {
		all.Go(func() { squares[i], errs[i] = patterns.Submit(ctx, pool, i+1) })
	}
	<-begun
	g.agents["ann"].kill()
	fmt.Fprintln(w, "ann is killed while it has a job")
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	fmt.Fprintln(w, "all jobs are done:", squares)
	stats, err := actors.Ask(ctx, pool, func(r actors.Reply[patterns.PoolStats]) patterns.PoolMessage[int, int] {
		return patterns.PoolStatus[int, int]{Reply: r}
	})
	if err != nil {
		return err
	}
	for _, s := range stats.Workers {
		if s.Name == "bob" {
			fmt.Fprintf(w, "bob has done %d of %d\n", s.Done, stats.Done)
		}
	}
	return nil
}
