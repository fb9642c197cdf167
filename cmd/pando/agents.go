package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/pando-agents/pando/identity"
)

// aboutFlags is what others may know about an agent.
type aboutFlags struct {
	endpoint, description string
	capabilities          []string
}

func (f *aboutFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.endpoint, "endpoint", "", "ws or wss URL that peers dial")
	c.Flags().StringVar(&f.description, "description", "", "what the agent is, in up to 1024 bytes")
	c.Flags().StringArrayVar(&f.capabilities, "capability", nil, "what the agent can do, in one word; may be repeated")
}

// announcement returns those that were given.
func (f *aboutFlags) announcement(c *cobra.Command) (identity.Announcement, error) {
	var said identity.Announcement
	if c.Flags().Changed("endpoint") {
		said.Endpoint = &f.endpoint
	}
	if f.endpoint != "" {
		if err := (identity.EndpointPolicy{AllowInsecure: true, AllowPrivate: true}).Check(f.endpoint); err != nil {
			return said, usagef("--endpoint %q: %s", f.endpoint, errors.Unwrap(err))
		}
	}
	if c.Flags().Changed("description") {
		said.Description = &f.description
	}
	if c.Flags().Changed("capability") {
		said.Capabilities = slices.DeleteFunc(f.capabilities, func(s string) bool { return s == "" })
	}
	return said, nil
}

func (a *app) agentsAnnounce() *cobra.Command {
	c := &cobra.Command{
		Use: "announce --endpoint WS_URL", Short: "Let others know where and what an agent is", Args: cobra.NoArgs,
		Long: "Tell the identity registry what those may know about the agent in the file that may talk to it. What is not\n" +
			"given stays as it is, what is given empty is taken away.",
		Example: "  pando agents announce --endpoint wss://alice.example/ws --capability translate --env-file alice.env\n" +
			"  pando agents announce --endpoint '' --env-file alice.env",
	}
	f := &aboutFlags{}
	f.add(c)
	file := envFile(c)
	asJSON := c.Flags().Bool("json", false, "print the agent's record as JSON")
	c.MarkFlagsOneRequired("endpoint", "description", "capability")
	return a.does(c, func(c *cobra.Command, _ []string) error {
		said, err := f.announcement(c)
		if err != nil {
			return err
		}
		r, err := ask(a, c, *file, func(ctx context.Context, client *identity.Client) (identity.Record, error) {
			return client.Announce(ctx, said)
		})
		if err != nil {
			return err
		}
		return a.sayRecord(r, *asJSON)
	})
}

func (a *app) agentsInfo() *cobra.Command {
	c := &cobra.Command{
		Use: "info [AGENT_ID]", Short: "Show where and what an agent is", Args: cobra.MaximumNArgs(1),
		Long: "Show what the identity registry knows about an agent that the one in the file may talk to, or, without an id,\n" +
			"about the one in the file. An agent that it may not talk to is as unknown as one that does not exist.",
		Example: "  pando agents info $BOB --env-file alice.env\n  pando agents info --env-file alice.env --json",
	}
	file := envFile(c)
	asJSON := c.Flags().Bool("json", false, "print the record as JSON")
	return a.does(c, func(c *cobra.Command, args []string) error {
		r, err := ask(a, c, *file, func(ctx context.Context, client *identity.Client) (identity.Record, error) {
			if len(args) == 0 {
				return client.Resolve(ctx, client.AgentID())
			}
			return client.Resolve(ctx, args[0])
		})
		if err != nil {
			return err
		}
		return a.sayRecord(r, *asJSON)
	})
}

func (a *app) agentsList() *cobra.Command {
	c := &cobra.Command{
		Use: "list", Short: "List the agents that may be talked to", Args: cobra.NoArgs,
		Long: "List the agents that the one in the file may talk to, because each permits the other, with where and what\n" +
			"they are.",
		Example: "  pando agents list --env-file alice.env",
	}
	file := envFile(c)
	asJSON := c.Flags().Bool("json", false, "print a JSON array of records")
	return a.does(c, func(c *cobra.Command, _ []string) error {
		all, err := ask(a, c, *file, func(ctx context.Context, client *identity.Client) ([]identity.Record, error) {
			return client.Peers(ctx)
		})
		if err != nil {
			return err
		}
		if *asJSON {
			return a.sayJSON(all)
		}
		return a.sayTable(all)
	})
}

func (a *app) sayTable(all []identity.Record) error {
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "AGENT\tNAME\tENDPOINT\tCAPABILITIES")
	for _, r := range all {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", plain(r.AgentID), plain(r.Name), plain(r.Endpoint), plain(r.Capabilities...))
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("print the table: %w", err)
	}
	return nil
}

func (a *app) sayRecord(r identity.Record, asJSON bool) error {
	if asJSON {
		return a.sayJSON(r)
	}
	for _, line := range [][2]string{
		{"agent", plain(r.AgentID)}, {"name", plain(r.Name)}, {"endpoint", plain(r.Endpoint)},
		{"description", plain(r.Description)}, {"capabilities", plain(r.Capabilities...)},
	} {
		a.say("%s: %s", line[0], line[1])
	}
	return nil
}

// plain joins what strangers have written, fit for a terminal: nothing empty,
// and nothing that moves the cursor.
func plain(texts ...string) string {
	s := strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, strings.Join(texts, " "))
	if s == "" {
		return "-"
	}
	return s
}
