package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/pando-agents/pando"
	"github.com/pando-agents/pando/actors"
	"github.com/pando-agents/pando/actors/patterns"
	"github.com/pando-agents/pando/actors/remote"
)

// edit asks an editor for a better text.
type edit struct {
	actors.Reply[string]
	Text string `json:"text"`
}

var editors = remote.NewProtocol[edit](remote.Message[edit]("example.edit"))

// editor makes texts better, and cannot stand some.
type editor func(string) string

func (e editor) Receive(_ *actors.Context[edit], m edit) {
	if m.Text == "lorem ipsum" {
		panic("not again")
	}
	m.Send(e(m.Text))
}

// showPipeline sends texts through two agents, three at a time, in their order.
func showPipeline(ctx context.Context, g *grove, w io.Writer) error {
	at := func(name string, e editor) (patterns.Pipeline[string, string], error) {
		var none patterns.Pipeline[string, string]
		there := g.agents[name].Agent
		ref, err := pando.Spawn(ctx, there, actors.Spec[edit]{Name: "editor", New: func() actors.Actor[edit] { return e }})
		if err != nil {
			return none, err
		}
		if err := pando.Expose(there, "editor", ref, editors); err != nil {
			return none, err
		}
		far, err := pando.RefTo(g.agents["boss"].Agent, there.ID()+"/editor", editors)
		if err != nil {
			return none, err
		}
		target := patterns.To(name, far, func(text string, r actors.Reply[string]) edit { return edit{r, text} })
		return patterns.Through(patterns.Stage{Name: name, Concurrency: 3}, target.Ask), nil
	}
	shorten, err := at("ann", func(s string) string { return strings.ReplaceAll(s, "very ", "") })
	if err != nil {
		return err
	}
	finish, err := at("bob", func(s string) string { return strings.ToUpper(s[:1]) + s[1:] + "." })
	if err != nil {
		return err
	}
	texts := []string{"trunks die", "the root is very old", "lorem ipsum", "it is very large", "new ones grow"}
	for text, err := range patterns.Then(shorten, finish).Run(ctx, slices.Values(texts)) {
		var failed *patterns.ItemError
		switch {
		case errors.As(err, &failed):
			fmt.Fprintf(w, "(text %d was lost at %s)\n", failed.Item+1, failed.Stage)
		case err != nil:
			return err
		default:
			fmt.Fprintln(w, text)
		}
	}
	return nil
}
