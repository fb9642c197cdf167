package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/lmittmann/tint"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// app is what the commands of one command line share.
type app struct {
	out, err io.Writer
	// started is set once the command line has been understood: what fails
	// before is the user's mistake.
	started  bool
	logLevel string
}

// usageError is a mistake in the command line that only a command itself sees.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func usagef(format string, args ...any) error {
	return &usageError{text: fmt.Sprintf(format, args...)}
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "pando",
		Short:         "Agents that talk over authenticated, supervised channels",
		Long:          "Agents that talk over authenticated, supervised channels.\n\nStart with 'pando demo': it needs nothing and shows what a channel survives.",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.PersistentFlags().StringVar(&a.logLevel, "log-level", "", "debug, info, warn or error (default info for servers, error otherwise)")
	root.AddCommand(
		a.demo(),
		a.group("identity", "The identity registry: who agents are and who may talk to whom", a.identityServe()),
		a.group("init", "Set up the credentials of an agent", a.initSetup()),
		a.group("permissions", "Who may talk to an agent",
			a.permissionsGrant(), a.permissionsRevoke(), a.permissionsList()),
		a.group("agent", "Run an agent", a.agentServe()),
		a.group("agents", "Find agents, and let an agent be found", a.agentsList(), a.agentsInfo(), a.agentsAnnounce()),
		a.system(),
		a.send(),
		a.inspect(),
		a.version(),
	)
	return root
}

// group is a command that only has commands below it.
func (a *app) group(name, short string, children ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: name, Short: short, Args: cobra.ArbitraryArgs}
	c.RunE = func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usagef("%s needs a command", name)
		}
		return usagef("unknown command %q for %s", args[0], name)
	}
	c.AddCommand(children...)
	return c
}

// does sets what a command does, and that it has been understood by then.
func (a *app) does(c *cobra.Command, f func(c *cobra.Command, args []string) error) *cobra.Command {
	c.RunE = func(c *cobra.Command, args []string) error {
		a.started = true
		if _, err := a.level(slog.LevelError); err != nil {
			return err
		}
		return f(c, args)
	}
	return c
}

func (a *app) level(standard slog.Level) (slog.Level, error) {
	switch a.logLevel {
	case "":
		return standard, nil
	case "debug":
		return slog.LevelDebug, nil
	case "info":
		return slog.LevelInfo, nil
	case "warn":
		return slog.LevelWarn, nil
	case "error":
		return slog.LevelError, nil
	}
	return 0, usagef("--log-level is debug, info, warn or error, not %q", a.logLevel)
}

// logger logs to stderr: for people on a terminal, as JSON elsewhere.
func (a *app) logger(standard slog.Level) *slog.Logger {
	level, err := a.level(standard)
	if err != nil {
		level = standard // refused already when the command began
	}
	if isTerminal(a.err) {
		return slog.New(tint.NewTextHandler(a.err, &tint.Options{Level: level, TimeFormat: time.TimeOnly, NoColor: noColor()}))
	}
	return slog.New(slog.NewJSONHandler(a.err, &slog.HandlerOptions{Level: level}))
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// noColor reports whether colours are not wanted (no-color.org).
func noColor() bool { return os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" }

// say prints one line of the result.
func (a *app) say(format string, args ...any) { _, _ = fmt.Fprintf(a.out, format+"\n", args...) }

// sayJSON prints a result for programs, on one line.
func (a *app) sayJSON(v any) error {
	if err := json.NewEncoder(a.out).Encode(v); err != nil {
		return fmt.Errorf("print the result: %w", err)
	}
	return nil
}

// patience is how long a command may be silent.
const patience = 2 * time.Second

// waiting says what is being waited for if it takes long. The result ends it.
func (a *app) waiting(what string) (done func()) {
	t := time.AfterFunc(patience, func() { _, _ = fmt.Fprintf(a.err, "pando: still waiting for %s ...\n", what) })
	return func() { t.Stop() }
}
