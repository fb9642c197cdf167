package main

import (
	"context"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/pando-agents/pando/cmd/pando/internal/inspect"
)

// tokenEnv names the environment variable that may hold the admin token.
const tokenEnv = "PANDO_ADMIN_TOKEN"

// inspectFlags is what inspect can be told.
type inspectFlags struct {
	watch, json, stacks bool
	interval            time.Duration
	tokenFile           string
	channels            int
}

func (a *app) inspect() *cobra.Command {
	c := &cobra.Command{
		Use: "inspect URL", Short: "Show the live tree of an agent", Args: cobra.ExactArgs(1),
		Long: "Show what an agent is doing: its supervision tree with states, restarts and queues, and its channels, those with\n" +
			"the most to tell first (→ dialled, ← accepted). URL is where the agent has mounted its admin handler ('pando agent serve --admin').\n" +
			"An agent without an admin token shows itself to its own machine only. Otherwise it wants the token, from a file or from " + tokenEnv + ".",
		Example: "  pando inspect http://127.0.0.1:9002\n  pando inspect http://127.0.0.1:9002 --watch\n" +
			"  pando inspect http://127.0.0.1:9002 --json | jq '.channels.list[] | select(.state != \"connected\")'",
	}
	f := &inspectFlags{}
	c.Flags().BoolVar(&f.watch, "watch", false, "show it again and again, with what happens; q leaves")
	c.Flags().DurationVar(&f.interval, "interval", time.Second, "time between two looks")
	c.Flags().BoolVar(&f.json, "json", false, "print the JSON that the agent sends, one object a line")
	c.Flags().BoolVar(&f.stacks, "stacks", false, "show the stacks of panics")
	c.Flags().IntVar(&f.channels, "channels", 50, "show this many channels, at most 10000")
	c.Flags().StringVar(&f.tokenFile, "token-file", "", "file with the admin token")
	return a.does(c, func(c *cobra.Command, args []string) error {
		base, err := inspect.ParseURL(args[0])
		if err != nil {
			return usagef("%s", err)
		}
		client, err := f.client(base)
		if err != nil {
			return err
		}
		if f.watch {
			return a.watch(c.Context(), f, client)
		}
		return a.look(c.Context(), f, client)
	})
}

func (f *inspectFlags) client(base *url.URL) (*inspect.Client, error) {
	switch {
	case f.interval < 100*time.Millisecond:
		return nil, usagef("--interval is at least 100ms")
	case f.channels < 0 || f.channels > 10_000:
		return nil, usagef("--channels is from 0 to 10000")
	}
	token := strings.TrimSpace(os.Getenv(tokenEnv))
	if f.tokenFile != "" {
		var err error
		if token, err = readSecret("the admin token", f.tokenFile); err != nil {
			return nil, err
		}
	}
	if token != "" && base.Scheme == "http" && !loopback(base.Hostname()) {
		return nil, usagef("%s is not encrypted: everybody on the way could read the admin token", base)
	}
	client := inspect.NewClient(base, token)
	client.Channels, client.Stacks = f.channels, f.stacks
	return client, nil
}

// look shows an agent once.
func (a *app) look(ctx context.Context, f *inspectFlags, client *inspect.Client) error {
	defer a.waiting(client.Base.String())()
	in, raw, err := client.Tree(ctx)
	if f.json && raw != nil {
		a.say("%s", strings.TrimSpace(string(raw)))
		return nil
	}
	if err != nil {
		return err
	}
	page := inspect.Page{Color: isTerminal(a.out) && !noColor()}
	page.Width, _ = size(a.out)
	for _, l := range page.Draw(&in) {
		a.say("%s", l)
	}
	return nil
}

// size returns the width and height of the terminal, zeros if out is none.
func size(out any) (width, height int) {
	f, ok := out.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0, 0
	}
	width, height, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0, 0
	}
	return width, height
}
