package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/pando-agents/pando"
	"github.com/pando-agents/pando/actors/patterns"
)

// digging is what there is to do.
type digging struct {
	Depth int  `json:"depth"`
	Rock  bool `json:"rock,omitempty"`
}

var errNoDepth = errors.New("how deep?")

var diggers = patterns.TaskProtocol[digging, int, string]("example.dig")

// digger digs a metre after the other; rock takes for ever. It tells why it has
// stopped.
func digger(stopped chan<- error) patterns.Tasks[digging, int, string] {
	return patterns.Tasks[digging, int, string]{
		Name: "digger",
		Accept: func(d digging) error {
			if d.Depth <= 0 {
				return errNoDepth
			}
			return nil
		},
		Do: func(ctx context.Context, d digging, progress func(int)) (string, error) {
			progress(1)
			if d.Rock {
				<-ctx.Done()
				stopped <- context.Cause(ctx)
				return "", context.Cause(ctx)
			}
			return fmt.Sprintf("a hole of %d m", d.Depth), nil
		},
	}
}

// showTask has one agent do tasks for another: refused, done, cancelled, lost.
func showTask(ctx context.Context, g *grove, w io.Writer) error {
	ann, bob := g.agents["ann"], g.agents["bob"]
	stopped := make(chan error, 1)
	ref, err := pando.Spawn(ctx, bob.Agent, digger(stopped).Spec())
	if err != nil {
		return err
	}
	if err := pando.Expose(bob.Agent, "digger", ref, diggers); err != nil {
		return err
	}
	dig, err := pando.RefTo(ann.Agent, bob.ID()+"/digger", diggers)
	if err != nil {
		return err
	}
	if _, err := patterns.Give(ctx, dig, digging{}, nil); !errors.Is(err, patterns.ErrRefused) {
		return fmt.Errorf("not refused: %w", err)
	} else {
		fmt.Fprintln(w, "bob does not take it:", err)
	}
	report := func(m int) { fmt.Fprintf(w, "bob has dug %d m\n", m) }
	hole, err := patterns.Give(ctx, dig, digging{Depth: 3}, report)
	if err != nil {
		return err
	}
	fmt.Fprintln(w, "ann has", hole)

	patience, cancel := context.WithCancel(ctx)
	defer cancel()
	_, err = patterns.Give(patience, dig, digging{Depth: 3, Rock: true}, func(m int) {
		report(m)
		fmt.Fprintln(w, "ann has no patience with rock")
		cancel()
	})
	if why := <-stopped; err == nil || !errors.Is(why, patterns.ErrCancelled) {
		return fmt.Errorf("not cancelled: %w, %w", err, why)
	}
	fmt.Fprintln(w, "bob hears that it is cancelled")

	died := make(chan error, 1)
	_, err = patterns.Give(ctx, dig, digging{Depth: 3, Rock: true}, func(m int) {
		report(m)
		go func() {
			bob.kill()
			died <- bob.run()
		}()
	})
	if err2 := <-died; err2 != nil || !errors.Is(err, patterns.ErrPartnerLost) {
		return fmt.Errorf("nobody noticed: %w, %w", err, err2)
	}
	fmt.Fprintln(w, "bob is killed, and ann hears that it is lost")
	return nil
}
