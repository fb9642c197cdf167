package main

import (
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/pando-agents/pando/cmd/pando/internal/demo"
)

func (a *app) demo() *cobra.Command {
	c := &cobra.Command{
		Use: "demo", Short: "Watch what a channel survives", Args: cobra.NoArgs,
		Long: "Start an identity registry and a few agents in this process, on loopback, let everything break that can break,\n" +
			"and check that the rest goes on. It takes a few seconds and leaves nothing behind.",
		Example: "  pando demo\n  pando demo --verbose 2>demo.log",
	}
	verbose := c.Flags().Bool("verbose", false, "show the log of the agents and the registry on stderr")
	asJSON := c.Flags().Bool("json", false, "print a JSON object at the end instead of the story")
	return a.does(c, func(c *cobra.Command, _ []string) error {
		o := demo.Options{Out: a.out, Color: isTerminal(a.out) && !noColor()}
		if *asJSON {
			o.Out = nil
		}
		if *verbose {
			o.Logger = a.storyLogger()
		}
		report, err := demo.Run(c.Context(), o)
		if *asJSON {
			if err := a.sayJSON(report); err != nil {
				return err
			}
		}
		return err
	})
}

// storyLogger is read by people wherever it goes.
func (a *app) storyLogger() *slog.Logger {
	if isTerminal(a.err) {
		return a.logger(slog.LevelInfo)
	}
	level, err := a.level(slog.LevelInfo)
	if err != nil {
		level = slog.LevelInfo // refused already when the command began
	}
	return slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: level}))
}
