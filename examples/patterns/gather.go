package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/pando-agents/pando"
	"github.com/pando-agents/pando/actors"
	"github.com/pando-agents/pando/actors/patterns"
	"github.com/pando-agents/pando/actors/remote"
)

// sum asks a calculator for the sum of two numbers.
type sum struct {
	actors.Reply[int]
	A int `json:"a"`
	B int `json:"b"`
}

var calculators = remote.NewProtocol[sum](remote.Message[sum]("example.sum"))

// calculator answers with the sum.
type calculator struct{}

func (calculator) Receive(_ *actors.Context[sum], m sum) { m.Send(m.A + m.B) }

// showGather asks three agents, of which two have to answer.
func showGather(ctx context.Context, g *grove, w io.Writer) error {
	boss := g.agents["boss"].Agent
	var targets []patterns.Target[[2]int, int]
	for _, name := range []string{"ann", "bob", "cat"} {
		there := g.agents[name].Agent
		ref, err := pando.Spawn(ctx, there, actors.Spec[sum]{Name: "calculator", New: func() actors.Actor[sum] { return calculator{} }})
		if err != nil {
			return err
		}
		if err := pando.Expose(there, "calculator", ref, calculators); err != nil {
			return err
		}
		far, err := pando.RefTo(boss, there.ID()+"/calculator", calculators)
		if err != nil {
			return err
		}
		targets = append(targets, patterns.To(name, far, func(q [2]int, r actors.Reply[int]) sum { return sum{r, q[0], q[1]} }))
	}
	ask := func() error {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		results, err := patterns.Gather(ctx, 2, [2]int{17, 25}, targets...)
		for _, r := range results {
			if err == nil && r.Err == nil {
				fmt.Fprintf(w, "%s says %d\n", r.Target, r.Value)
			}
		}
		return err
	}
	g.agents["cat"].kill()
	fmt.Fprintln(w, "cat is killed; what is 17 + 25? two have to agree")
	if err := ask(); err != nil {
		return err
	}
	g.agents["bob"].kill()
	fmt.Fprintln(w, "bob is killed, too")
	if err := ask(); !errors.Is(err, patterns.ErrNoQuorum) {
		return fmt.Errorf("one of three was enough: %w", err)
	}
	fmt.Fprintln(w, "that is too few")
	return nil
}
