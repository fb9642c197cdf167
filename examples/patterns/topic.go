package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/pando-agents/pando"
	"github.com/pando-agents/pando/actors"
	"github.com/pando-agents/pando/actors/patterns"
	"github.com/pando-agents/pando/actors/remote"
)

// news is what readers are told.
type news struct {
	actors.Reply[struct{}]
	patterns.Batch[string]
}

var (
	readers = remote.NewProtocol[news](remote.Message[news]("example.news"))
	papers  = patterns.TopicProtocol[string]("example.paper")
)

// reader tells what it has read.
type reader struct{ read chan<- string }

func (r reader) Receive(_ *actors.Context[news], m news) {
	for _, headline := range m.Events {
		r.read <- headline
	}
	m.Send(struct{}{}) // the next, please
}

// showTopic has two agents subscribe by their addresses; one is killed.
func showTopic(ctx context.Context, g *grove, w io.Writer) error {
	paper := g.agents["paper"].Agent
	topic, err := pando.Spawn(ctx, paper, patterns.Topic[string]{Name: "paper",
		Resolve: func(address string) (patterns.Target[patterns.Batch[string], struct{}], error) {
			ref, err := pando.RefTo(paper, address, readers)
			return patterns.To(address, ref, func(b patterns.Batch[string], r actors.Reply[struct{}]) news { return news{r, b} }), err
		},
	}.Spec())
	if err != nil {
		return err
	}
	if err := pando.Expose(paper, "paper", topic, papers, pando.ToPeers(g.agents["ann"].ID(), g.agents["bob"].ID())); err != nil {
		return err
	}
	read := map[string]chan string{}
	for _, name := range []string{"ann", "bob"} {
		read[name] = make(chan string, 8)
		if err := subscribe(ctx, g.agents[name].Agent, paper.ID()+"/paper", reader{read[name]}); err != nil {
			return err
		}
	}
	publish := func(headline string, to ...string) error {
		n, err := actors.Ask(ctx, topic, func(r actors.Reply[int]) patterns.TopicMessage[string] {
			return patterns.Publish[string]{Reply: r, Event: headline}
		})
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "readers of the paper: %d\n", n)
		for _, name := range to {
			fmt.Fprintf(w, "%s reads: %s\n", name, <-read[name])
		}
		return nil
	}
	if err := publish("Aspens turn yellow", "ann", "bob"); err != nil {
		return err
	}
	g.agents["bob"].kill()
	for len(subscribers(ctx, topic)) != 1 && ctx.Err() == nil {
		time.Sleep(10 * time.Millisecond)
	}
	fmt.Fprintln(w, "bob is killed")
	return publish("Leaves fall", "ann")
}

func subscribers(ctx context.Context, topic actors.Ref[patterns.TopicMessage[string]]) []patterns.SubscriberStats {
	stats, err := actors.Ask(ctx, topic, func(r actors.Reply[patterns.TopicStats]) patterns.TopicMessage[string] {
		return patterns.TopicStatus[string]{Reply: r}
	})
	if err != nil {
		return nil
	}
	return stats.Subscribers
}

// subscribe makes an agent a reader. A Subscription in its tree would also see
// to it that it stays one.
func subscribe(ctx context.Context, a *pando.Agent, paper string, r reader) error {
	ref, err := pando.Spawn(ctx, a, actors.Spec[news]{Name: "reader", New: func() actors.Actor[news] { return r }})
	if err != nil {
		return err
	}
	if err := pando.Expose(a, "reader", ref, readers); err != nil {
		return err
	}
	topic, err := pando.RefTo(a, paper, papers)
	if err != nil {
		return err
	}
	_, err = actors.Ask(ctx, topic, func(r actors.Reply[struct{}]) patterns.TopicMessage[string] {
		return patterns.Subscribe[string]{Reply: r, Address: a.ID() + "/reader"}
	})
	return err
}
