package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/pando-agents/pando/cmd/pando/internal/inspect"
)

// watch shows an agent again and again: in place on a terminal, one frame after
// the other elsewhere.
func (a *app) watch(ctx context.Context, f *inspectFlags, client *inspect.Client) error {
	if f.json {
		return a.follow(ctx, f, client)
	}
	w := inspect.Watch{Client: client, Interval: f.interval, Out: a.out, Color: isTerminal(a.out) && !noColor()}
	if !isTerminal(a.out) || os.Getenv("TERM") == "dumb" {
		return w.Run(ctx)
	}
	resized, stop := resizes()
	defer stop()
	w.Screen = &inspect.Screen{Size: func() (int, int) { return size(a.out) }, Resized: resized}
	if in := int(os.Stdin.Fd()); term.IsTerminal(in) {
		before, err := term.MakeRaw(in)
		if err != nil {
			return fmt.Errorf("take the keys of the terminal: %w", err)
		}
		defer func() { _ = term.Restore(in, before) }()
		w.Screen.Keys = keys(ctx)
	}
	return w.Run(ctx)
}

// keys reads what is typed. The goroutine stays in its read when the user
// leaves, until the program ends.
func keys(ctx context.Context) <-chan byte {
	typed := make(chan byte)
	go func() {
		var b [1]byte
		for {
			if _, err := os.Stdin.Read(b[:]); err != nil {
				return
			}
			select {
			case typed <- b[0]:
			case <-ctx.Done():
				return
			}
		}
	}()
	return typed
}

// follow prints what the agent sends, again and again, until ctx ends.
func (a *app) follow(ctx context.Context, f *inspectFlags, client *inspect.Client) error {
	next := time.NewTicker(f.interval)
	defer next.Stop()
	for {
		_, raw, err := client.Tree(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case raw == nil:
			return err
		}
		if _, err := fmt.Fprintln(a.out, strings.TrimSpace(string(raw))); err != nil {
			return fmt.Errorf("print the tree: %w", err)
		}
		select {
		case <-next.C:
		case <-ctx.Done():
			return nil
		}
	}
}
